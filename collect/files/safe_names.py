"""Safe file names for members of archives and datasets: relative, portable and unique."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import PurePosixPath

_MAX_PART_BYTES = 120
"""Longest path component in bytes."""

_MAX_ENDING_BYTES = 12
"""Longest ending that is kept when a component is shortened."""

_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f]|[. ]$|^ ')
"""Characters that Windows does not allow, or not at the start or end of a name."""

_DEVICE = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def safe_name(name: str) -> str:
    """Return a safe relative path with forward slashes, or "" if the name is absolute or leaves the folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    is_unsafe = not parts or any(part in ("..", "/", "//") or "\0" in part for part in parts)
    if is_unsafe or re.fullmatch(r"[A-Za-z]:", parts[0]):
        return ""
    return "/".join(_shorten(_make_portable(part)) for part in parts)


def _make_portable(part: str) -> str:
    """Return a path component that every system accepts; undecodable bytes are written in hex."""
    text = re.sub("[\udc80-\udcff]", lambda match: f"_{ord(match[0]) - 0xDC00:02x}", part)
    text = _FORBIDDEN.sub("_", text.encode("utf-8", "replace").decode())
    return f"_{text}" if _DEVICE.match(text) else text


def _shorten(part: str) -> str:
    """Cut a component that is too long and append a hash, before its ending."""
    data = part.encode()
    return part if len(data) <= _MAX_PART_BYTES else _append_hash(part, data)


def _append_hash(part: str, data: bytes) -> str:
    ending = PurePosixPath(part).suffix
    ending = ending if len(ending.encode()) <= _MAX_ENDING_BYTES else ""
    stem = part[: len(part) - len(ending)].encode()[: _MAX_PART_BYTES - 24].decode("utf-8", "ignore")
    return f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}{ending}"


class UniqueNames:
    """Assigns safe names to the members of one archive in their order.

    Names equal but for case, repeated names, and files and folders of one name get different ones.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._times: Counter[str] = Counter()

    def assign(self, name: str) -> str:
        """Return the safe name of a file, or "" if the name is unsafe."""
        safe = safe_name(name)
        if not safe:
            return ""
        self._times[name] += 1
        *folders, last = safe.split("/")
        folder = self._use_folder(folders)
        path = f"{folder}/{last}" if folder else last
        if self._is_used(path):
            times = f"\n{self._times[name]}" if self._times[name] > 1 else ""
            last = _append_hash(last, f"{name}{times}".encode("utf-8", "surrogateescape"))
            path = f"{folder}/{last}" if folder else last
        self._files.add(path.casefold())
        return path

    def assign_folder(self, path: str) -> str:
        """Return the name of a folder for the contents of a nested archive, which no file or folder has yet."""
        while self._is_used(path):
            path += "_"
        self._folders.add(path.casefold())
        return path

    def _is_used(self, path: str) -> bool:
        return path.casefold() in self._files or path.casefold() in self._folders

    def _use_folder(self, folders: list[str]) -> str:
        """Return the path of a folder; a component with the name of a file gets another."""
        path = ""
        for part in folders:
            path = f"{path}/{part}" if path else part
            while path.casefold() in self._files:
                path += "_"
            self._folders.add(path.casefold())
        return path
