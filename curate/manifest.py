"""Frozen versions of a dataset: `manifests/vNNN.csv`, its decisions, and `vNNN.json`, written last. See docs/manifests.md.

A version is complete when its JSON is there. It is never written again, and one whose CSV no longer has the digest that
the JSON names is refused.
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
from typing import Any, Literal, get_args

from fototeca.collect.catalog import Decision
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_bytes, write_text
from fototeca.core.settings import LABEL_SEPARATOR, Task
from fototeca.core.workspace import Workspace

SplitName = Literal["train", "val", "test"]

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
"""The parts of a dataset, in the order in which ratios name them."""

MANIFEST_COLUMNS = (
    "image_id",
    "path",
    "label",
    "split",
    "group",
    "width",
    "height",
    "phash",
    "source",
    "image_url",
    "page_url",
    "author",
    "license",
    "reviewed",
)
"""The columns of a manifest, in order."""

DECISION_COLUMNS = ("image_id", "time", "who", "old", "new", "why")
"""The columns of `vNNN.decisions.csv`."""

SCHEMA = 1
"""Version of the JSON beside a manifest."""

FACTS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("version", "dataset", "task", "sha256", "tool", "created", "note", "decisions_sha256"), (str,)),
    **dict.fromkeys(("rows", "seed", "decisions", "last_decision", "unsearched"), (int,)),
    **dict.fromkeys(("categories", "ratios", "moved", "uneven"), (list,)),
    **dict.fromkeys(("splits", "labels"), (dict,)),
    "parent": (str, type(None)),
    "threshold": (int, type(None)),
}
"""What else it holds, and of what kind."""


@dataclass(frozen=True)
class ManifestRow:
    """One image of a version. `path` is relative to the workspace; `label` joins the labels of a multi-label image."""

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
        """The image's categories: one, or for multi-label tasks any number."""
        return tuple(self.label.split(LABEL_SEPARATOR)) if self.label else ()

    def cells(self) -> list[str]:
        """The row as it is written."""
        return [
            ("yes" if value else "no") if isinstance(value, bool) else str(value)
            for value in (getattr(self, name) for name in MANIFEST_COLUMNS)
        ]


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
    """The duplicate threshold that the groups were made with; None when duplicates were never looked for."""
    parent: str | None
    created: str
    note: str
    path: Path
    last_decision: int = 0
    """The newest decision of the catalog that this version follows."""
    moved: tuple[dict[str, str], ...] = ()
    """Images whose split had to change because groups merged: image_id, from, to, group."""
    unsearched: int = 0
    """Images that the last search for duplicates did not see: they came later, or could not be read."""
    uneven: tuple[dict[str, Any], ...] = ()
    """Categories whose share of a split is off by more than two points: label, split, share, wanted, reason."""

    def split(self, name: str) -> tuple[ManifestRow, ...]:
        """The rows of one split."""
        return tuple(row for row in self.rows if row.split == name)

    def split_counts(self) -> dict[str, int]:
        """Images per split."""
        counts = Counter(row.split for row in self.rows)
        return {name: counts[name] for name in SPLITS}

    def label_counts(self) -> dict[str, dict[str, int]]:
        """Images per category and split, categories in order."""
        counts = Counter((label, row.split) for row in self.rows for label in row.labels)
        return {label: {name: counts[label, name] for name in SPLITS} for label in self.categories}


def list_versions(workspace: Workspace) -> list[str]:
    """The complete versions, oldest first."""
    found = [path.stem for path in workspace.manifests.glob("v*.json") if re.fullmatch(r"v\d{3,}", path.stem)]
    return sorted(found, key=lambda name: int(name[1:]))


def next_version(workspace: Workspace) -> str:
    """The name of the version that `freeze` would make."""
    versions = list_versions(workspace)
    return f"v{int(versions[-1][1:]) + 1 if versions else 1:03}"


def read_manifest(workspace: Workspace, version: str) -> Manifest:
    """Read a version (`v001`, or `latest`).

    FototecaError when it does not exist, is incomplete, or its CSV is not the one that was frozen.
    """
    facts = read_facts(workspace, version)
    path = workspace.manifests / f"{facts['version']}.csv"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FototecaError(f"manifests/{path.name} is missing", f"restore it: git checkout manifests/{path.name}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != facts["sha256"]:
        raise FototecaError(
            f"manifests/{path.name} was changed after {facts['version']} was frozen: its digest differs",
            f"restore it: git checkout manifests/{path.name}; to change a label: fototeca curate label, then freeze",
        )
    known = {field.name for field in fields(Manifest)}
    values = {name: value for name, value in facts.items() if name in known} | {"dataset_name": facts["dataset"]}
    try:
        for name in ("categories", "ratios", "moved", "uneven"):
            values[name] = tuple(values[name])
        return Manifest(**{**values, "rows": tuple(_parse(content, path)), "path": path})
    except ValueError as error:
        raise FototecaError(
            f"{facts['version']} is no manifest as fototeca writes it: {error}",
            f"restore it: git checkout manifests/{path.stem}.*",
        ) from None


def read_facts(workspace: Workspace, version: str) -> dict[str, Any]:
    """The JSON of a version (`v001`, or `latest`), with `version` resolved. FototecaError when there is none."""
    versions = list_versions(workspace)
    name = versions[-1] if version == "latest" and versions else version
    if name not in versions:
        if re.fullmatch(r"v\d{3,}", name) and (workspace.manifests / f"{name}.csv").exists():
            raise FototecaError(f"version {name} is incomplete: its JSON is missing", "run: fototeca curate freeze")
        known = f"this workspace has: {', '.join(versions)}" if versions else "run: fototeca curate freeze"
        raise FototecaError(f"no version {name!r}", known)
    path = workspace.manifests / f"{name}.json"
    restore = f"restore it: git checkout manifests/{path.name}"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema = facts["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise FototecaError(
                f"manifests/{path.name} has schema {schema}, this fototeca knows {SCHEMA}", "install a newer fototeca"
            )
        missing = [fact for fact in FACTS if fact not in facts]
    except (OSError, ValueError, KeyError, TypeError):
        raise FototecaError(f"manifests/{path.name} cannot be read", restore) from None
    odd = "" if missing else _odd(facts)
    if missing or odd or facts["version"] != name:
        wrong = f"lacks {missing[0]}" if missing else f"has no {odd} as it should" if odd else f"calls itself {facts['version']}"
        raise FototecaError(f"manifests/{path.name} {wrong}", restore)
    return facts


def _odd(facts: dict[str, Any]) -> str:
    """The first fact that is not of its kind."""
    parts: dict[str, tuple[type, ...]] = {"categories": (str,), "ratios": (int, float), "moved": (dict,), "uneven": (dict,)}
    for name, kind in FACTS.items():
        inner = facts[name] if name in parts and isinstance(facts[name], list) else []
        if not isinstance(facts[name], kind) or not all(isinstance(one, parts[name]) for one in inner):
            return name
    unlike = {"task": facts["task"] in get_args(Task), "ratios": len(facts["ratios"]) == len(SPLITS)}
    return next((name for name, right in unlike.items() if not right), "")


def is_stored(row: ManifestRow) -> bool:
    """Whether the row's path is one of the image store, as every row's is unless somebody wrote the manifest by hand."""
    parts = PurePosixPath(row.path).parts
    return parts[:2] == ("data", "images") and ".." not in parts


def image_path(workspace: Workspace, row: ManifestRow) -> Path:
    """Where the row's file lies. FototecaError when it is gone, or when the row points out of the image store."""
    if not is_stored(row):
        raise FototecaError(f"image {row.image_id[:12]} lies outside data/images: {row.path}", "restore the manifest")
    path = workspace.root / row.path
    if not path.is_file():
        raise FototecaError(
            f"image {row.image_id[:12]} is gone: {row.path}", "restore the file, or collect it again from where it was found"
        )
    return path


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV as this project writes it: UTF-8, LF, quoted as RFC 4180 says."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def manifest_bytes(rows: Iterable[ManifestRow]) -> bytes:
    """The CSV of a version: its rows in the order of their ids."""
    return csv_bytes(MANIFEST_COLUMNS, (row.cells() for row in sorted(rows, key=lambda row: row.image_id)))


def write_manifest(manifest: Manifest, decisions: Sequence[Decision]) -> Path:
    """Write a version's CSV, its decisions, and last its JSON. Returns the path of the CSV.

    FototecaError when the version is there already. What a write that failed has left is taken away again.
    """
    target = manifest.path.with_suffix(".json")
    decisions_path = manifest.path.with_suffix(".decisions.csv")
    if target.exists():
        raise FototecaError(f"version {manifest.version} is frozen already", "run the command again to make the next one")
    content = manifest_bytes(manifest.rows)
    assert hashlib.sha256(content).hexdigest() == manifest.sha256
    log = csv_bytes(DECISION_COLUMNS, ([getattr(decision, name) for name in DECISION_COLUMNS] for decision in decisions))
    facts = _facts(manifest, hashlib.sha256(log).hexdigest(), len(decisions))
    try:
        write_bytes(manifest.path, content)
        write_bytes(decisions_path, log)
        write_text(target, json.dumps(facts, ensure_ascii=False, indent=2) + "\n")
    except BaseException:
        for path in (manifest.path, decisions_path):
            path.unlink(missing_ok=True)
        raise
    return manifest.path


def counted_facts(manifest: Manifest) -> dict[str, Any]:
    """What the JSON of a version says of its rows."""
    return {"rows": len(manifest.rows), "splits": manifest.split_counts(), "labels": manifest.label_counts()}


def _facts(manifest: Manifest, decisions_sha256: str, decisions: int) -> dict[str, Any]:
    """The JSON of a version."""
    return {
        "schema": SCHEMA,
        "version": manifest.version,
        "dataset": manifest.dataset_name,
        "task": manifest.task,
        "categories": manifest.categories,
        "sha256": manifest.sha256,
        **counted_facts(manifest),
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
    }


def _parse(content: bytes, path: Path) -> Iterable[ManifestRow]:
    """The rows of a CSV."""
    reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    if tuple(next(reader, ())) != MANIFEST_COLUMNS:
        raise FototecaError(f"{path.name} has not the columns of a manifest", f"they are: {', '.join(MANIFEST_COLUMNS)}")
    for cells in reader:
        values: dict[str, Any] = dict(zip(MANIFEST_COLUMNS, cells, strict=True))
        for name in ("width", "height"):
            values[name] = int(values[name])
        values["reviewed"] = ("no", "yes").index(values["reviewed"]) == 1
        yield ManifestRow(**values)
