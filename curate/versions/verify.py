"""Verifying a version: the manifest, its decisions, and every image's bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow, counted_facts, is_stored, list_versions, read_facts, read_manifest
from fototeca.curate.versions.decision_log import kept_decisions
from fototeca.vision.threads import image_threads

THREADS = 2
"""Readers at once: digesting is bound by the disk."""


def verify_version(workspace: Workspace, version: str) -> dict[str, Any]:
    """Check a version; returns version, ok and problems (texts). FototecaError only when there is no such version."""
    facts = read_facts(workspace, version)
    problems = list(_decision_problems(workspace, facts))
    try:
        manifest = read_manifest(workspace, facts["version"])
        earlier = [read_manifest(workspace, name) for name in _before(workspace, facts["version"])]
    except FototecaError as error:
        problems.append(str(error))
    else:
        problems += _fact_problems(manifest, facts, earlier)
        problems += _row_problems(manifest)
        problems += _image_problems(workspace, manifest)
    return {"version": facts["version"], "ok": not problems, "problems": problems}


def _before(workspace: Workspace, version: str) -> list[str]:
    names = list_versions(workspace)
    return names[: names.index(version)]


def _fact_problems(manifest: Manifest, facts: dict[str, Any], earlier: list[Manifest]) -> Iterator[str]:
    """What the JSON says and its rows or the versions before do not."""
    for name, counted in counted_facts(manifest).items():
        if json.dumps(facts[name]) != json.dumps(counted):  # in order too: it is that of the categories
            yield f"{manifest.version}.json says {name}: {facts[name]}, the rows {counted}"
    parent = earlier[-1].version if earlier else None
    if manifest.parent != parent:
        yield f"{manifest.version}.json says parent: {manifest.parent}, the version before is {parent}"
    known = {row.image_id: row.split for version in earlier for row in version.rows}
    told = {(row.get("image_id"), row.get("from"), row.get("to")) for row in manifest.moved if isinstance(row, dict)}
    for row in manifest.rows:
        before = known.get(row.image_id, row.split)
        if before != row.split and (row.image_id, before, row.split) not in told:
            yield f"image {row.image_id[:12]} was in {before} and is in {row.split}, which {manifest.version}.json does not tell"


def _decision_problems(workspace: Workspace, facts: dict[str, Any]) -> Iterator[str]:
    """Whether the decisions beside the manifest are those that were frozen."""
    try:
        kept = kept_decisions(workspace, facts["version"])
    except FototecaError as error:
        yield str(error)
        return
    if len(kept) != facts["decisions"]:
        yield f"{facts['version']}.json says decisions: {facts['decisions']}, there are {len(kept)}"


def _row_problems(manifest: Manifest) -> Iterator[str]:
    """What would make a manifest unfit although its digest is right."""
    splits: dict[str, str] = {}
    ids = [row.image_id for row in manifest.rows]
    if ids != sorted(set(ids)):
        yield f"{manifest.version}.csv has images twice, or not in the order of their ids"
    for row in manifest.rows:
        if manifest.task == "single" and len(row.labels) != 1:
            yield f"image {row.image_id[:12]} has {len(row.labels)} labels in a single-label dataset"
        if splits.setdefault(row.group, row.split) != row.split:
            yield f"group {row.group[:12]} is in {splits[row.group]} and in {row.split}"
        unknown = set(row.labels) - set(manifest.categories)
        if unknown:
            yield f"image {row.image_id[:12]} has an unknown label: {', '.join(sorted(unknown))}"


def _image_problems(workspace: Workspace, manifest: Manifest) -> list[str]:
    """Images that are gone or whose bytes are others."""

    def check(row: ManifestRow) -> str:
        path = workspace.root / row.path
        if not is_stored(row):
            return f"image {row.image_id[:12]} lies outside data/images: {row.path}"
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return f"image {row.image_id[:12]} is gone: {row.path}"
        except OSError as error:
            return f"image {row.image_id[:12]} cannot be read: {error}"
        return "" if found == row.image_id else f"image {row.image_id[:12]} has other bytes than its id says: {row.path}"

    with image_threads(THREADS) as pool:
        results = pool.map(check, manifest.rows)
        bar = tqdm(results, total=len(manifest.rows), desc="verify", unit="image", disable=None)
        return [problem for problem in bar if problem]
