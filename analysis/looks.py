"""The ledger of looks at the test split: who looked when, with which run, and what came out. Lines are only appended."""

from __future__ import annotations

import csv
import getpass
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from workspace import Workspace

COLUMNS = ("time", "who", "version", "run", "n", "accuracy")


@dataclass(frozen=True)
class Look:
    """One line of the ledger. `time` is UTC, ISO 8601."""

    time: str
    who: str
    version: str
    run: str
    n: int
    accuracy: float


def ledger(workspace: Workspace) -> Path:
    """`data/runs/test-looks.csv`."""
    return workspace.runs / "test-looks.csv"


def write_look(workspace: Workspace, version: str, run: str, n: int, accuracy: float) -> Look:
    """Append a look and flush it to disk."""
    who = os.environ.get("FOTOTECA_USER") or getpass.getuser()
    look = Look(datetime.now(UTC).isoformat(timespec="seconds"), who, version, run, n, round(accuracy, 6))
    path = ledger(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        writer.writerow([getattr(look, name) for name in COLUMNS])
        file.flush()
        os.fsync(file.fileno())
    return look


def read_looks(workspace: Workspace, version: str) -> list[Look]:
    """The looks at a version's test split, oldest first."""
    path = ledger(workspace)
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["version"] == version]
    return [Look(row["time"], row["who"], version, row["run"], int(row["n"]), float(row["accuracy"])) for row in rows]
