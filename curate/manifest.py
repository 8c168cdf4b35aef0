"""Read and write frozen versions: `manifests/vNNN.csv`, its decisions and, last, `vNNN.json`. See docs/manifests.md.

A version is never overwritten, and a CSV whose digest differs from the one in the JSON is refused.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version as installed_version
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from fototeca.collect.catalog import Decision
from fototeca.core.errors import FototecaError
from fototeca.core.files import csv_bytes, write_bytes, write_text
from fototeca.core.settings import LABEL_SEPARATOR, Task
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest_fields import FIELDS_IF_SET, METADATA_FIELDS, find_invalid
from fototeca.curate.tombstones import read_tombstones

SplitName = Literal["train", "val", "test"]

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""The splits of a dataset, in the order of ratios."""

DECISION_COLUMNS = tuple(field.name for field in fields(Decision) if field.name != "decision_id")
"""The columns of `vNNN.decisions.csv`."""

SCHEMA = 2
"""Version of the files beside a manifest. In schema 1, decisions have the columns image_id, time, who, old, new, why."""


@dataclass(frozen=True)
class ManifestRow:
    """One image of a version. `path` is relative to the workspace; `label` joins several labels with `|`."""

    image_id: str
    path: str
    label: str
    split: SplitName
    group: str
    width: int
    height: int
    phash: str
    source: str
    image_url: str
    page_url: str
    author: str
    license: str
    reviewed: bool

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories of the image: exactly one, or any number for multi-label tasks."""
        return tuple(self.label.split(LABEL_SEPARATOR)) if self.label else ()

    def cells(self) -> list[str]:
        """Return the cells of the row in the order of `MANIFEST_COLUMNS`."""
        return [
            ("yes" if value else "no") if isinstance(value, bool) else str(value)
            for value in (getattr(self, name) for name in MANIFEST_COLUMNS)
        ]


MANIFEST_COLUMNS = tuple(field.name for field in fields(ManifestRow))
"""Columns of `vNNN.csv`, in order."""


@dataclass(frozen=True)
class Manifest:
    """One frozen version. `ratios` are percentages of train, val and test; `path` is the CSV."""

    version: str
    dataset_name: str
    task: Task
    categories: tuple[str, ...]
    rows: tuple[ManifestRow, ...] = field(repr=False)
    sha256: str
    seed: int
    ratios: tuple[float, float, float]
    threshold: int | None
    """The duplicate threshold of the groups, in bits; None if no search for duplicates had run."""
    parent: str | None
    created: str
    note: str
    path: Path
    last_decision: int = 0
    """Id of the newest catalog decision that this version includes."""
    moved: tuple[dict[str, str], ...] = ()
    """Images whose split had to change because groups merged: image_id, from, to, group."""
    unsearched: int = 0
    """Number of images that the last search for duplicates did not cover: added later, or unreadable."""
    uneven: tuple[dict[str, Any], ...] = ()
    """Shares that deviate by more than two points: label, split, share, wanted, reason."""
    source_splits: str = ""
    """Split of each row as its source gives it, in the order of ids: 0 train, 1 val, 2 test, - none; empty if none has one."""
    leaks: tuple[dict[str, Any], ...] = ()
    """Groups that are in several splits of their source: group, splits, split, frozen, image_ids."""
    missing_splits: dict[str, Any] = field(default_factory=dict)
    """Splits that the sources give to no image of a category, so that train images take their place."""
    group_by: str = ""
    """`scene` if the images of a scene share a split; empty if only near-duplicates and groups of sources do."""
    decode_version: int = 1
    """`vision.image.DECODE_VERSION` at the time of the freeze; 1 for versions that do not name it."""

    def split(self, name: str) -> tuple[ManifestRow, ...]:
        """Return the rows of one split."""
        return tuple(row for row in self.rows if row.split == name)

    def split_counts(self) -> dict[str, int]:
        """Return the number of images per split."""
        counts = Counter(row.split for row in self.rows)
        return {name: counts[name] for name in SPLITS}

    def label_counts(self) -> dict[str, dict[str, int]]:
        """Return the number of images per category and split, categories in order."""
        counts = Counter((label, row.split) for row in self.rows for label in row.labels)
        return {label: {name: counts[label, name] for name in SPLITS} for label in self.categories}


def list_versions(workspace: Workspace) -> list[str]:
    """List the complete versions, oldest first."""
    names = [path.stem for path in workspace.manifests.glob("v*.json") if re.fullmatch(r"v\d{3,}", path.stem)]
    return sorted(names, key=lambda name: int(name[1:]))


def next_version(workspace: Workspace) -> str:
    """Return the name of the version that the next freeze makes."""
    versions = list_versions(workspace)
    return f"v{int(versions[-1][1:]) + 1 if versions else 1:03}"


def read_manifest(workspace: Workspace, version: str) -> Manifest:
    """Read a version (`v001`, or `latest`).

    Raises:
        FototecaError: the version does not exist or is incomplete, or its CSV was edited after the freeze.
    """
    metadata = read_metadata(workspace, version)
    path = workspace.manifests / f"{metadata['version']}.csv"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FototecaError(f"manifests/{path.name} is missing", f"restore it: git checkout manifests/{path.name}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != metadata["sha256"]:
        raise FototecaError(
            f"manifests/{path.name} was changed after {metadata['version']} was frozen: its digest differs",
            f"restore it: git checkout manifests/{path.name}; to change a label: fototeca curate label, then freeze",
        )
    names = {field.name for field in fields(Manifest)}
    values = {name: value for name, value in metadata.items() if name in names} | {"dataset_name": metadata["dataset"]}
    try:
        for name in ("categories", "ratios", "moved", "uneven", "leaks"):
            values[name] = tuple(values.get(name, ()))
        return Manifest(**{**values, "rows": tuple(_parse(content, path)), "path": path})
    except ValueError as error:
        raise FototecaError(
            f"{metadata['version']} is not a valid manifest: {error}",
            f"restore it: git checkout manifests/{path.stem}.*",
        ) from None


def read_metadata(workspace: Workspace, version: str) -> dict[str, Any]:
    """Read and check the JSON of a version (`v001`, or `latest`).

    Raises:
        FototecaError: the version does not exist, its JSON cannot be read, lacks a key, has a value of another type, or was
            written by a newer release.
    """
    versions = list_versions(workspace)
    name = versions[-1] if version == "latest" and versions else version
    if name not in versions:
        if re.fullmatch(r"v\d{3,}", name) and (workspace.manifests / f"{name}.csv").exists():
            raise FototecaError(f"version {name} is incomplete: its JSON is missing", "run: fototeca curate freeze")
        available = f"this workspace has: {', '.join(versions)}" if versions else "run: fototeca curate freeze"
        raise FototecaError(f"no version {name!r}", available)
    path = workspace.manifests / f"{name}.json"
    restore = f"restore it: git checkout manifests/{path.name}"
    try:
        metadata: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema = metadata["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise FototecaError(
                f"manifests/{path.name} has schema {schema}; this fototeca supports up to {SCHEMA}", "install a newer fototeca"
            )
        missing = [key for key in METADATA_FIELDS if key not in metadata]
    except (OSError, ValueError, KeyError, TypeError):
        raise FototecaError(f"manifests/{path.name} cannot be read", restore) from None
    invalid = "" if missing else find_invalid(metadata)
    if missing or invalid or metadata["version"] != name:
        problem = f"lacks {missing[0]}" if missing else f"has an invalid {invalid or 'version'}"
        raise FototecaError(f"manifests/{path.name} {problem}", restore)
    return metadata


def is_stored(row: ManifestRow) -> bool:
    """Return True if the path of the row is inside the image store; a manifest written by hand may point elsewhere."""
    parts = PurePosixPath(row.path).parts
    return parts[:2] == ("data", "images") and ".." not in parts


def image_path(workspace: Workspace, row: ManifestRow) -> Path:
    """Return the path of the row's file. FototecaError if it is missing, erased, or outside the image store."""
    if not is_stored(row):
        raise FototecaError(f"image {row.image_id[:12]} is outside data/images: {row.path}", "restore the manifest")
    path = workspace.root / row.path
    if not path.is_file():
        if row.image_id in read_tombstones(workspace):
            raise FototecaError(
                f"image {row.image_id[:12]} was erased, and this version has it", "freeze a new version: fototeca curate freeze"
            )
        raise FototecaError(
            f"image {row.image_id[:12]} is missing: {row.path}", "restore the file, or collect it again from its source"
        )
    return path


def manifest_bytes(rows: Iterable[ManifestRow]) -> bytes:
    """Return the CSV of a version: its rows in the order of their ids."""
    return csv_bytes(MANIFEST_COLUMNS, (row.cells() for row in sorted(rows, key=lambda row: row.image_id)))


def write_manifest(manifest: Manifest, decisions: Sequence[Decision]) -> Path:
    """Write the CSV of a version, its decisions, and last its JSON. Return the path of the CSV.

    If a write fails, the files written so far are removed.

    Raises:
        FototecaError: the version exists already.
    """
    target = manifest.path.with_suffix(".json")
    decisions_path = manifest.path.with_suffix(".decisions.csv")
    if target.exists():
        raise FototecaError(f"version {manifest.version} is frozen already", "run the command again to make the next one")
    content = manifest_bytes(manifest.rows)
    assert hashlib.sha256(content).hexdigest() == manifest.sha256
    log = csv_bytes(DECISION_COLUMNS, ([getattr(decision, name) for name in DECISION_COLUMNS] for decision in decisions))
    metadata = _build_metadata(manifest, hashlib.sha256(log).hexdigest(), len(decisions))
    try:
        write_bytes(manifest.path, content)
        write_bytes(decisions_path, log)
        write_text(target, json.dumps(metadata, ensure_ascii=False, indent=2) + "\n")
    except BaseException:
        for path in (manifest.path, decisions_path):
            path.unlink(missing_ok=True)
        raise
    return manifest.path


def count_rows(manifest: Manifest) -> dict[str, Any]:
    """Return the counts that the JSON of a version states about its rows."""
    return {"rows": len(manifest.rows), "splits": manifest.split_counts(), "labels": manifest.label_counts()}


def _build_metadata(manifest: Manifest, decisions_sha256: str, decisions: int) -> dict[str, Any]:
    """Return the JSON document of a version."""
    return {
        "schema": SCHEMA,
        "version": manifest.version,
        "dataset": manifest.dataset_name,
        "task": manifest.task,
        "categories": manifest.categories,
        "sha256": manifest.sha256,
        **count_rows(manifest),
        "parent": manifest.parent,
        "seed": manifest.seed,
        "ratios": manifest.ratios,
        "threshold": manifest.threshold,
        "tool": f"fototeca {installed_version('fototeca')}",
        "created": manifest.created,
        "note": manifest.note,
        "decisions": decisions,
        "decisions_sha256": decisions_sha256,
        "last_decision": manifest.last_decision,
        "moved": manifest.moved,
        "unsearched": manifest.unsearched,
        "uneven": manifest.uneven,
        **{name: value for name in FIELDS_IF_SET if (value := getattr(manifest, name))},
        "decode_version": manifest.decode_version,
        "row_splits": encode_splits(manifest.rows),
    }


def encode_splits(rows: Iterable[ManifestRow]) -> str:
    """Encode the splits of rows as one digit per row, in the order of their ids: 0 train, 1 val, 2 test."""
    return "".join(str(SPLITS.index(row.split)) for row in sorted(rows, key=lambda row: row.image_id))


def _parse(content: bytes, path: Path) -> Iterable[ManifestRow]:
    """Parse the rows of a CSV."""
    reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    if tuple(next(reader, ())) != MANIFEST_COLUMNS:
        raise FototecaError(f"{path.name} does not have the columns of a manifest", f"they are: {', '.join(MANIFEST_COLUMNS)}")
    for cells in reader:
        values: dict[str, Any] = dict(zip(MANIFEST_COLUMNS, cells, strict=True))
        for name in ("width", "height"):
            values[name] = int(values[name])
        values["reviewed"] = ("no", "yes").index(values["reviewed"]) == 1
        yield ManifestRow(**values)
