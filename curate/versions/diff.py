"""List the versions, and compare two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow, list_versions, read_manifest, read_metadata

MAX_ROWS = 10
"""Images of each kind of change that the table of a diff lists."""


@dataclass(frozen=True)
class VersionSummary(Result):
    """Summary of a version, from its JSON."""

    version: str
    created: str
    rows: int
    splits: dict[str, int]
    parent: str | None
    seed: int
    ratios: list[float]
    threshold: int | None
    note: str
    sha256: str


@dataclass(frozen=True)
class ImageChange:
    """A value of an image in the old and in the new version."""

    image_id: str
    old: str
    new: str


@dataclass(frozen=True)
class VersionDiff(Result):
    """Changes from the version `old` to the version `new`."""

    old: str
    new: str
    added: tuple[ManifestRow, ...]
    removed: tuple[ManifestRow, ...]
    relabelled: tuple[ImageChange, ...]
    moved: tuple[ImageChange, ...]
    """Images with another split."""
    regrouped: tuple[ImageChange, ...]
    reviewed: tuple[ImageChange, ...]

    @property
    def changes(self) -> dict[str, tuple[ImageChange, ...]]:
        """Changes of images that are in both versions, by kind."""
        return {name: getattr(self, name) for name in ("relabelled", "moved", "regrouped", "reviewed")}

    def to_json(self) -> dict[str, Any]:
        """Return the output of `diff --json`: image_id, label and split of added and removed images, changes with from and to."""
        rows = {
            name: [{"image_id": row.image_id, "label": row.label, "split": row.split} for row in getattr(self, name)]
            for name in ("added", "removed")
        }
        changes = {
            name: [{"image_id": change.image_id, "from": change.old, "to": change.new} for change in members]
            for name, members in self.changes.items()
        }
        return {"from": self.old, "to": self.new, **rows, **changes}


def describe_versions(workspace: Workspace) -> list[VersionSummary]:
    """Return the summaries of all versions, oldest first."""
    documents = (read_metadata(workspace, version) for version in list_versions(workspace))
    return [VersionSummary(**{name: document[name] for name in VersionSummary.__annotations__}) for document in documents]


def versions_table(versions: list[VersionSummary]) -> str:
    """Format the versions for people."""
    if not versions:
        return "no versions yet; run: fototeca curate freeze"
    lines = (
        f"{summary.version}  {summary.created[:19].replace('T', ' ')}  {summary.rows:6} images  "
        f"{'/'.join(str(count) for count in summary.splits.values()):>16}  {summary.note}".rstrip()
        for summary in versions
    )
    return "\n".join(lines)


def diff_versions(workspace: Workspace, old: str, new: str) -> VersionDiff:
    """Compare two versions: images added and removed, and changes of label, split, group and review.

    Raises:
        FototecaError: a version does not exist or was edited.
    """
    before, after = read_manifest(workspace, old), read_manifest(workspace, new)
    first = {row.image_id: row for row in before.rows}
    second = {row.image_id: row for row in after.rows}
    common = [(first[image_id], row) for image_id, row in second.items() if image_id in first]

    def changes(value: Callable[[ManifestRow], str]) -> tuple[ImageChange, ...]:
        return tuple(ImageChange(a.image_id, value(a), value(b)) for a, b in common if value(a) != value(b))

    return VersionDiff(
        old=before.version,
        new=after.version,
        added=tuple(row for image_id, row in second.items() if image_id not in first),
        removed=tuple(row for image_id, row in first.items() if image_id not in second),
        relabelled=changes(lambda row: row.label),
        moved=changes(lambda row: row.split),
        regrouped=changes(lambda row: row.group),
        reviewed=changes(lambda row: "yes" if row.reviewed else "no"),
    )


def diff_table(diff: VersionDiff) -> str:
    """Format a diff for people: a count per kind and category, and the first images of each kind."""
    lines = [f"{diff.old} -> {diff.new}"]
    for kind, rows in (("added", diff.added), ("removed", diff.removed)):
        per_label = Counter(row.label for row in rows)
        lines.append(f"{kind}: {len(rows)}")
        lines += [f"  {label or '(none)'}: {count}" for label, count in sorted(per_label.items())]
    for kind, changes in diff.changes.items():
        lines.append(f"{kind}: {len(changes)}")
        short = 12 if kind == "regrouped" else None
        lines += [
            f"  {change.image_id[:12]}  {change.old[:short] or '(none)'} -> {change.new[:short] or '(none)'}"
            for change in changes[:MAX_ROWS]
        ]
        if len(changes) > MAX_ROWS:
            lines.append(f"  and {len(changes) - MAX_ROWS} more (--json has all)")
    return "\n".join(lines)
