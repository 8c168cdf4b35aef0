"""Extract zip, tar and parquet files with limits on file count, size, ratio and depth; no file is written outside.

zipfile and tarfile are read member by member instead of with `extractall`, whose filters limit neither size nor ratio nor
memory: the archives come from strangers.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from filelock import FileLock, Timeout

from fototeca.collect.files.parquet import MAGIC, read_parquet_images
from fototeca.collect.files.safe_names import UniqueNames
from fototeca.collect.host_id import STALE_AFTER_SECONDS
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.files import atomic_write
from fototeca.core.workspace import Workspace
from fototeca.vision.image import SUFFIXES

ARCHIVE_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip", ".parquet")
MAX_MEMBERS = 1_000_000
MAX_RATIO = 200
"""Largest ratio of extracted to archive size; above it the archive counts as a bomb, since images hardly compress."""

MAX_DEPTH = 3
"""Levels of nested archives that are extracted; deeper archives are ignored."""

_FREE_BYTES = 10_000_000
"""Bytes that may be extracted whatever the ratio, so that small archives of flat images pass."""

_SPARE_DISK_BYTES = 200_000_000
"""Bytes of the disk that are never used."""

_MAX_TAR_READ = 1 << 24
"""Largest single read, in bytes, of a tar file. Images are read in small pieces, so this limits headers."""

_UTF8 = 0x800
"""Flag of a zip member whose name is in UTF-8 (APPNOTE 6.3.10, section 4.4.4)."""


class DamagedArchiveError(FototecaError):
    """The archive itself is at fault: extracting it again fails again."""


_BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, OSError, zlib.error, lzma.LZMAError)


@contextmanager
def open_folder(workspace: Workspace, path: Path) -> Iterator[Path]:
    """Yield `path` itself, or for an archive a temporary folder with its images.

    The folder's name depends only on the archive, so that a killed run resumes with the extracted files. It is removed when
    the block ends, also with an error, but not when the process is interrupted. FototecaError when the archive is damaged or
    exceeds a limit.
    """
    if not is_archive(path):
        yield path
        return
    identity = f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}"
    folder = workspace.cache / "archives" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # a second process with the same archive waits, then finds its images known
        _remove_stale_folders(folder)
        try:
            unpack(path, folder)
            yield folder
        except Exception:  # not KeyboardInterrupt: the next run resumes with the extracted files
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder)


def _remove_stale_folders(own_folder: Path) -> None:
    """Remove folders of other archives that killed runs left, if they are older than a day and not locked."""
    for lock in own_folder.parent.glob("*.lock"):
        folder = lock.with_suffix("")
        if folder == own_folder or time.time() - lock.stat().st_mtime < STALE_AFTER_SECONDS:
            continue
        with suppress(Timeout), FileLock(lock, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def is_archive(path: Path) -> bool:
    """Return True if `path` is a file with one of ARCHIVE_SUFFIXES."""
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def strip_archive_suffix(name: str) -> str:
    """Return the name of the folder for the contents of an archive: its file name without suffix."""
    suffix = next((suffix for suffix in ARCHIVE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or "archive"


def unpack(path: Path, folder: Path) -> None:
    """Extract the images of an archive, and of the archives in it, below `folder`; existing files of equal size stay.

    Raises:
        DamagedArchiveError: the archive is damaged, has a password, or exceeds a limit.
        FototecaError: the disk is full or cannot be written (exit 4).
    """
    budget = _ExtractionBudget(path, max(MAX_RATIO * path.stat().st_size, _FREE_BYTES), MAX_MEMBERS)
    try:
        _unpack(path, folder, budget, 1)
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # decompressors and bad offsets give these
            hint = "free some space or fix the disk, then run the same command again to resume"
            raise ExternalError(f"{path} cannot be unpacked: {error.strerror}", hint) from None
        hint = "check that the archive is complete and has no password"
        raise DamagedArchiveError(f"{path} cannot be unpacked: {error}", hint) from None


def free_disk_space(folder: Path) -> int:
    """Return the bytes that may be written to the disk of `folder`, which must exist; a reserve is left out."""
    return max(0, shutil.disk_usage(folder).free - _SPARE_DISK_BYTES)


def check_disk_space(folder: Path, needed: int) -> None:
    """Raise FototecaError (exit 4) unless `needed` bytes may be written to the disk of `folder`."""
    if needed > (available := free_disk_space(folder)):
        message = f"the disk has {available / 1e9:.1f} GB available, {needed / 1e9:.1f} GB are needed"
        raise ExternalError(message, f"free some space at {folder}")


@dataclass
class _ExtractionBudget:
    """Remaining bytes and files of one archive, nested archives included."""

    archive: Path
    size: int
    files: int

    def take(self, size: int) -> None:
        self.files -= 1
        self.size -= size
        if self.files < 0 or self.size < 0:
            raise DamagedArchiveError(
                f"{self.archive} unpacks to too much", f"at most {MAX_MEMBERS} files and {MAX_RATIO} times its own size"
            )


def _unpack(path: Path, folder: Path, budget: _ExtractionBudget, depth: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    suffixes = (*SUFFIXES, *ARCHIVE_SUFFIXES) if depth < MAX_DEPTH else tuple(SUFFIXES)
    nested = []
    for name, size, stream in _members(path, budget, UniqueNames(suffixes)):
        target = folder / name
        if target.name.lower().endswith(ARCHIVE_SUFFIXES):
            nested.append(target)
        if target.is_file() and target.stat().st_size == size:
            continue
        check_disk_space(folder, size)
        with stream, atomic_write(target) as file:
            shutil.copyfileobj(stream, file)
    for archive in nested:
        _unpack(archive, archive.with_name(strip_archive_suffix(archive.name)), budget, depth + 1)
        archive.unlink()


def _members(path: Path, budget: _ExtractionBudget, names: UniqueNames) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield safe name, size in bytes and stream of each regular file with a wanted suffix."""
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PK") or path.name.lower().endswith(".zip"):
        yield from _zip_members(path, budget, names)
    elif start.startswith(MAGIC):
        for member_name, data in read_parquet_images(path, budget.size):
            budget.take(len(data))
            if name := names.assign(member_name):
                yield name, len(data), io.BytesIO(data)
    else:
        yield from _tar_members(path, start, budget, names)


def _zip_members(path: Path, budget: _ExtractionBudget, names: UniqueNames) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            is_link = stat.S_ISLNK(info.external_attr >> 16)
            if not info.is_dir() and not is_link and (name := names.assign(_zip_name(info))):
                budget.take(info.file_size)
                yield name, info.file_size, archive.open(info)


def _tar_members(path: Path, start: bytes, budget: _ExtractionBudget, names: UniqueNames) -> Iterator[tuple[str, int, IO[bytes]]]:
    with (
        _open_decompressed(path, start) as file,
        tarfile.open(fileobj=cast("IO[bytes]", _BoundedFile(file, budget.size)), mode="r:") as archive,
    ):
        for member in archive:
            budget.take(member.size)  # of every member: ignored ones are decompressed too
            stream = archive.extractfile(member) if member.isreg() else None
            if stream is not None and (name := names.assign(member.name)):
                yield name, member.size, stream


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name; many programs write UTF-8 without its flag, which zipfile decodes as code page 437."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _open_decompressed(path: Path, start: bytes) -> IO[bytes]:
    """Open a tar file, decompressed according to its first bytes, since suffixes may be wrong."""
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
    opener = next((opener for magic, opener in openers.items() if start.startswith(magic)), Path.open)
    return cast("IO[bytes]", opener(path, "rb"))


class _BoundedFile:
    """File that raises ReadError when a tar header requests too large a read or a seek goes past the limit."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._limit = limit + _FREE_BYTES
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_TAR_READ:
            raise tarfile.ReadError("a header is too long")
        return self._file.read(size)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if position > self._limit:
            raise tarfile.ReadError("it unpacks to too much")
        return self._file.seek(position, whence)
