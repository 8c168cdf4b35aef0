"""Free space of a disk, with a reserve."""

from __future__ import annotations

import shutil
from pathlib import Path

from fototeca.core.errors import ExternalError

_SPARE_DISK_BYTES = 200_000_000
"""Bytes of the disk that are never used."""


def free_disk_space(folder: Path) -> int:
    """Return the bytes that may be written to the disk of `folder`, which must exist; a reserve is left out."""
    return max(0, shutil.disk_usage(folder).free - _SPARE_DISK_BYTES)


def check_disk_space(folder: Path, needed: int) -> None:
    """Raise FototecaError (exit 4) unless `needed` bytes may be written to the disk of `folder`."""
    if needed > (available := free_disk_space(folder)):
        message = f"the disk has {available / 1e9:.1f} GB available, {needed / 1e9:.1f} GB are needed"
        raise ExternalError(message, f"free some space at {folder}")
