"""The near-duplicate groups as rows: what `curate groups` shows."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from pathlib import Path
from typing import TypedDict

from fototeca.collect.catalog import Catalog
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace

GROUP_COLUMNS = ("image_id", "group", "kept", "reason", "distance", "label", "source", "file_name")


class MemberRow(TypedDict):
    """One image of a group."""

    image_id: str
    group: str
    kept: bool
    reason: str
    """How it is tied to the group's best copy."""
    distance: float
    label: str
    source: str
    file_name: str
    """Original name, relative to the folder or archive that the image came in."""


def list_groups(workspace: Workspace) -> list[MemberRow]:
    """Every grouped image; groups whose images bear different labels first, in each group the kept copies first."""
    with Catalog.open(workspace) as catalog:
        file_names = catalog.provenance.file_names()
        rows: list[MemberRow] = [
            MemberRow(
                image_id=row.image_id,
                group=row.group_id,
                kept=row.is_representative,
                reason=row.reason,
                distance=row.distance,
                label=image.label,
                source=next((finding.source for finding in catalog.provenance.of_image(row.image_id)), ""),
                file_name=file_names.get(row.image_id, ""),
            )
            for row in catalog.groups.all()
            if (image := catalog.images.get(row.image_id))
        ]
    labels = defaultdict(set)
    for row in rows:
        labels[row["group"]].add(row["label"])
    return sorted(rows, key=lambda row: (len(labels[row["group"]]) < 2, row["group"], not row["kept"], row["image_id"]))


def write_groups_csv(rows: list[MemberRow], path: Path) -> None:
    """Write the rows with COLUMNS."""
    text = io.StringIO()
    writer = csv.DictWriter(text, GROUP_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "kept": "yes" if row["kept"] else "no"} for row in rows)
    write_text(path, text.getvalue())


def groups_table(rows: list[MemberRow]) -> str:
    """The rows as text, groups apart."""
    lines: list[str] = []
    last = ""
    for row in rows:
        if row["group"] != last:
            lines.append(f"group {row['group']}")
            last = row["group"]
        mark = "kept     " if row["kept"] else "set aside"
        match = f"{row['reason']:9} {row['distance']:4.0f}"
        cells = (row["image_id"][:12], mark, match, row["label"], row["source"], row["file_name"])
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(lines) if lines else "no groups; they are made by: fototeca curate dedup"
