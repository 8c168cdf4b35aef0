"""Verify a version: its rows, its JSON, its decisions and the bytes of every image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import (
    Manifest,
    ManifestRow,
    count_rows,
    encode_splits,
    list_versions,
    read_manifest,
    read_metadata,
    read_rows,
    version_file,
)
from fototeca.curate.tombstones import read_tombstones
from fototeca.curate.versions.decision_log import parse_decisions
from fototeca.vision.threads import image_threads

THREADS = 2
"""Concurrent readers: digests are limited by the disk."""


@dataclass(frozen=True)
class VerifyResult(Result):
    """Outcome of a verification."""

    version: str
    ok: bool
    problems: list[str]
    erased: int = 0
    """Images that were erased on request, whose bytes cannot be checked."""


def verify_version(workspace: Workspace, version: str) -> VerifyResult:
    """Check the files of a version and read every image again to compare its digest.

    Raises:
        FototecaError: the version does not exist, or its JSON is invalid. Other errors are listed as problems.
    """
    metadata = read_metadata(workspace, version)
    names = list_versions(workspace)
    erased: set[str] = set()
    problems = [*_check_decisions(workspace, metadata), *_check_csv(workspace, metadata)]
    try:
        manifest = read_manifest(workspace, metadata["version"])
        earlier = [read_manifest(workspace, name) for name in names[: names.index(metadata["version"])]]
    except FototecaError as error:
        problems += [] if problems else [str(error)]  # of an earlier version
    else:
        problems += _check_metadata(manifest, metadata, earlier)
        problems += _check_groups(manifest)
        erased = {row.image_id for row in manifest.rows} & read_tombstones(workspace).keys()
        problems += _check_images(workspace, manifest, erased)
    return VerifyResult(metadata["version"], not problems, problems, len(erased))


def _check_csv(workspace: Workspace, metadata: dict[str, Any]) -> Iterator[str]:
    """Compare the CSV with the digest in the JSON, and check every field of every row."""
    document = version_file(workspace, f"{metadata['version']}.csv")
    try:
        content = document.read()
    except FototecaError as error:
        yield str(error)
        return
    if hashlib.sha256(content).hexdigest() != metadata["sha256"]:
        yield f"{document.name} was changed after it was frozen: its digest differs; {document.hint}"
    yield from document.describe(read_rows(content, metadata).problems)


def _check_metadata(manifest: Manifest, metadata: dict[str, Any], earlier: list[Manifest]) -> Iterator[str]:
    """Compare the JSON with the rows and with the earlier versions."""
    document = f"{manifest.version}.json"
    for name, counted in count_rows(manifest).items():
        if json.dumps(metadata[name]) != json.dumps(counted):  # the order of the categories counts too
            yield f"{document} states {name}: {metadata[name]}, the rows have {counted}"
    if metadata.get("row_splits", stored := encode_splits(manifest.rows)) != stored:
        yield f"{document} stores other splits (row_splits) than {manifest.version}.csv"
    if len(manifest.source_splits) not in (0, len(manifest.rows)):
        yield f"{document} states source_splits of {len(manifest.source_splits)} images, the CSV has {len(manifest.rows)}"
    parent = earlier[-1].version if earlier else None
    if manifest.parent != parent:
        yield f"{document} states parent: {manifest.parent}, the preceding version is {parent}"
    known = {row.image_id: row.split for version in earlier for row in version.rows}
    listed = {(row.get("image_id"), row.get("from"), row.get("to")) for row in manifest.moved}
    for row in manifest.rows:
        before = known.get(row.image_id, row.split)
        if before != row.split and (row.image_id, before, row.split) not in listed:
            yield f"image {row.image_id[:12]} was in {before} and is in {row.split}, which {document} does not list"


def _check_decisions(workspace: Workspace, metadata: dict[str, Any]) -> Iterator[str]:
    """Compare the decisions of the version with the digest and the count in its JSON, and check every field."""
    document = version_file(workspace, f"{metadata['version']}.decisions.csv")
    try:
        content = document.read()
    except FototecaError as error:
        yield str(error)
        return
    if hashlib.sha256(content).hexdigest() != metadata["decisions_sha256"]:
        yield f"{document.name} was changed after it was frozen: its digest differs; {document.hint}"
    decisions, problems = parse_decisions(content)
    yield from document.describe(problems)
    if not problems and len(decisions) != metadata["decisions"]:
        yield f"{metadata['version']}.json states decisions: {metadata['decisions']}, the file has {len(decisions)}"


def _check_groups(manifest: Manifest) -> Iterator[str]:
    """List groups in several splits."""
    splits: dict[str, str] = {}
    for row in manifest.rows:
        if splits.setdefault(row.group, row.split) != row.split:
            yield f"group {row.group[:12]} is in {splits[row.group]} and in {row.split}"


def _check_images(workspace: Workspace, manifest: Manifest, erased: Collection[str]) -> list[str]:
    """List images that are missing, unreadable, erased and yet there, or whose bytes do not match their id."""

    def check(row: ManifestRow) -> str:
        path = workspace.root / row.path
        if row.image_id in erased:
            again = f"erase it again: fototeca curate erase {row.image_id[:12]}"
            return f"image {row.image_id[:12]} was erased and its file is in the store; {again}" if path.exists() else ""
        if not path.is_file():
            return f"image {row.image_id[:12]} is missing: {row.path}"
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return f"image {row.image_id[:12]} cannot be read: {error}"
        return "" if digest == row.image_id else f"image {row.image_id[:12]} has bytes that do not match its id: {row.path}"

    with image_threads(THREADS) as pool:
        results = pool.map(check, manifest.rows)
        bar = tqdm(results, total=len(manifest.rows), desc="verify", unit="image", disable=None)
        return [problem for problem in bar if problem]
