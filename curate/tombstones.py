"""`manifests/erased.csv`: the tombstones in git, for clones of a workspace and for the recovery of a lost catalog."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from fototeca.collect.catalog import Erasure
from fototeca.core.files import write_csv
from fototeca.core.workspace import Workspace

COLUMNS = ("image_id", "phash", "time", "actor", "reason")
_ID, _PHASH = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{16}|")


def read_tombstones(workspace: Workspace) -> dict[str, Erasure]:
    """Return the tombstones in the file by image id; rows that are none are left out, since the file may come from elsewhere."""
    path = workspace.manifests / "erased.csv"
    try:
        text = path.read_text(encoding="utf-8")
        rows = [dict(zip(COLUMNS, cells, strict=True)) for cells in csv.reader(io.StringIO(text, newline="")) if len(cells) == 5]
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    valid = (row for row in rows if _ID.fullmatch(row["image_id"]) and _PHASH.fullmatch(row["phash"]))
    return {row["image_id"]: Erasure(**row, is_complete=True) for row in valid}


def write_tombstones(workspace: Workspace, erasures: Iterable[Erasure]) -> None:
    """Add tombstones to the file, which keeps those that it has."""
    rows = {erasure.image_id: erasure for erasure in erasures} | read_tombstones(workspace)
    cells = [[getattr(row, name) for name in COLUMNS] for _, row in sorted(rows.items())]
    write_csv(workspace.manifests / "erased.csv", COLUMNS, cells)
