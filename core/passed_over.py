"""Count what a command passes over, by reason, with the first names."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from fototeca.core.results import Result

MAX_NAMES = 3
"""Names that are kept for each reason."""


@dataclass(frozen=True)
class PassedOverCount(Result):
    """Number of files, rows or other items that were passed over for one reason, and the first of their names."""

    reason: str
    """One of the words listed in docs/not-taken.md."""

    count: int
    names: tuple[str, ...]

    def text(self) -> str:
        """Return one line: `5 raw: a.dng, b.nef, c.cr3 and 2 more`."""
        listed = ", ".join(self.names)
        more = f" and {self.count - len(self.names)} more" if self.names and self.count > len(self.names) else ""
        return f"{self.count} {self.reason}" + (f": {listed}{more}" if listed else "")


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

    def add(self, reason: str, name: str) -> None:
        """Count one item; the first MAX_NAMES names of a reason are kept."""
        self._counts[reason] += 1
        if len(self._names[reason]) < MAX_NAMES:
            self._names[reason].append(name.encode("utf-8", "replace").decode("utf-8"))

    def update(self, counts: tuple[PassedOverCount, ...]) -> None:
        """Add counts that another counter built."""
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
