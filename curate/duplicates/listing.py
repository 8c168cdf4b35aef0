"""The near-duplicate groups as rows: what `curate groups` shows."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypedDict

from fototeca.collect.catalog import Catalog, TieRow
from fototeca.core.files import write_text
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.verdict import TO_REVIEW
from fototeca.curate.labels.apart import read_apart_partners
from fototeca.curate.labels.categories import differing_labels

GROUP_COLUMNS = ("image_id", "group", "kept", "reason", "distance", "label", "source", "file_name", "kind")


class MemberRow(TypedDict):
    """One image of a group."""

    image_id: str
    group: str
    kept: bool
    reason: str
    """Relation to the group's best copy."""
    distance: float
    label: str
    source: str
    file_name: str
    """Original name, relative to the folder or archive that the image came in."""
    kind: str
    """Kind of its tie, see `curate.duplicates.verdict`."""


@dataclass(frozen=True)
class PossibleCopyRow(Result):
    """Two accepted images of which one may be a copy of the other, for a person to decide. `kind`: overlay or unverified."""

    image_ids: tuple[str, str]
    kind: str
    labels: tuple[str, str]
    file_names: tuple[str, str]


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
                kind=row.kind,
            )
            for row in catalog.groups.all()
            if (image := catalog.images.get(row.image_id))
        ]
    labels = defaultdict(set)
    for row in rows:
        labels[row["group"]].add(row["label"])
    return sorted(rows, key=lambda row: (len(labels[row["group"]]) < 2, row["group"], not row["kept"], row["image_id"]))


def list_possible_copies(workspace: Workspace) -> list[PossibleCopyRow]:
    """Return the pairs of accepted images about which a person decides whether one is a copy, by id."""
    with Catalog.open(workspace) as catalog:
        file_names = catalog.provenance.file_names()
        labels = {image.image_id: image.label for image in catalog.images.all("accepted")}
        return [
            PossibleCopyRow(
                (tie.a, tie.b),
                tie.kind,
                (labels[tie.a], labels[tie.b]),
                (file_names.get(tie.a, ""), file_names.get(tie.b, "")),
            )
            for tie in undecided_ties(catalog, labels)
        ]


def undecided_ties(catalog: Catalog, accepted: Container[str]) -> list[TieRow]:
    """Return the ties of accepted images about which a person decides, and nobody has declared the two images apart."""
    partners = read_apart_partners(catalog)
    return [
        tie
        for tie in catalog.groups.ties()
        if tie.kind in TO_REVIEW and tie.a in accepted and tie.b in accepted and tie.b not in partners.get(tie.a, ())
    ]


def write_groups_csv(rows: list[MemberRow], path: Path) -> None:
    """Write the rows with COLUMNS."""
    text = io.StringIO()
    writer = csv.DictWriter(text, GROUP_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "kept": "yes" if row["kept"] else "no"} for row in rows)
    write_text(path, text.getvalue())


def groups_table(rows: Sequence[MemberRow], possible_copies: Sequence[PossibleCopyRow] = ()) -> str:
    """Return the rows as text, groups apart, with the labels that contradict each other; then the possible copies."""
    lines: list[str] = []
    for name, members in groupby(rows, key=lambda row: row["group"]):
        group = list(members)
        labels = differing_labels(row["label"] for row in group)
        lines.append(f"group {name}" + (f"  label conflict: {', '.join(labels)}" if labels else ""))
        lines += [_member_line(row) for row in group]
    if possible_copies:
        lines.append("possible copies, none of them set aside; to decide: fototeca curate review --web")
        lines += [_pair_line(pair) for pair in possible_copies]
    return "\n".join(lines) if lines else "no groups; they are made by: fototeca curate dedup"


def _member_line(row: MemberRow) -> str:
    mark = "kept     " if row["kept"] else "set aside"
    match = f"{row['reason']:9} {row['distance']:4.0f}"
    cells = (row["image_id"][:12], mark, match, row["label"], row["source"], row["file_name"])
    return f"  {'  '.join(cells)}".rstrip()


def _pair_line(pair: PossibleCopyRow) -> str:
    images = (f"{pair.image_ids[place][:12]}  {pair.labels[place]}  {pair.file_names[place]}".rstrip() for place in (0, 1))
    return f"  {pair.kind:10}  {'  and  '.join(images)}"
