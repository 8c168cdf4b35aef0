"""Read the members of zip, tar and parquet files one by one; nothing is written."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from fototeca.collect.files.parquet import read_parquet_images
from fototeca.collect.files.zip_checks import check_overlaps, check_zip_directory
from fototeca.core.parquet_tables import MAGIC
from fototeca.core.passed_over import PassedOver

FREE_BYTES = 10_000_000
"""Bytes that may be extracted at any compression ratio, so that small archives of flat images pass."""

MEMBER_FAULTS = (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError)
"""Exceptions of reading one damaged member of a zip file; the others can still be read."""

_MAX_TAR_READ = 1 << 24
"""Largest single read, in bytes, of a tar file. Images are read in small pieces, so this limits headers."""

_MAX_LINK = 4096
"""Longest target of a link, in bytes."""

_UTF8 = 0x800
"""Flag of a zip member whose name is in UTF-8 (APPNOTE 6.3.10, section 4.4.4)."""

_ENCRYPTED = 0x1
"""Flag of an encrypted zip member (APPNOTE 6.3.10, section 4.4.4)."""

OUTSIDE = ".."
"""Target of a link that leads out of the archive."""


@dataclass(frozen=True)
class Member:
    """One file or link of an archive, under the name that the archive gives it."""

    name: str
    size: int = 0
    """Bytes."""

    open: Callable[[], IO[bytes]] | None = None
    link: str = ""
    """Normalized path of the target of a link, OUTSIDE if it leads out of the archive."""

    reason: str = ""
    """Reason for not extracting it."""

    is_sequential: bool = False
    """Its bytes are read whether it is extracted or not."""


def read_members(path: Path, limit: int, passed_over: PassedOver) -> Iterator[Member]:
    """Yield the members of an archive, chosen by its first bytes since endings may be wrong; folders are left out.

    Args:
        path: zip, tar (gzip, bzip2 or xz) or parquet file.
        limit: bytes that may be extracted.
        passed_over: counts the rows of a parquet file that hold no image.

    Raises one of the exceptions of zipfile, tarfile and the decompressors if the archive is damaged.
    """
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PK") or path.name.lower().endswith(".zip"):
        yield from _zip_members(path)
    elif start.startswith(MAGIC):
        for name, data in read_parquet_images(path, limit, passed_over):
            yield Member(name, len(data), partial(io.BytesIO, data), is_sequential=True)
    else:
        yield from _tar_members(path, start, limit)


def normalize_name(name: str) -> str:
    """Return a member's name with forward slashes and without `.`, `..` and repeated slashes."""
    return posixpath.normpath(name.replace("\\", "/"))


def _target(folder: str, target: str) -> str:
    """Return the normalized target of a link in a folder of the archive, OUTSIDE if it leaves the archive."""
    target = target.replace("\\", "/")
    path = normalize_name(posixpath.join(folder, target))
    return OUTSIDE if target.startswith("/") or path.split("/")[0] == ".." else path


def _zip_members(path: Path) -> Iterator[Member]:
    check_zip_directory(path)
    with zipfile.ZipFile(path) as archive:
        check_overlaps(archive.infolist())
        for info in archive.infolist():
            name = _zip_name(info)
            if info.is_dir():
                continue
            if "\0" in info.orig_filename:  # zipfile ends the name there, other programs do not
                yield Member(info.orig_filename, reason="unsafe-name")
                continue
            if info.flag_bits & _ENCRYPTED:
                yield Member(name, reason="encrypted")
            elif stat.S_ISLNK(info.external_attr >> 16):
                yield _zip_link(archive, info, name)
            else:
                yield Member(name, info.file_size, cast("Callable[[], IO[bytes]]", partial(archive.open, info)))


def _zip_link(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Member:
    try:
        with archive.open(info) as file:
            target = os.fsdecode(file.read(_MAX_LINK))
    except MEMBER_FAULTS:
        return Member(name, reason="damaged-member")
    return Member(name, link=_target(posixpath.dirname(name.replace("\\", "/")), target))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name; many programs write UTF-8 without its flag, which zipfile decodes as code page 437."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _tar_members(path: Path, start: bytes, limit: int) -> Iterator[Member]:
    try:
        yield from _read_tar(path, start, limit)
    except (ValueError, ArithmeticError, IndexError, RecursionError):  # tarfile answers some invalid headers with them
        raise tarfile.ReadError("a header is invalid") from None


def _read_tar(path: Path, start: bytes, limit: int) -> Iterator[Member]:
    with (
        _open_decompressed(path, start) as file,
        tarfile.open(fileobj=cast("IO[bytes]", _BoundedFile(file, limit)), mode="r:") as archive,
    ):
        for member in _iterate(archive):
            if member.size < 0:  # tarfile would continue at an offset that may lie before this member
                raise tarfile.ReadError("a header gives a negative size")
            if member.isdir():
                continue
            if member.issym():
                yield Member(member.name, link=_target(posixpath.dirname(member.name), member.linkname))
            elif member.islnk():
                yield Member(member.name, link=_target("", member.linkname))
            elif member.sparse is not None and not _is_map(cast("Sequence[tuple[int, int]]", member.sparse), member.size):
                raise tarfile.ReadError("the map of a sparse file is invalid")
            elif member.isreg():
                read = cast("Callable[[], IO[bytes]]", partial(archive.extractfile, member))
                yield Member(member.name, member.size, read, is_sequential=True)
            else:
                yield Member(member.name, member.size, reason="not-a-file", is_sequential=True)


def _iterate(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar file. ReadError for a header that leads backwards, as a negative size does."""
    last = -1
    while (member := archive.next()) is not None:
        if member.offset <= last:
            raise tarfile.ReadError("a header leads backwards")
        last = member.offset
        archive.members.clear()  # type: ignore[attr-defined] # they are not looked up again
        yield member


def _is_map(parts: Sequence[tuple[int, int]], size: int) -> bool:
    """Return True if the parts of a sparse file, as offset and length, lie in order within its size."""
    place = 0
    for offset, length in parts:
        if offset < place or length < 0:
            return False
        place = offset + length
    return place <= size


def is_tar(path: Path) -> bool:
    """Return True if a file, decompressed, begins with the header of a tar member.

    `tarfile.is_tarfile` reads extended headers of any length.
    """
    with path.open("rb") as file:
        start = file.read(6)
    try:
        with _open_decompressed(path, start) as stream:
            tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except (*MEMBER_FAULTS, tarfile.TarError, OSError):
        return False
    return True


def _open_decompressed(path: Path, start: bytes) -> IO[bytes]:
    """Open a tar file, decompressed according to its first bytes, since suffixes may be wrong."""
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
    opener = next((opener for magic, opener in openers.items() if start.startswith(magic)), Path.open)
    return cast("IO[bytes]", opener(path, "rb"))


class _BoundedFile:
    """File that raises ReadError when a tar header requests too large a read or a seek goes past the limit."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._limit = limit + FREE_BYTES
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_TAR_READ:
            raise tarfile.ReadError("a header is too long")
        return self._file.read(size)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if position > self._limit:
            raise tarfile.ReadError("it unpacks to too much")
        return self._file.seek(position, whence)
