"""Results of collecting: the frozen summary that commands return, and the counter that the pipeline fills."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from fototeca.collect.catalog import CandidateState, Erasure, ImageRow
from fototeca.core.console import escape_text
from fototeca.core.counting import count_of
from fototeca.core.passed_over import MAX_NAMES, PassedOver, PassedOverCount, list_names
from fototeca.core.results import Result
from fototeca.core.tables import render_table

LIKE_ERASED = 8
"""Bits of 64 in which the pHashes of two images may differ that are said to look alike."""


@dataclass(frozen=True)
class CandidateCount(Result):
    """Number of candidates of one source and category that ended with one state and reason."""

    source: str
    category: str
    state: CandidateState
    reason: str
    candidates: int
    names: tuple[str, ...] = ()
    """The first file names or URLs of those that were not accepted."""


@dataclass(frozen=True)
class CollectSummary(Result):
    """Result of one `collect` command."""

    candidates: int = 0
    """Candidates read, known ones included."""

    already_known: int = 0
    """Candidates that had a final state before."""

    accepted: int = 0
    """New images."""

    restored: int = 0
    """Known images whose missing file was stored again."""

    lost: int = 0
    """Known images whose file is missing from the store, and whose place now has another file or none."""

    excluded_by_license: int = 0
    """Candidates that the license filter excluded; they are not in the catalog, so another search may collect them."""

    counts: tuple[CandidateCount, ...] = ()
    """New final states by source, category, state and reason."""

    passed_over: tuple[PassedOverCount, ...] = ()
    """Files and rows that are not candidates, by reason; see docs/not-taken.md."""

    different_labels: tuple[str, ...] = ()
    """Lines about images that have another label than given, and the command that applies the given ones."""

    like_erased: tuple[str, ...] = ()
    """Ids of new images that look like images that were erased on request."""

    problems: tuple[str, ...] = ()
    """One line per query that a source did not answer completely."""

    def count(self, state: CandidateState, reason: str = "") -> int:
        """Return the number of candidates that ended with this state and reason."""
        return sum(row.candidates for row in self.counts if (row.state, row.reason) == (state, reason))

    def text(self) -> str:
        """Return the summary for the terminal: a line, a table, and a line per reason and problem."""
        first = f"{count_of(self.candidates, 'candidate')}, {self.already_known} already known, {self.accepted} accepted"
        first += f", {self.restored} restored to the store" if self.restored else ""
        first += f", {self.lost} lost from the store and from their source" if self.lost else ""
        first += f"; {self.excluded_by_license} more excluded by their license" if self.excluded_by_license else ""
        lines = [*self._reasons(), *(f"  passed over: {row.text()}" for row in self.passed_over)]
        lines += [f"  {line}" for line in self.different_labels]
        lines += [
            f"  warning: {image_id[:12]} looks like an image that was erased; if it is one: fototeca curate erase {image_id[:12]}"
            for image_id in self.like_erased
        ]
        return "\n".join([first, *self._table(), *lines, *(f"  incomplete: {problem}" for problem in self.problems)])

    def _reasons(self) -> list[str]:
        """Return a line for each reason of rejection or failure, with the first names."""
        counts: Counter[tuple[str, str]] = Counter()
        names: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for row in self.counts:
            if row.state != "accepted":
                counts[row.state, row.reason] += row.candidates
                names[row.state, row.reason] += row.names
        listed = {key: list_names(names[key][:MAX_NAMES], count) for key, count in counts.items()}
        return [
            f"  {state} {reason}: {count} ({listed[state, reason]})".removesuffix(" ()")
            for (state, reason), count in counts.most_common()
        ]

    def _table(self) -> list[str]:
        states = ("accepted", "rejected", "failed")
        totals: dict[tuple[str, str], Counter[str]] = {}
        for row in self.counts:
            totals.setdefault((row.category or "(no category)", row.source), Counter())[row.state] += row.candidates
        if not totals:
            return []
        rows = [(*names, *(counts[state] for state in states)) for names, counts in totals.items()]
        return [render_table(("category", "source", *states), rows, right=states, indent=2)]


@dataclass
class SummaryBuilder:
    """Mutable counters of a running command; the fields are those of CollectSummary."""

    candidates: int = 0
    already_known: int = 0
    restored: int = 0
    lost: int = 0
    excluded_by_license: int = 0
    counts: Counter[tuple[str, str, CandidateState, str]] = field(default_factory=Counter)
    """Candidates by source, category, state and reason."""

    names: defaultdict[tuple[str, str, CandidateState, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """First names of the candidates that were not accepted, by the same."""

    passed_over: PassedOver = field(default_factory=PassedOver)
    different_labels: tuple[str, ...] = ()
    like_erased: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def count(self, source: str, category: str, state: CandidateState, reason: str, name: str) -> None:
        """Count the new state of a candidate; `name` is shown if it was not accepted."""
        key = (source, category, state, reason)
        self.counts[key] += 1
        if state != "accepted" and name and len(self.names[key]) < MAX_NAMES:
            self.names[key].append(escape_text(name))

    def add_like_erased(self, image: ImageRow, erasures: Sequence[Erasure]) -> None:
        """Note a new image whose pHash differs from that of an erased one in at most LIKE_ERASED bits."""
        bits = int(image.phash, 16)
        if any((bits ^ int(row.phash, 16)).bit_count() <= LIKE_ERASED for row in erasures if row.phash):
            self.like_erased.append(image.image_id)

    def build(self) -> CollectSummary:
        """Return the counters as a frozen summary, counts sorted by source, category, state and reason."""
        counts: Sequence[CandidateCount] = [
            CandidateCount(*key, count, tuple(self.names.get(key, ()))) for key, count in sorted(self.counts.items())
        ]
        return CollectSummary(
            self.candidates,
            self.already_known,
            sum(row.candidates for row in counts if row.state == "accepted"),
            self.restored,
            self.lost,
            self.excluded_by_license,
            tuple(counts),
            self.passed_over.counts(),
            self.different_labels,
            tuple(self.like_erased),
            tuple(self.problems),
        )
