"""What a collection did, for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fototeca.collect.catalog import CandidateState

Outcome = tuple[str, str, CandidateState, str]
"""Source, category, state, reason."""


@dataclass
class Summary:
    """What one collection did."""

    found: int = 0
    """Findings read, known ones included."""

    known: int = 0
    """Findings whose candidate had a final state already."""

    restored: int = 0
    """Known images whose file was gone from the store and is there again."""

    lost: int = 0
    """Known images whose file is gone, and whose place has something else by now, or nothing."""

    unlicensed: int = 0
    """Findings that were passed over for their licence; they are in no ledger, for another search may want them."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """How many candidates ended how during this collection."""

    problems: list[str] = field(default_factory=list)
    """Sources that could not be asked, a line each."""

    @property
    def accepted(self) -> int:
        """New images."""
        return sum(count for (_, _, state, _), count in self.outcomes.items() if state == "accepted")

    def add(self, other: Summary) -> None:
        """Count another collection in."""
        self.found += other.found
        self.known += other.known
        self.restored += other.restored
        self.lost += other.lost
        self.unlicensed += other.unlicensed
        self.outcomes += other.outcomes
        self.problems += other.problems

    def text(self) -> str:
        """The summary for people: a line, a table of sources and categories, and a line for each reason and problem."""
        first = f"{self.found} candidates, {self.known} known before, {self.accepted} accepted"
        first += f", {self.restored} brought back to the store" if self.restored else ""
        first += f", {self.lost} gone from the store and from where they were" if self.lost else ""
        first += f"; {self.unlicensed} more passed over for their licence" if self.unlicensed else ""
        reasons: Counter[tuple[str, str]] = Counter()
        for (_, _, state, reason), count in self.outcomes.items():
            reasons[state, reason] += count if state != "accepted" else 0
        rest = [f"  {state} {reason}: {count}" for (state, reason), count in reasons.most_common() if count]
        return "\n".join([first, *self._table(), *rest, *(f"  not asked to its end: {problem}" for problem in self.problems)])

    def _table(self) -> list[str]:
        rows: dict[tuple[str, str], Counter[str]] = {}
        for (source, category, state, _), count in sorted(self.outcomes.items()):
            rows.setdefault((category or "(no category)", source), Counter())[state] += count
        if not rows:
            return []
        lines = [("category", "source", "accepted", "rejected", "failed")]
        lines += [(*names, *(str(counts[state]) for state in lines[0][2:])) for names, counts in rows.items()]  # type: ignore[misc]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return [
            "  " + "  ".join(cell.ljust(width) if number < 2 else cell.rjust(width) for number, (cell, width) in enumerate(row))
            for row in (list(zip(line, widths, strict=True)) for line in lines)
        ]
