"""The ledger of looks at the test split: who looked when, with which run, what for, and what came out. Lines are only appended.

A look is written before anything is asked, and again with what came out: one that was cut off was a look too.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from fototeca.analysis.tabular import csv_text
from fototeca.collect.catalog import user_name
from fototeca.core.workspace import Workspace

COLUMNS = ("time", "who", "version", "run", "n", "accuracy", "purpose", "look")
"""`look` is the same in both lines of a look."""

PREDICT, REPORT = "predict", "report"
"""Purposes of looks that are of single images, and that show what another look had stored."""


@dataclass(frozen=True)
class TestAccess:
    """One look at the test split of `version`. `time` is UTC, ISO 8601; `n` and `accuracy` are None where nothing came out, and
    `accuracy` alone where single images were asked about."""

    time: str
    who: str
    version: str
    run: str
    n: int | None
    accuracy: float | None
    purpose: str
    """The command that looked."""
    look: str


@dataclass(frozen=True)
class TestAccessLog:
    """The looks at one version's test split, oldest first: what texts about them are made of."""

    looks: tuple[TestAccess, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that were looked at on all of the split, in the order of their first look; some may be deleted by now."""
        return tuple(dict.fromkeys(look.run for look in self.whole))

    @property
    def whole(self) -> tuple[TestAccess, ...]:
        """The looks at all of the split."""
        return tuple(look for look in self.looks if look.purpose != PREDICT)

    def whole_of(self, run: str) -> tuple[TestAccess, ...]:
        """The looks at all of the split with one run."""
        return tuple(look for look in self.whole if look.run == run)

    def evaluated(self, run: str) -> bool:
        """Whether a look is that of the command that asks a run about all of the split."""
        return any(look.purpose.startswith("evaluate") for look in self.whole_of(run))

    def accuracies(self, run: str) -> tuple[float, ...]:
        """The different accuracies that were seen of a run: more than one where views were tried too."""
        return tuple(dict.fromkeys(look.accuracy for look in self.whole_of(run) if look.accuracy is not None))


def ledger(workspace: Workspace) -> Path:
    """`data/runs/test-looks.csv`."""
    return workspace.runs / "test-looks.csv"


def open_look(workspace: Workspace, version: str, run: str, purpose: str) -> TestAccess:
    """Write down that the test split is about to be looked at. Call it before anything is read or asked."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    look = TestAccess(moment, user_name(), version, run, None, None, purpose, os.urandom(4).hex())
    _append(workspace, look)
    return look


def close_look(workspace: Workspace, look: TestAccess, n: int, accuracy: float | None) -> None:
    """Write down what came out of a look."""
    moment, rounded = datetime.now(UTC).isoformat(timespec="seconds"), None if accuracy is None else round(accuracy, 6)
    _append(workspace, replace(look, time=moment, n=n, accuracy=rounded))


def read_looks(workspace: Workspace, version: str) -> list[TestAccess]:
    """The looks at a version's test split, oldest first; lines that were torn count as far as they can be read."""
    path = ledger(workspace)
    if not path.exists():
        return []
    found: dict[str, TestAccess] = {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, line in enumerate(file):  # line by line: a torn quotation would swallow those that follow
            look = _parse(next(csv.reader([line]), []), number)
            if look and look.version == version:
                first = found.setdefault(look.look, look)
                found[look.look] = replace(look, time=first.time)
    return list(found.values())


def read_ledger(workspace: Workspace, version: str) -> TestAccessLog:
    """`read_looks` with the questions that texts ask of them."""
    return TestAccessLog(tuple(read_looks(workspace, version)))


def _append(workspace: Workspace, look: TestAccess) -> None:
    """Add a line and flush it to disk; it begins on a new line even if the last one was torn."""
    path = ledger(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        torn = False
        if file.tell():
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
        head = "" if file.tell() else ",".join(COLUMNS) + "\n"
        file.write((("\n" if torn else head) + _line(look)).encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _line(look: TestAccess) -> str:
    values = [getattr(look, name) for name in COLUMNS]
    return csv_text(COLUMNS, [["" if value is None else value for value in values]]).split("\n", 1)[1]


def _parse(cells: Sequence[str], number: int) -> TestAccess | None:
    """The look of a line; None for the head, and where not even the run is whole."""
    if len(cells) < 5 or cells[0] == COLUMNS[0]:
        return None
    time, who, version, run, n, accuracy, purpose, name = (*cells, "", "", "")[: len(COLUMNS)]
    counted = int(n) if n.isdigit() else None
    return TestAccess(time, who, version, run, counted, _number(accuracy), purpose, name or f"line {number}")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
