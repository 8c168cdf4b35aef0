"""zip and tar archives, unpacked with caps on count, size and ratio, and with no path outside the folder."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from collect.local import SUFFIXES
from workspace import FototecaError, Workspace, atomic_write

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_MEMBERS = 1_000_000
MAX_RATIO = 200
"""Unpacked over packed size above which an archive is a bomb: pictures hardly shrink."""

_FREE = 10_000_000
"""Bytes that may be unpacked whatever the ratio, so that small archives of flat pictures pass."""


@contextmanager
def readable_folder(workspace: Workspace, path: Path) -> Iterator[Path]:
    """`path` itself, or for an archive a folder with its pictures, which is removed once they are collected.

    The folder's name depends on the archive only, so that a killed collection goes on with what it had.
    FototecaError when the archive is broken or a bomb.
    """
    if not (path.is_file() and path.name.lower().endswith(ENDINGS)):
        yield path
        return
    facts = f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}"
    folder = workspace.cache / "archives" / hashlib.sha256(facts.encode()).hexdigest()[:16]
    try:
        _unpack(path, folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise FototecaError(
            f"{path} cannot be unpacked: {error}", "check that the archive is whole and without password"
        ) from None
    yield folder
    shutil.rmtree(folder)


def _unpack(path: Path, folder: Path) -> None:
    limit = max(MAX_RATIO * path.stat().st_size, _FREE)
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    for number, (name, length, stream) in enumerate(_members(path)):
        size += length
        if number >= MAX_MEMBERS or size > limit:
            raise FototecaError(f"{path} unpacks to too much", f"at most {MAX_MEMBERS} files and {MAX_RATIO} times its own size")
        target = folder / name
        if target.is_file() and target.stat().st_size == length:
            continue
        with stream, atomic_write(target) as file:
            shutil.copyfileobj(stream, file)


def _members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Pictures in an archive: plain files only, under names that stay inside."""
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as packed:
            for info in packed.infolist():
                if not info.is_dir() and (name := _inside(info.filename)):
                    yield name, info.file_size, packed.open(info)
        return
    with tarfile.open(path) as tape:
        for member in tape:
            stream = tape.extractfile(member) if member.isreg() else None
            if stream is not None and (name := _inside(member.name)):
                yield name, member.size, stream


def _inside(name: str) -> str:
    """A safe relative name for a picture, or nothing: absolute, climbing, hidden and foreign files are passed over."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    wrong = not parts or any(part in ("..", "/", "__MACOSX") or part.startswith(".") or "\0" in part for part in parts)
    if wrong or ":" in parts[0] or PurePosixPath(parts[-1]).suffix.lower() not in SUFFIXES:
        return ""
    return "/".join(part.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:120] for part in parts)
