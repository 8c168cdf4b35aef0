"""Read and write frozen versions: `manifests/vNNN.csv`, its decisions and, last, `vNNN.json`. See docs/manifests.md.

A version is never overwritten, and a CSV whose digest differs from the one in the JSON is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Literal

from fototeca.collect.catalog import Decision
from fototeca.core.documents import Document, Table, read_table
from fototeca.core.errors import FototecaError
from fototeca.core.files import csv_bytes, staged_write
from fototeca.core.kinds import Integer, Problem, Record
from fototeca.core.settings import LABEL_SEPARATOR, Task
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest_fields import COLUMNS, FIELDS_IF_SET, METADATA, SCHEMA, RowCheck
from fototeca.curate.tombstones import read_tombstones

SplitName = Literal["train", "val", "test"]

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""The splits of a dataset, in the order of ratios."""

DECISION_COLUMNS = tuple(field.name for field in fields(Decision) if field.name != "decision_id")
"""The columns of `vNNN.decisions.csv`."""

_VERSION = re.compile(r"v\d{3,9}", re.ASCII)


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
    names = [path.stem for path in workspace.manifests.glob("v*.json") if _VERSION.fullmatch(path.stem)]
    return sorted(names, key=lambda name: int(name[1:]))


def next_version(workspace: Workspace) -> str:
    """Return the name of the version that the next freeze makes."""
    versions = list_versions(workspace)
    return f"v{int(versions[-1][1:]) + 1 if versions else 1:03}"


def read_manifest(workspace: Workspace, version: str) -> Manifest:
    """Read a version (`v001`, or `latest`), and check every field.

    Raises:
        FototecaError: the version does not exist or is incomplete, its CSV was edited after the freeze, or a field is invalid.
    """
    metadata = read_metadata(workspace, version)
    document = version_file(workspace, f"{metadata['version']}.csv")
    content = document.read()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != metadata["sha256"]:
        raise FototecaError(
            f"{document.name} was changed after {metadata['version']} was frozen: its digest differs",
            f"restore it: git checkout {document.name}; to change a label: fototeca curate label, then freeze",
        )
    table = read_rows(content, metadata)
    if table.problems:
        raise document.error(*table.problems)
    names = {field.name for field in fields(Manifest)}
    values = {name: value for name, value in metadata.items() if name in names} | {"dataset_name": metadata["dataset"]}
    for name in ("categories", "ratios", "moved", "uneven", "leaks"):
        values[name] = tuple(values.get(name, ()))
    rows = tuple(ManifestRow(**row) for row in table.rows)
    return Manifest(**{**values, "rows": rows, "path": document.path})


def read_rows(content: bytes, metadata: Mapping[str, Any]) -> Table:
    """Return the rows of a version's CSV and what is wrong with them. `metadata`: the checked JSON of the version."""
    return read_table(content, COLUMNS, RowCheck(metadata["categories"], metadata["task"]))


def version_file(workspace: Workspace, name: str) -> Document:
    """Return a file of `manifests/`, to be read."""
    return Document(workspace.manifests / name, f"manifests/{name}", f"restore it: git checkout manifests/{name}")


def read_metadata(workspace: Workspace, version: str) -> dict[str, Any]:
    """Read and check the JSON of a version (`v001`, or `latest`).

    Raises:
        FototecaError: the version does not exist, its JSON cannot be read, has a missing or invalid value, or was written by a
            newer release.
    """
    versions = list_versions(workspace)
    name = versions[-1] if version == "latest" and versions else version
    if name not in versions:
        if _VERSION.fullmatch(name) and (workspace.manifests / f"{name}.csv").exists():
            raise FototecaError(f"version {name} is incomplete: its JSON is missing", "run: fototeca curate freeze")
        available = f"this workspace has: {', '.join(versions)}" if versions else "run: fototeca curate freeze"
        raise FototecaError(f"no version {name!r}", available)
    document = version_file(workspace, f"{name}.json")
    metadata: dict[str, Any] = document.json(Record({"schema": Integer(1)}))
    if metadata["schema"] > SCHEMA:
        raise FototecaError(
            f"{document.name} has schema {metadata['schema']}; this fototeca supports up to {SCHEMA}", "install a newer fototeca"
        )
    if problems := list(METADATA.problems(metadata)):
        raise document.error(*problems)
    if metadata["version"] != name:
        raise document.error(Problem("version", metadata["version"], name))
    return metadata


def image_path(workspace: Workspace, row: ManifestRow) -> Path:
    """Return the path of the row's file. FototecaError if it is missing or erased."""
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


@contextmanager
def staged_manifest(manifest: Manifest, decisions: Sequence[Decision]) -> Iterator[Callable[[], None]]:
    """Write the files of a version under temporary names; yield the function that publishes them, the JSON last.

    They are removed if the block ends without publishing them. If one cannot be published, none is.

    Raises:
        FototecaError: the version exists already when it is published.
    """
    target = manifest.path.with_suffix(".json")
    content = manifest_bytes(manifest.rows)
    assert hashlib.sha256(content).hexdigest() == manifest.sha256
    assert not (problems := read_rows(content, vars(manifest)).problems), problems
    log = csv_bytes(DECISION_COLUMNS, ([getattr(decision, name) for name in DECISION_COLUMNS] for decision in decisions))
    metadata = _build_metadata(manifest, hashlib.sha256(log).hexdigest(), len(decisions))
    document = json.dumps(metadata, ensure_ascii=False, indent=2) + "\n"
    assert not (wrong := list(METADATA.problems(json.loads(document)))), wrong
    files = {manifest.path: content, manifest.path.with_suffix(".decisions.csv"): log, target: document.encode()}

    def publish() -> None:
        if target.exists():
            raise FototecaError(f"version {manifest.version} is frozen already", "run the command again to make the next one")
        try:
            for path, temporary in staged.items():
                temporary.replace(path)
        except BaseException:
            for path in staged:
                path.unlink(missing_ok=True)
            raise

    with ExitStack() as stack:
        staged = {path: stack.enter_context(staged_write(path, content)) for path, content in files.items()}
        yield publish


def write_manifest(manifest: Manifest, decisions: Sequence[Decision]) -> Path:
    """Write the CSV of a version, its decisions, and last its JSON: see `staged_manifest`. Return the path of the CSV."""
    with staged_manifest(manifest, decisions) as publish:
        publish()
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
