"""The result of a sweep or a search."""

from __future__ import annotations

from dataclasses import dataclass, field

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.train.runs import Run


@dataclass(frozen=True)
class FailedPoint(Result):
    """A point of a plan or a search that has no finished run."""

    point: str
    reason: str
    is_skipped: bool = False
    """True if it was skipped or pruned on purpose, not an error."""


@dataclass
class SweepResult:
    """The finished runs of a sweep, best on validation first, and the points without one."""

    runs: list[Run] = field(default_factory=list)
    failed: list[FailedPoint] = field(default_factory=list)

    def add_error(self, point: str, error: FototecaError) -> None:
        """Record and print the error of a point."""
        notify(f"  {point} failed: {error}")
        self.failed.append(FailedPoint(point, str(error)))

    def first_reason(self, default: str) -> str:
        """Return the reason of the first failed point, or `default`."""
        return self.failed[0].reason if self.failed else default
