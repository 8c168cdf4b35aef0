"""Log of accesses to the test split: time, actor, run, purpose and result. Lines are only appended.

An access is logged before any prediction is read or computed, and again with its result, so an interrupted access is logged too.
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

LOG_COLUMNS = ("time", "actor", "version", "run", "n", "accuracy", "purpose", "access_id")
"""Columns of the log; both lines of an access share its `access_id`."""

PREDICT, REPORT = "predict", "report"
"""Purposes of accesses to single images, and of a report that shows stored predictions."""


@dataclass(frozen=True)
class TestAccess:
    """One access to the test split of `version`.

    `time` is UTC, ISO 8601. `n` and `accuracy` are None for an access without a result; only `accuracy` is None for
    predictions of single images.
    """

    time: str
    actor: str
    version: str
    run: str
    n: int | None
    accuracy: float | None
    purpose: str
    """The command that accessed the split."""
    access_id: str


@dataclass(frozen=True)
class TestAccessLog:
    """The accesses to one version's test split, oldest first."""

    accesses: tuple[TestAccess, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs evaluated on the whole split, by their first access; deleted runs are included."""
        return tuple(dict.fromkeys(access.run for access in self.full_accesses))

    @property
    def full_accesses(self) -> tuple[TestAccess, ...]:
        """The accesses to the whole split, without predictions of single images."""
        return tuple(access for access in self.accesses if access.purpose != PREDICT)

    def full_accesses_of(self, run: str) -> tuple[TestAccess, ...]:
        """Return the accesses to the whole split with one run."""
        return tuple(access for access in self.full_accesses if access.run == run)

    def has_evaluation(self, run: str) -> bool:
        """Return True if `evaluate` accessed the split with this run."""
        return any(access.purpose.startswith("evaluate") for access in self.full_accesses_of(run))

    def accuracies(self, run: str) -> tuple[float, ...]:
        """Return the distinct accuracies of a run: more than one if test-time augmentation was evaluated too."""
        return tuple(dict.fromkeys(access.accuracy for access in self.full_accesses_of(run) if access.accuracy is not None))


def access_log_path(workspace: Workspace) -> Path:
    """Return the path of `data/runs/test_access.csv`."""
    return workspace.runs / "test_access.csv"


def open_access(workspace: Workspace, version: str, run: str, purpose: str) -> TestAccess:
    """Log the start of an access to the test split; call it before predictions are read or computed."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    access = TestAccess(moment, user_name(), version, run, None, None, purpose, os.urandom(4).hex())
    _append(workspace, access)
    return access


def close_access(workspace: Workspace, access: TestAccess, n: int, accuracy: float | None) -> None:
    """Log the result of an access: the number of images and the accuracy on them."""
    moment, rounded = datetime.now(UTC).isoformat(timespec="seconds"), None if accuracy is None else round(accuracy, 6)
    _append(workspace, replace(access, time=moment, n=n, accuracy=rounded))


def read_accesses(workspace: Workspace, version: str) -> list[TestAccess]:
    """Return the accesses to a version's test split, oldest first; a truncated line counts as far as it can be parsed."""
    path = access_log_path(workspace)
    if not path.exists():
        return []
    accesses: dict[str, TestAccess] = {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, line in enumerate(file):  # line by line: an unclosed quote would swallow the lines after it
            access = _parse(next(csv.reader([line]), []), number)
            if access and access.version == version:
                first = accesses.setdefault(access.access_id, access)
                accesses[access.access_id] = replace(access, time=first.time)
    return list(accesses.values())


def read_access_log(workspace: Workspace, version: str) -> TestAccessLog:
    """Return the log of a version's test split."""
    return TestAccessLog(tuple(read_accesses(workspace, version)))


def _append(workspace: Workspace, access: TestAccess) -> None:
    """Append a line and flush it to disk; start a new line if the last one was truncated."""
    path = access_log_path(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        is_truncated = False
        if file.tell():
            file.seek(-1, os.SEEK_END)
            is_truncated = file.read(1) != b"\n"
        head = "" if file.tell() else ",".join(LOG_COLUMNS) + "\n"
        file.write((("\n" if is_truncated else head) + _line(access)).encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _line(access: TestAccess) -> str:
    values = [getattr(access, name) for name in LOG_COLUMNS]
    return csv_text(LOG_COLUMNS, [["" if value is None else value for value in values]]).split("\n", 1)[1]


def _parse(cells: Sequence[str], number: int) -> TestAccess | None:
    """Return the access of a line; None for the header and for a line truncated before its run."""
    if len(cells) < 5 or cells[0] == LOG_COLUMNS[0]:
        return None
    time, actor, version, run, n, accuracy, purpose, access_id = (*cells, "", "", "")[: len(LOG_COLUMNS)]
    count = int(n) if n.isdigit() else None
    return TestAccess(time, actor, version, run, count, _number(accuracy), purpose, access_id or f"line {number}")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
