"""Safe file names for members of archives and datasets: relative, visible, portable and unique."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

_MAX_PART_BYTES = 120
"""Longest path component in bytes."""

_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f]|[. ]$|^ ')
"""Characters that Windows does not allow, or not at the start or end of a name."""

_DEVICE = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def safe_name(name: str, suffixes: tuple[str, ...]) -> str:
    """Return a safe relative path with forward slashes.

    Returns "" if the name is absolute, leaves the folder, is hidden or has another suffix.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    is_unsafe = not parts or any(part in ("..", "/", "__MACOSX") or part.startswith(".") or "\0" in part for part in parts)
    if is_unsafe or re.fullmatch(r"[A-Za-z]:", parts[0]) or not parts[-1].lower().endswith(suffixes):
        return ""
    folders = [f"{part}_" if part.lower().endswith(suffixes) else part for part in parts[:-1]]  # a file may have that name
    return "/".join(_shorten(_make_portable(part), suffixes) for part in (*folders, parts[-1]))


def _make_portable(part: str) -> str:
    """Return a path component that every system accepts; undecodable bytes are written in hex."""
    text = re.sub("[\udc80-\udcff]", lambda match: f"_{ord(match[0]) - 0xDC00:02x}", part)
    text = _FORBIDDEN.sub("_", text.encode("utf-8", "replace").decode())
    return f"_{text}" if _DEVICE.match(text) else text


def _shorten(part: str, suffixes: tuple[str, ...]) -> str:
    """Cut a component that is too long and append a hash, before its suffix."""
    data = part.encode()
    return part if len(data) <= _MAX_PART_BYTES else _append_hash(part, data, suffixes)


def _append_hash(part: str, data: bytes, suffixes: tuple[str, ...]) -> str:
    suffix = next((suffix for suffix in suffixes if part.lower().endswith(suffix)), "")
    stem = part[: len(part) - len(suffix)].encode()[: _MAX_PART_BYTES - 24].decode("utf-8", "ignore")
    return f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}{part[len(part) - len(suffix) :]}"


class UniqueNames:
    """Assigns safe names to the members of one archive; names equal but for case get different ones."""

    def __init__(self, suffixes: tuple[str, ...]) -> None:
        self.suffixes = suffixes
        self._members: dict[str, str] = {}

    def assign(self, name: str) -> str:
        """Return the safe name of a member, or "" if the member is to be ignored."""
        safe = safe_name(name, self.suffixes)
        if not safe or self._members.setdefault(safe.casefold(), name) == name:
            return safe
        folder, _, last = safe.rpartition("/")
        last = _append_hash(last, name.encode("utf-8", "surrogateescape"), self.suffixes)
        return f"{folder}/{last}" if folder else last
