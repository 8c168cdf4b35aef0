"""`manifests/erased.csv`: the tombstones in git, for clones of a workspace and for the recovery of a lost catalog."""

from __future__ import annotations

from collections.abc import Iterable

from fototeca.collect.catalog import Erasure
from fototeca.core.documents import Document
from fototeca.core.files import write_csv
from fototeca.core.kinds import IMAGE_ID, LINE, TIME, Kind, Text
from fototeca.core.workspace import Workspace

COLUMNS: dict[str, Kind] = {
    "image_id": IMAGE_ID,
    "phash": Text(r"([0-9a-f]{16})?", "16 hexadecimal digits, or empty", 16),
    "time": TIME,
    "actor": LINE,
    "reason": LINE,
}
"""The columns of `erased.csv`, in order."""


def read_tombstones(workspace: Workspace) -> dict[str, Erasure]:
    """Return the tombstones in the file by image id; none without the file. FototecaError if it is malformed."""
    path = workspace.manifests / "erased.csv"
    if not path.exists():
        return {}
    rows = Document(path, "manifests/erased.csv", "restore it: git checkout manifests/erased.csv").rows(COLUMNS)
    return {row["image_id"]: Erasure(**row, is_complete=True) for row in rows}


def write_tombstones(workspace: Workspace, erasures: Iterable[Erasure]) -> None:
    """Add tombstones to the file, which keeps those that it has."""
    rows = {erasure.image_id: erasure for erasure in erasures} | read_tombstones(workspace)
    cells = [[getattr(row, name) for name in COLUMNS] for _, row in sorted(rows.items())]
    write_csv(workspace.manifests / "erased.csv", tuple(COLUMNS), cells)
