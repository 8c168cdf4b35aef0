"""Atomic writing of files: complete, or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(path: Path, workshop: Path | None = None) -> Iterator[IO[bytes]]:
    """Write a file that is there whole or not at all: temporary name, flush to disk, then rename.

    The parent folder is made. If the block raises, nothing is left behind and an older file stays as it was. The temporary file
    lies beside the file, or in `workshop`, which must be on the same disk; its name tells the process that writes it.
    """
    temporary = (workshop or path.parent) / f".{os.getpid()}.{path.name[:40]}.{os.urandom(4).hex()}.tmp"
    try:
        with _opened(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            temporary.replace(path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # what a person knows
        raise


def _opened(path: Path) -> IO[bytes]:
    """A new file; its folder is made if missing, which is rare enough not to look first."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 with LF line ends."""
    write_bytes(path, text.encode("utf-8"))
