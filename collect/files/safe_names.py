"""Names of files in archives and datasets, made safe for any disk: nothing climbs, nothing hides, no two become one."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

_LONGEST = 120
"""Bytes of one part of a name."""

_FOREIGN = re.compile(r'[<>:"|?*\x00-\x1f\x7f]|[. ]$|^ ')
"""What Windows has in no name."""

_DEVICE = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def safe_name(name: str, endings: tuple[str, ...]) -> str:
    """A safe relative name, or nothing: absolute, climbing, hidden and foreign files are passed over."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    wrong = not parts or any(part in ("..", "/", "__MACOSX") or part.startswith(".") or "\0" in part for part in parts)
    if wrong or re.fullmatch(r"[A-Za-z]:", parts[0]) or not parts[-1].lower().endswith(endings):
        return ""
    folders = [f"{part}_" if part.lower().endswith(endings) else part for part in parts[:-1]]  # beside a file of that name
    return "/".join(_short(_portable(part), endings) for part in (*folders, parts[-1]))


def _portable(part: str) -> str:
    """A part that any system takes; bytes of an unknown encoding are written out."""
    text = re.sub("[\udc80-\udcff]", lambda found: f"_{ord(found[0]) - 0xDC00:02x}", part)
    text = _FOREIGN.sub("_", text.encode("utf-8", "replace").decode())
    return f"_{text}" if _DEVICE.match(text) else text


def _short(part: str, endings: tuple[str, ...]) -> str:
    """A long part is cut and told apart by its hash, and keeps its ending."""
    data = part.encode()
    return part if len(data) <= _LONGEST else _marked(part, data, endings)


def _marked(part: str, mark: bytes, endings: tuple[str, ...]) -> str:
    ending = next((ending for ending in endings if part.lower().endswith(ending)), "")
    stem = part[: len(part) - len(ending)].encode()[: _LONGEST - 24].decode("utf-8", "ignore")
    return f"{stem}-{hashlib.sha256(mark).hexdigest()[:12]}{part[len(part) - len(ending) :]}"


class UniqueNames:
    """Where the members of one archive go: two names that a disk would take for one are told apart."""

    def __init__(self, endings: tuple[str, ...]) -> None:
        self.endings = endings
        self._taken: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The safe name of a member, or nothing where it is passed over."""
        safe = safe_name(name, self.endings)
        if not safe or self._taken.setdefault(safe.casefold(), name) == name:
            return safe
        folder, _, last = safe.rpartition("/")
        last = _marked(last, name.encode("utf-8", "surrogateescape"), self.endings)
        return f"{folder}/{last}" if folder else last
