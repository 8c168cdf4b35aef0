"""Files of any size from a hub to the disk: bounded, checked, and resumed where a killed download ended."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import urllib3
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from fototeca.collect.files.archives import ENDINGS, check_room, free_room
from fototeca.collect.files.safe_names import Places
from fototeca.collect.http.client import MAX_REDIRECTS, TRIES, Downloader, led_to
from fototeca.collect.http.guarded_sockets import PrivateAddressError, until
from fototeca.collect.http.responses import FetchError, announced_length, check_encoding, check_status, reason_of
from fototeca.collect.http.throttle import LONGEST_WAIT, pause_before
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.files import atomic_write, write_text
from fototeca.vision.image import SUFFIXES

WANTED = (*sorted(SUFFIXES), *ENDINGS)
"""Endings of what is fetched: images and archives."""

MAX_FILE = 200_000_000_000
"""Bytes of a file whose size the hub does not tell."""

SLOWEST = 1_000
"""Bytes per second; a server that sends less for as long as the timeout is given up."""

_CHUNK = 1 << 18
_MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset."""

    url: str
    name: str
    """Relative to the dataset's folder; hostile until `wanted_files` has seen it."""

    size: int | None = None
    checksum: str = ""
    """`md5:…` or `sha256:…`, as the hub announces it."""


def wanted_files(hub: str, files: Iterable[RemoteFile]) -> list[RemoteFile]:
    """The images and archives among a dataset's files. FototecaError (exit 4) when there are none."""
    everything = list(files)
    places = Places(WANTED)
    kept = {name: file for file in everything if (name := places.of(file.name))}
    if not kept:
        kinds = sorted({Path(file.name).suffix.lower() or "no ending" for file in everything})
        raise nothing_to_take(hub, kinds, "export it to folders of images and use: fototeca collect folder")
    return [RemoteFile(file.url, name, file.size, file.checksum) for name, file in kept.items()]


def nothing_to_take(hub: str, kinds: Sequence[str], hint: str) -> FototecaError:
    """The error for a dataset without an image or archive."""
    listed = ", ".join(kinds[:8]) or "no files"
    return FototecaError(
        f"this dataset of {hub} has no images and no archive that can be opened (it has: {listed})", hint, EXIT_OUTSIDE
    )


def download(hub: str, files: Sequence[RemoteFile], folder: Path, downloader: Downloader) -> None:
    """Lay the files below `folder`; those that are there already are complete and stay.

    What fails does not stop the others. FototecaError (exit 4) names the first failure; the same command goes on.
    """
    todo = [file for file in files if not (folder / file.name).is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    # An archive is on the disk twice while it is unpacked.
    check_room(folder, sum((file.size or 0) * (2 if file.name.lower().endswith(ENDINGS) else 1) for file in todo))
    total = sum(file.size for file in todo if file.size) or None
    with (
        ThreadPoolExecutor(downloader.options.per_host) as pool,
        tqdm(total=total, unit="B", unit_scale=True, desc=hub, disable=None) as bar,
    ):
        problems = [problem for problem in pool.map(partial(_outcome, folder, downloader, bar), todo) if problem]
    if problems:
        raise FototecaError(
            f"{len(problems)} of {len(files)} files of {hub} did not come ({problems[0]})",
            "run the same command again: it goes on where it stopped",
            EXIT_OUTSIDE,
        )


def _outcome(folder: Path, downloader: Downloader, bar: Any, file: RemoteFile) -> str:  # noqa: ANN401 - tqdm is generic
    """Fetch one file, more than once if need be; return what went wrong."""
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    for number in range(TRIES):
        try:
            _fetch(file, target, downloader, bar)
        except FetchError as error:
            pause = pause_before(error.wait, number)
            if error.lasting or number == TRIES - 1 or pause > LONGEST_WAIT:
                return f"{file.name}: {error.reason}"
            time.sleep(pause)
        else:
            return ""
    raise AssertionError("the last try returns")


def _fetch(file: RemoteFile, target: Path, downloader: Downloader, bar: Any) -> None:  # noqa: ANN401 - tqdm is generic
    part = target.with_name(f"{target.name}.part")
    begin = part.stat().st_size if part.is_file() else 0
    if file.size is None or begin < file.size:
        _transfer(file, part, begin, downloader, bar)
    if (file.size is not None and part.stat().st_size != file.size) or not _is_whole(part, file.checksum):
        part.unlink()
        raise FetchError("checksum")
    part.replace(target)
    _tag(part).unlink(missing_ok=True)


def _is_whole(part: Path, checksum: str) -> bool:
    kind, _, expected = checksum.partition(":")
    if kind not in ("md5", "sha256"):
        return True
    with part.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest() == expected.lower()


def _transfer(file: RemoteFile, part: Path, begin: int, downloader: Downloader, bar: Any) -> None:  # noqa: ANN401 - tqdm
    """Append to what is there, or start anew where the server cannot go on in the middle."""
    seconds = downloader.options.timeout
    limit = file.size or MAX_FILE
    url = led_to(file.url, "")
    for _ in range(MAX_REDIRECTS + 1):
        with downloader.visit(url), closing(_open(url, part, begin, downloader)) as response:
            if response.status in _MOVED and response.headers.get("Location"):
                url = led_to(url, response.headers["Location"])
                continue
            if begin and response.status == 416 and response.headers.get("Content-Range") == f"bytes */{begin}":
                return  # it was all there
            begin = _accepted(response, part, begin)
            announced = announced_length(response)
            expected = None if announced is None else begin + announced
            if expected is not None and expected > limit:
                raise FetchError("too-large", status=response.status, final=True)
            check_room(part.parent, (expected or begin) - begin)
            write_text(_tag(part), response.headers.get("ETag", ""))
            _append(response, part, begin, min(limit, begin + free_room(part.parent)), seconds, bar)
            if expected is not None and part.stat().st_size < expected:
                raise FetchError("incomplete")
            return
    raise FetchError("too-many-redirects", final=True)


def _tag(part: Path) -> Path:
    """Beside a part, what tells the version of the file that it is a part of."""
    return part.with_name(f"{part.name}.tag")


def _open(url: str, part: Path, begin: int, downloader: Downloader) -> urllib3.BaseHTTPResponse:
    headers = {**downloader.headers, "Accept": "*/*"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
        tag = _tag(part).read_text(encoding="utf-8") if _tag(part).is_file() else ""
        if tag and not tag.startswith("W/"):
            headers["If-Range"] = tag  # of another version all is sent
    seconds = downloader.options.timeout
    try:
        with until(time.monotonic() + seconds):
            return downloader.pool.request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(total=seconds),
                decode_content=False,
            )
    except (PrivateAddressError, HTTPError, OSError, ValueError) as error:
        raise reason_of(error) from None


def _accepted(response: urllib3.BaseHTTPResponse, part: Path, begin: int) -> int:
    """Where the body begins in the file. FetchError when there is no body to have."""
    check_encoding(response)
    if response.status == 206:
        first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if first and first[1] == str(begin):
            return begin
    if response.status in (206, 416):  # another part than was asked for, or the file is shorter by now
        part.unlink(missing_ok=True)
        raise FetchError("incomplete")
    check_status(response)
    return 0


def _append(
    response: urllib3.BaseHTTPResponse,
    part: Path,
    begin: int,
    limit: int,
    seconds: float,
    bar: Any,  # noqa: ANN401 - tqdm
) -> None:
    size = mark = begin
    since = time.monotonic()
    with part.open("r+b" if begin else "wb") as stream:
        stream.seek(begin)
        while piece := _piece(response, seconds):
            size += len(piece)
            if size > limit:
                raise FetchError("too-large", final=True)
            stream.write(piece)
            bar.update(len(piece))
            if (passed := time.monotonic() - since) > seconds:
                if size - mark < SLOWEST * passed:
                    raise FetchError("timeout")
                since, mark = time.monotonic(), size


def _piece(response: urllib3.BaseHTTPResponse, seconds: float) -> bytes:
    try:
        with until(time.monotonic() + seconds):
            return response.read1(_CHUNK)
    except (HTTPError, OSError) as error:
        raise reason_of(error) from None


def save(hub: str, pieces: Iterable[bytes], target: Path) -> None:
    """Write a body that is being received already, whole or not at all."""
    limit = min(MAX_FILE, free_room(target.parent))
    with atomic_write(target) as file:
        for piece in pieces:
            if file.tell() + len(piece) > limit:
                raise FototecaError(
                    f"{target.name} of {hub} is too large", f"free some of the disk at {target.parent}", EXIT_OUTSIDE
                )
            file.write(piece)
