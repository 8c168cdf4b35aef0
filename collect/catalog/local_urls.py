"""URLs of local files, as candidates have them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

LOCAL_SCHEME = "file://"
"""Prefix of the URL of a local file."""


def local_url(path: Path) -> str:
    """Return the URL of an absolute path; names need not be valid UTF-8."""
    return LOCAL_SCHEME + quote(os.fsencode(path.as_posix()))


def local_path(url: str) -> Path:
    """Return the path of a URL made by `local_url`."""
    return Path(os.fsdecode(unquote_to_bytes(url.removeprefix(LOCAL_SCHEME))))
