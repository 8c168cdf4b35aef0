"""The image store: original bytes under the name of their SHA-256, never rewritten."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from fototeca.collect.host_id import DAY, MACHINE
from fototeca.core.files import atomic_write
from fototeca.core.workspace import Workspace

EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "MPO": "jpg",
}
"""File endings by Pillow's format name; a format that is not here is not accepted."""


_ID = re.compile(r"[0-9a-f]{64}")


def digest(data: bytes) -> str:
    """SHA-256 hex: the image's id."""
    return hashlib.sha256(data).hexdigest()


def stored_path(workspace: Workspace, image_id: str, image_format: str) -> Path:
    """Where an image of this id and format lies."""
    return workspace.images / image_id[:2] / f"{image_id}.{EXTENSIONS[image_format]}"


def put(workspace: Workspace, data: bytes, image_format: str) -> tuple[str, Path]:
    """Store the bytes if they are new; return their id and path. Safe from many threads and processes at once."""
    image_id = digest(data)
    path = stored_path(workspace, image_id, image_format)
    if not path.exists():
        with atomic_write(path, _workshop(workspace)) as file:
            file.write(data)
    return image_id, path


def stored_images(workspace: Workspace) -> list[Path]:
    """Every file of the store, in the order of their ids; not what a file manager or a NAS has put beside them."""
    return sorted(path for path in workspace.images.glob("[0-9a-f][0-9a-f]/*") if _ID.fullmatch(path.stem) and path.is_file())


class FetchFailedError(Exception):
    """A URL gave no bytes: `reason` is one of the fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def open_fetcher(workspace: Workspace, *, allow_loopback: bool = False) -> Callable[[str], bytes]:
    """A function that gives the bytes at a URL, guarded and polite as all collecting is. FetchFailedError says why it cannot.

    Ask one fetcher for all URLs, from any number of threads: it remembers each host's robots.txt and how often it may be asked.
    """
    from fototeca.collect.http.client import Downloader, FetchOptions
    from fototeca.collect.http.responses import FetchError

    downloader = Downloader(FetchOptions(allow_loopback=allow_loopback), workspace.settings.contact)

    def fetch(url: str) -> bytes:
        try:
            return downloader.fetch(url).data
        except FetchError as error:
            raise FetchFailedError(error.reason) from None

    return fetch


def sweep(workspace: Workspace) -> None:
    """Remove what writers that were killed have left half done. What living processes write stays; of another machine, whose
    processes are not known here, all that is not a day old."""
    own = _workshop(workspace)
    for path in own.parent.glob("*/.*.tmp"):
        pid = path.name.split(".")[1]
        left = path.parent == own and pid.isdecimal() and not psutil.pid_exists(int(pid))
        with suppress(OSError):  # another one may sweep, too
            if left or time.time() - path.stat().st_mtime > DAY:
                path.unlink(missing_ok=True)


def _workshop(workspace: Workspace) -> Path:
    """Where this machine's writers are at work: a workspace may lie on a disk that several share."""
    return workspace.images / "incoming" / MACHINE
