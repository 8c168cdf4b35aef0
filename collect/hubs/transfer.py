"""Download of hub files of any size: within limits, with checksums, and resumed after an interruption."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fototeca.collect.files.disk_space import check_disk_space, free_disk_space
from fototeca.collect.files.embedded_tables import TABLE_NAMES
from fototeca.collect.files.extraction import ARCHIVE_SUFFIXES
from fototeca.collect.files.safe_names import UniqueNames
from fototeca.collect.http.client import Downloader, Request, with_retries
from fototeca.collect.http.responses import FetchError, ReadTimer, ResponseStream
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.files import atomic_write, write_text
from fototeca.core.passed_over import PassedOver
from fototeca.vision.formats import SUFFIXES
from fototeca.vision.image_files import is_junk, reason_by_name

SUPPORTED_SUFFIXES = (*sorted(SUFFIXES), *ARCHIVE_SUFFIXES)
"""Endings of the files that are downloaded: images and archives."""

MAX_FILE_BYTES = 200_000_000_000
"""Limit of a file whose size the hub does not state."""

MIN_BYTES_PER_SECOND = 1_000
"""A server that sends less, on average over the timeout, is given up with `timeout`."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset on a hub."""

    url: str
    name: str
    """Path relative to the dataset's folder; untrusted until `select_files` has checked it."""

    size: int | None = None
    """Bytes, if the hub states them."""

    checksum: str = ""
    """`md5:…` or `sha256:…`, if the hub states one."""


def select_files(hub: str, files: Iterable[RemoteFile], passed_over: PassedOver) -> list[RemoteFile]:
    """Return the images, archives and tables of labels among a dataset's files, under safe names; count the others.

    FototecaError (exit 4) if there are no images and archives.
    """
    names = UniqueNames()
    selected = []
    for file in files:
        reason = reason_not_downloaded(file.name)
        name = "" if reason else names.assign(file.name)
        if name:
            selected.append(RemoteFile(file.url, name, file.size, file.checksum))
        else:
            passed_over.add(reason or "unsafe-name", file.name)
    if all(is_label_table(file.name) for file in selected):
        for file in selected:
            passed_over.add("table", file.name)
        raise no_images_error(hub, passed_over, "export it to folders of images and use: fototeca collect folder")
    return selected


def reason_not_downloaded(name: str) -> str:
    """Return why a file of a dataset is not downloaded, by its name, or "" for images, archives and tables of labels."""
    if not is_junk(name) and (is_label_table(name) or name.lower().endswith(SUPPORTED_SUFFIXES)):
        return ""
    return reason_by_name(name) or "not-an-image"


def is_label_table(name: str) -> bool:
    """Return True for a table that may hold the labels of the images."""
    return name.rpartition("/")[2] in TABLE_NAMES


def no_images_error(hub: str, passed_over: PassedOver, hint: str) -> FototecaError:
    """Return the error for a dataset without images or archives, which lists the files it has."""
    listed = passed_over.describe_contents()
    return ExternalError(f"this dataset of {hub} has no images and no archive that can be opened (it has: {listed})", hint)


def download_files(hub: str, files: Sequence[RemoteFile], folder: Path, downloader: Downloader) -> None:
    """Download files below `folder`; files that exist are complete and are skipped.

    A failed file does not stop the others. FototecaError (exit 4) names the first failure; the same call then downloads only
    what is missing.
    """
    missing = [file for file in files if not (folder / file.name).is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    # An archive is on the disk twice while it is unpacked.
    check_disk_space(
        folder, sum((file.size or 0) * (2 if file.name.lower().endswith(ARCHIVE_SUFFIXES) else 1) for file in missing)
    )
    total = sum(file.size for file in missing if file.size) or None
    with (
        ThreadPoolExecutor(downloader.options.per_host) as pool,
        tqdm(total=total, unit="B", unit_scale=True, desc=hub, disable=None) as bar,
    ):
        failures = [failure for failure in pool.map(partial(_try_download, folder, downloader, bar), missing) if failure]
    if failures:
        raise ExternalError(
            f"{len(failures)} of {len(files)} files of {hub} failed ({failures[0]})",
            "run the same command again to resume",
        )


def _try_download(folder: Path, downloader: Downloader, bar: Any, file: RemoteFile) -> str:  # noqa: ANN401 - tqdm is generic
    """Download one file with retries; return `NAME: REASON` if it failed, else an empty string."""
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with_retries(partial(_download, file, target, downloader, bar), lambda error: not error.is_permanent)
    except FetchError as error:
        return f"{file.name}: {error.reason}"
    return ""


def _download(file: RemoteFile, target: Path, downloader: Downloader, bar: Any) -> None:  # noqa: ANN401 - tqdm is generic
    part = target.with_name(f"{target.name}.part")
    begin = part.stat().st_size if part.is_file() else 0
    if file.size is None or begin < file.size:
        _transfer(file, part, begin, downloader, bar)
    if (file.size is not None and part.stat().st_size != file.size) or not _matches(part, file.checksum):
        part.unlink()
        raise FetchError("checksum")
    part.replace(target)
    _etag_file(part).unlink(missing_ok=True)


def _matches(part: Path, checksum: str) -> bool:
    """Return True if a file has the checksum, or if the checksum's algorithm is unknown."""
    algorithm, _, expected = checksum.partition(":")
    if algorithm not in ("md5", "sha256"):
        return True
    with part.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest() == expected.lower()


def _transfer(file: RemoteFile, part: Path, begin: int, downloader: Downloader, bar: Any) -> None:  # noqa: ANN401 - tqdm
    """Append the missing bytes to `part`, or write it from its start if the server cannot send a range."""
    limit = file.size or MAX_FILE_BYTES
    timeout = downloader.options.timeout
    request = Request(file.url, limit, _range_headers(part, begin))
    with downloader.stream(request, ReadTimer(timeout)) as response:
        if begin and response.status == 416 and response.headers.get("Content-Range") == f"bytes */{begin}":
            return  # the part is the whole file
        begin = _check_range(response, part, begin)
        if begin + (response.content_length or 0) > limit:
            raise FetchError("too-large", status=response.status, final=True)
        check_disk_space(part.parent, response.content_length or 0)
        write_text(_etag_file(part), response.headers.get("ETag", ""))
        chunks = response.chunks(min(limit - begin, free_disk_space(part.parent)))
        with part.open("r+b" if begin else "wb") as stream:
            stream.seek(begin)
            for chunk in _check_rate(chunks, timeout):
                stream.write(chunk)
                bar.update(len(chunk))


def _range_headers(part: Path, begin: int) -> dict[str, str]:
    """Return the headers that request a file from byte `begin`, or all of it if the server has another version (If-Range)."""
    headers = {"Accept": "*/*"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
        etag = _etag_file(part).read_text(encoding="utf-8") if _etag_file(part).is_file() else ""
        if etag and not etag.startswith("W/"):
            headers["If-Range"] = etag
    return headers


def _etag_file(part: Path) -> Path:
    """Return the path of the file beside a part that holds the ETag of the version it belongs to."""
    return part.with_name(f"{part.name}.tag")


def _check_range(response: ResponseStream, part: Path, begin: int) -> int:
    """Return the position in the file at which the body begins. FetchError if there is no usable body."""
    response.check_encoding()
    if response.status == 206:
        first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if first and first[1] == str(begin):
            return begin
    if response.status in (206, 416):  # not the range that was requested, or the file is shorter now
        part.unlink(missing_ok=True)
        raise FetchError("incomplete")
    response.check_status()
    return 0


def _check_rate(chunks: Iterable[bytes], seconds: float) -> Iterable[bytes]:
    """Yield chunks; FetchError `timeout` if fewer than `MIN_BYTES_PER_SECOND` arrive on average over `seconds`."""
    received, start = 0, time.monotonic()
    for chunk in chunks:
        yield chunk
        received += len(chunk)
        elapsed = time.monotonic() - start
        if elapsed > seconds:
            if received < MIN_BYTES_PER_SECOND * elapsed:
                raise FetchError("timeout")
            received, start = 0, time.monotonic()


def save_stream(hub: str, chunks: Iterable[bytes], target: Path) -> None:
    """Write the body of a response that a hub's own client receives, whole or not at all."""
    limit = min(MAX_FILE_BYTES, free_disk_space(target.parent))
    with atomic_write(target) as file:
        for chunk in chunks:
            if file.tell() + len(chunk) > limit:
                raise ExternalError(f"{target.name} of {hub} is too large", f"free disk space at {target.parent}")
            file.write(chunk)
