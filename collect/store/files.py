"""Image store: original bytes in files named by their SHA-256, never rewritten."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from fototeca.collect.catalog.erasures import is_erased
from fototeca.collect.host_id import HOST_ID, STALE_AFTER_SECONDS
from fototeca.collect.store_names import EXTENSIONS as EXTENSIONS
from fototeca.collect.store_names import is_store_path as is_store_path
from fototeca.core.files import atomic_write
from fototeca.core.workspace import Workspace

_ID = re.compile(r"[0-9a-f]{64}")


def compute_image_id(data: bytes) -> str:
    """Return the image id of a file: the SHA-256 of its bytes in hex."""
    return hashlib.sha256(data).hexdigest()


def image_path(workspace: Workspace, image_id: str, image_format: str) -> Path:
    """Return the store path of an image id and Pillow format name."""
    return workspace.images / image_id[:2] / f"{image_id}.{EXTENSIONS[image_format]}"


def store_image(workspace: Workspace, data: bytes, image_format: str) -> tuple[str, Path]:
    """Write the bytes unless the store has them; return their image id and path. Safe across threads and processes.

    ErasedImageError if the image was erased on request.
    """
    image_id = compute_image_id(data)
    if is_erased(workspace.catalog, image_id):
        raise ErasedImageError
    path = image_path(workspace, image_id, image_format)
    if not path.exists():
        with atomic_write(path, _staging_folder(workspace)) as file:
            file.write(data)
        if is_erased(workspace.catalog, image_id):  # by another process, which may have looked for the file before it was there
            path.unlink(missing_ok=True)
            raise ErasedImageError
    return image_id, path


def list_stored_images(workspace: Workspace) -> list[Path]:
    """List the store's files in image id order, without files that a file manager or a NAS added."""
    return sorted(path for path in workspace.images.glob("[0-9a-f][0-9a-f]/*") if _ID.fullmatch(path.stem) and path.is_file())


class ErasedImageError(Exception):
    """The bytes are those of an image that was erased on request."""


class FetchFailedError(Exception):
    """A URL could not be fetched; `reason` is one of the words listed in docs/reasons.md."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def open_fetcher(workspace: Workspace, *, allow_loopback: bool = False) -> Callable[[str], bytes]:
    """Return a thread-safe function that fetches the bytes of a URL with the limits of collecting, or raises FetchFailedError.

    Use one fetcher for all URLs: it caches each host's robots.txt and rate limits.
    """
    from fototeca.collect.http.client import Downloader
    from fototeca.collect.http.options import FetchOptions
    from fototeca.collect.http.responses import FetchError

    downloader = Downloader(FetchOptions(allow_loopback=allow_loopback), workspace.settings.contact)

    def fetch(url: str) -> bytes:
        try:
            return downloader.fetch(url).data
        except FetchError as error:
            raise FetchFailedError(error.reason) from None

    return fetch


def remove_stale_files(workspace: Workspace) -> None:
    """Remove temporary files of killed writers.

    Files of running processes of this host stay. Files of other hosts, whose processes cannot be checked, are removed when
    they are older than STALE_AFTER_SECONDS.
    """
    own_folder = _staging_folder(workspace)
    for path in own_folder.parent.glob("*/.*.tmp"):
        pid = path.name.split(".")[1]
        is_orphan = path.parent == own_folder and pid.isdecimal() and not psutil.pid_exists(int(pid))
        with suppress(OSError):  # another process may remove it first
            if is_orphan or time.time() - path.stat().st_mtime > STALE_AFTER_SECONDS:
                path.unlink(missing_ok=True)


def _staging_folder(workspace: Workspace) -> Path:
    """Return this host's folder for temporary files; several hosts may share the disk of a workspace."""
    return workspace.images / "incoming" / HOST_ID
