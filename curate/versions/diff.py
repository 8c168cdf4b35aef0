"""What versions there are, and what changed between two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow, list_versions, read_manifest, read_metadata

SHOWN = 10
"""Images of each kind that the table of a diff names."""


def describe_versions(workspace: Workspace) -> list[dict[str, Any]]:
    """The facts of every version, oldest first."""
    names = ("version", "created", "rows", "splits", "parent", "seed", "ratios", "threshold", "note", "sha256")
    return [{name: facts[name] for name in names} for facts in (read_metadata(workspace, v) for v in list_versions(workspace))]


def versions_table(versions: list[dict[str, Any]]) -> str:
    """The versions for people."""
    if not versions:
        return "no versions yet; run: fototeca curate freeze"
    lines = (
        f"{facts['version']}  {facts['created'][:19].replace('T', ' ')}  {facts['rows']:6} images  "
        f"{'/'.join(str(count) for count in facts['splits'].values()):>16}  {facts['note']}".rstrip()
        for facts in versions
    )
    return "\n".join(lines)


def diff_versions(workspace: Workspace, old: str, new: str) -> dict[str, Any]:
    """What changed from `old` to `new`: added, removed, relabelled, moved (split), regrouped, reviewed."""
    before, after = read_manifest(workspace, old), read_manifest(workspace, new)
    first = {row.image_id: row for row in before.rows}
    second = {row.image_id: row for row in after.rows}
    both = [(first[image_id], row) for image_id, row in second.items() if image_id in first]

    def changed(value: Callable[[ManifestRow], str]) -> list[dict[str, str]]:
        return [{"image_id": a.image_id, "from": value(a), "to": value(b)} for a, b in both if value(a) != value(b)]

    return {
        "from": before.version,
        "to": after.version,
        "added": [_named(row) for image_id, row in second.items() if image_id not in first],
        "removed": [_named(row) for image_id, row in first.items() if image_id not in second],
        "relabelled": changed(lambda row: row.label),
        "moved": changed(lambda row: row.split),
        "regrouped": changed(lambda row: row.group),
        "reviewed": changed(lambda row: "yes" if row.reviewed else "no"),
    }


def _named(row: ManifestRow) -> dict[str, str]:
    return {"image_id": row.image_id, "label": row.label, "split": row.split}


def diff_table(facts: dict[str, Any]) -> str:
    """The changes for people: a count per kind and category, and the first images of each kind."""
    lines = [f"{facts['from']} -> {facts['to']}"]
    for kind in ("added", "removed"):
        per_label = Counter(row["label"] for row in facts[kind])
        lines.append(f"{kind}: {len(facts[kind])}")
        lines += [f"  {label or '(none)'}: {count}" for label, count in sorted(per_label.items())]
    for kind in ("relabelled", "moved", "regrouped", "reviewed"):
        lines.append(f"{kind}: {len(facts[kind])}")
        short = 12 if kind == "regrouped" else None
        rows = facts[kind][:SHOWN]
        lines += [f"  {r['image_id'][:12]}  {r['from'][:short] or '(none)'} -> {r['to'][:short] or '(none)'}" for r in rows]
        if len(facts[kind]) > SHOWN:
            lines.append(f"  and {len(facts[kind]) - SHOWN} more (--json has all)")
    return "\n".join(lines)
