"""Paths made from names that come from files: none leaves its folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from fototeca.core.errors import FototecaError
from fototeca.core.kinds import shorten


def inside(folder: Path, name: str | PurePath) -> Path:
    """Return the path of a file to be written to `folder`, for any characters in its name.

    Args:
        folder: the folder; it may be a link.
        name: path of the file, relative to the folder.

    Raises:
        FototecaError: the path would be outside: the name is absolute or empty, has `..`, or goes through a link that leads
            out of the folder.
    """
    parts = PurePath(name).parts
    path = folder.joinpath(*parts)
    if (
        not parts
        or any(part == ".." or "\0" in part for part in parts)
        or not path.is_relative_to(folder)
        or path == folder
        or not _real(path.parent).is_relative_to(_real(folder))
    ):
        raise FototecaError(f"{shorten(str(name))} is not a path inside {folder}", "correct the file that has this name")
    return path


def is_file_name(name: str) -> bool:
    """Return True if `name` is the name of a file or folder alone: no separators, no `..`, nothing that a disk refuses."""
    return (
        0 < len(name.encode("utf-8", "replace")) <= 255
        and name not in (".", "..")
        and not any(character in "/\\" or ord(character) < 32 or "\ud800" <= character <= "\udfff" for character in name)
        and not os.path.isabs(name)  # noqa: PTH117 - a drive of Windows
    )


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
