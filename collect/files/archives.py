"""zip and tar archives and parquet files, unpacked with caps on count, size, ratio and depth, and with no path outside."""

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

from fototeca.collect.files.parquet import MAGIC, parquet_images
from fototeca.collect.files.safe_names import Places
from fototeca.collect.host_id import DAY
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.files import atomic_write
from fototeca.core.workspace import Workspace
from fototeca.vision.image import SUFFIXES

ENDINGS = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip", ".parquet")
MAX_MEMBERS = 1_000_000
MAX_RATIO = 200
"""Unpacked over packed size above which an archive is a bomb: images hardly shrink."""

MAX_DEPTH = 3
"""Archives in archives that are opened; what is packed deeper stays packed."""

_FREE = 10_000_000
"""Bytes that may be unpacked whatever the ratio, so that small archives of flat images pass."""

_ROOM = 200_000_000
"""Bytes that are left free on the disk."""

_HEADER = 1 << 24
"""Bytes that a tar file may ask for at once; its images are read in small pieces, so this bounds its headers."""

_UTF8 = 0x800
"""The flag of a member of a zip file whose name is in UTF-8 (APPNOTE 6.3.10, section 4.4.4)."""


class DamagedArchiveError(FototecaError):
    """The fault lies with the archive itself: it will not unpack another time either."""


_BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, OSError, zlib.error, lzma.LZMAError)


@contextmanager
def readable_folder(workspace: Workspace, path: Path) -> Iterator[Path]:
    """`path` itself, or for an archive a folder with its images, which is removed once they are collected or cannot be.

    The folder's name depends on the archive only, so that a killed collection goes on with what it had.
    FototecaError when the archive is broken or a bomb.
    """
    if not is_archive(path):
        yield path
        return
    facts = f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}"
    folder = workspace.cache / "archives" / hashlib.sha256(facts.encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # who takes in the same archive beside this one waits, and finds it known
        _sweep(folder)
        try:
            unpack(path, folder)
            yield folder
        except Exception:  # not what stops the program: then the next run goes on with what is there
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder)


def _sweep(own: Path) -> None:
    """Remove what a collection that was killed has left of another archive, once it is a day old and nobody holds it."""
    for lock in own.parent.glob("*.lock"):
        folder = lock.with_suffix("")
        if folder == own or time.time() - lock.stat().st_mtime < DAY:
            continue
        with suppress(Timeout), FileLock(lock, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def is_archive(path: Path) -> bool:
    """Whether the file's name is one of an archive that can be opened."""
    return path.is_file() and path.name.lower().endswith(ENDINGS)


def bare_name(name: str) -> str:
    """An archive's file name without its ending: the folder that it becomes."""
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] or "archive"


def unpack(path: Path, folder: Path) -> None:
    """Lay the images of an archive, and of the archives in it, under `folder`; what is there already stays.

    DamagedArchiveError when it is broken, has a password, or would unpack to too much; FototecaError (exit 4) for the disk.
    """
    budget = _Budget(path, max(MAX_RATIO * path.stat().st_size, _FREE), MAX_MEMBERS)
    try:
        _unpack(path, folder, budget, 1)
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # those are of decompressors and wild offsets
            hint = "free some room or mend the disk, and give the command again: it goes on where it was"
            raise FototecaError(f"{path} cannot be unpacked: {error.strerror}", hint, EXIT_OUTSIDE) from None
        hint = "check that the archive is whole and without password"
        raise DamagedArchiveError(f"{path} cannot be unpacked: {error}", hint) from None


def free_room(folder: Path) -> int:
    """Bytes that may still be written to the disk of `folder`, which exists; some are left to spare."""
    return max(0, shutil.disk_usage(folder).free - _ROOM)


def check_room(folder: Path, needed: int) -> None:
    """Raise FototecaError (exit 4) unless so many bytes may be written to the disk of `folder`."""
    if needed > (room := free_room(folder)):
        lacking = f"the disk has room for {room / 1e9:.1f} GB, {needed / 1e9:.1f} GB are needed"
        raise FototecaError(lacking, f"free some at {folder}", EXIT_OUTSIDE)


@dataclass
class _Budget:
    """What one archive may still unpack to, the archives in it included."""

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


def _unpack(path: Path, folder: Path, budget: _Budget, depth: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    endings = (*SUFFIXES, *ENDINGS) if depth < MAX_DEPTH else tuple(SUFFIXES)
    inner = []
    for name, size, stream in _members(path, budget, Places(endings)):
        target = folder / name
        if target.name.lower().endswith(ENDINGS):
            inner.append(target)
        if target.is_file() and target.stat().st_size == size:
            continue
        check_room(folder, size)
        with stream, atomic_write(target) as file:
            shutil.copyfileobj(stream, file)
    for archive in inner:
        _unpack(archive, archive.with_name(bare_name(archive.name)), budget, depth + 1)
        archive.unlink()


def _members(path: Path, budget: _Budget, places: Places) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Plain files of the wanted kinds, under names that stay inside."""
    with path.open("rb") as packed_file:
        start = packed_file.read(6)
    if start.startswith(b"PK") or path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as packed:
            for info in packed.infolist():
                link = stat.S_ISLNK(info.external_attr >> 16)
                if not info.is_dir() and not link and (name := places.of(_zip_name(info))):
                    budget.take(info.file_size)
                    yield name, info.file_size, packed.open(info)
        return
    if start.startswith(MAGIC):
        for name, data in parquet_images(path, budget.size):
            budget.take(len(data))
            if name := places.of(name):
                yield name, len(data), io.BytesIO(data)
        return
    with (
        _decompressed(path, start) as file,
        tarfile.open(fileobj=cast("IO[bytes]", _Bounded(file, budget.size)), mode="r:") as tape,
    ):
        for member in tape:
            budget.take(member.size)  # of every member: what is passed over is decompressed all the same
            stream = tape.extractfile(member) if member.isreg() else None
            if stream is not None and (name := places.of(member.name)):
                yield name, member.size, stream


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name; many programs write UTF-8 without the flag that says so, and zipfile takes that for code page 437."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _decompressed(path: Path, start: bytes) -> IO[bytes]:
    """The plain tar file in a packed one, told by its first bytes: names lie."""
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
    opener = next((opener for magic, opener in openers.items() if start.startswith(magic)), Path.open)
    return cast("IO[bytes]", opener(path, "rb"))


class _Bounded:
    """A file that ends the reading when a header asks for too much at once, or when a seek leads too far."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._limit = limit + _FREE
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise tarfile.ReadError("a header is too long")
        return self._file.read(size)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        if place > self._limit:
            raise tarfile.ReadError("it unpacks to too much")
        return self._file.seek(place, whence)
