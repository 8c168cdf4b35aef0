"""Count what a command passes over, by reason, with the first names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fototeca.core.console import escape_text
from fototeca.core.results import Result

MAX_NAMES = 3
"""Names that are kept for each reason."""

MAX_ENDINGS = 8
"""Endings that `describe_contents` lists."""

NO_CONTENT = ("junk", "excluded", "linked-again", "unreadable-folder")
"""Reasons of items that are not contents of a folder by their endings."""


@dataclass(frozen=True)
class PassedOverCount(Result):
    """Number of files, rows or other items that were passed over for one reason, and the first of their names."""

    reason: str
    """One of the words listed in docs/not-taken.md."""

    count: int
    names: tuple[str, ...]

    def text(self) -> str:
        """Return one line: `5 raw: a.dng, b.nef, c.cr3 and 2 more`."""
        listed = list_names(self.names, self.count)
        return f"{self.count} {self.reason}" + (f": {listed}" if listed else "")


def list_names(names: Sequence[str], count: int) -> str:
    """Return the first of `count` names, and how many more there are; "" without names."""
    more = f" and {count - len(names)} more" if names and count > len(names) else ""
    return ", ".join(names) + more


class PassedOver:
    """Counter of everything that a command passes over.

    Example:
        >>> passed_over = PassedOver()
        >>> passed_over.add("video", "clip.mp4")
        >>> passed_over.text()
        ['1 video: clip.mp4']
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._names: defaultdict[str, list[str]] = defaultdict(list)
        self._endings: Counter[str] = Counter()

    def add(self, reason: str, name: str) -> None:
        """Count one item; the first MAX_NAMES names of a reason are kept, printable."""
        text = name.encode("utf-8", "replace").decode("utf-8")
        self._counts[reason] += 1
        if len(self._names[reason]) < MAX_NAMES:
            self._names[reason].append(escape_text(text))
        if reason not in NO_CONTENT:
            self._endings[PurePosixPath(text).suffix.removeprefix(".")] += 1

    def merge(self, other: PassedOver) -> None:
        """Add what another counter has counted."""
        self.update(other.counts())
        self._endings.update(other._endings)

    def update(self, counts: Iterable[PassedOverCount]) -> None:
        """Add stored counts."""
        for count in counts:
            self._counts[count.reason] += count.count
            self._names[count.reason] = [*self._names[count.reason], *count.names][:MAX_NAMES]

    @property
    def total(self) -> int:
        """Number of items passed over."""
        return self._counts.total()

    def counts(self) -> tuple[PassedOverCount, ...]:
        """Return the count of each reason, most items first."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(PassedOverCount(reason, count, tuple(self._names[reason])) for reason, count in ranked)

    def text(self) -> list[str]:
        """Return one line for each reason, most items first."""
        return [count.text() for count in self.counts()]

    def describe_contents(self) -> str:
        """Return the numbers of files by the ending of their names, `5 HEIC, 2 mp4`; without such files, the reasons."""
        merged: dict[str, tuple[str, int]] = {}
        for ending, count in self._endings.items():
            shown, total = merged.get(ending.lower(), (ending, 0))
            merged[ending.lower()] = (shown, total + count)
        ranked = sorted(merged.values(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in ranked[:MAX_ENDINGS])
        more = " and more" if len(ranked) > MAX_ENDINGS else ""
        return listed + more if ranked else "; ".join(self.text()) or "no files"
