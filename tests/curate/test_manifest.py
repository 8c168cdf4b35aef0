"""Tests for reading, writing and listing manifests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fototeca.collect.catalog import Decision
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import (
    Manifest,
    ManifestRow,
    image_path,
    list_versions,
    manifest_bytes,
    read_manifest,
    write_manifest,
)

ROWS = (
    ManifestRow(
        "b" * 64,
        f"data/images/bb/{'b' * 64}.jpg",
        "dog",
        "test",
        "b" * 64,
        640,
        480,
        "f" * 16,
        "site",
        "",
        "",
        'Ana "A", B',
        "MIT",
        False,
    ),
    ManifestRow(
        "a" * 64,
        f"data/images/aa/{'a' * 64}.jpg",
        "cat|dog",
        "train",
        "c" * 64,
        64,
        48,
        "0" * 16,
        "ñ",
        "u",
        "p",
        "",
        "unknown",
        True,
    ),
)
GOLDEN = (
    "image_id,path,label,split,group,width,height,phash,source,image_url,page_url,author,license,reviewed\n"
    f"{'a' * 64},data/images/aa/{'a' * 64}.jpg,cat|dog,train,{'c' * 64},64,48,{'0' * 16},ñ,u,p,,unknown,yes\n"
    f'{"b" * 64},data/images/bb/{"b" * 64}.jpg,dog,test,{"b" * 64},640,480,{"f" * 16},site,,,"Ana ""A"", B",MIT,no\n'
)
DECISION = Decision(
    image_id="a" * 64,
    time="2026-01-01T00:00:00.000000+00:00",
    action="label",
    actor_kind="person",
    actor="ana",
    old_label="cat",
    old_rejected="",
    new_label="cat|dog",
    new_rejected="",
    reason="both, really",
    decision_id=7,
)


def manifest(workspace: Workspace, version: str = "v001") -> Manifest:
    """Return a version with the two rows."""
    return Manifest(
        version=version,
        dataset_name="w",
        task="multi",
        categories=("dog", "cat"),
        rows=ROWS,
        sha256=hashlib.sha256(manifest_bytes(ROWS)).hexdigest(),
        seed=3,
        ratios=(70.0, 10.0, 20.0),
        threshold=10,
        parent=None,
        created="2026-01-02T00:00:00.000000+00:00",
        note="first",
        path=workspace.manifests / f"{version}.csv",
    )


def test_version_files_have_the_documented_bytes(workspace: Workspace) -> None:
    """The CSV is UTF-8, LF, RFC 4180, sorted by id, with columns in order; decisions and metadata are beside it."""
    path = write_manifest(manifest(workspace), [DECISION])
    assert path.read_bytes() == GOLDEN.encode()
    assert path.with_suffix(".decisions.csv").read_text(encoding="utf-8") == (
        "image_id,time,action,actor_kind,actor,old_label,old_rejected,new_label,new_rejected,reason,undoes,other_image_id\n"
        f'{"a" * 64},2026-01-01T00:00:00.000000+00:00,label,person,ana,cat,,cat|dog,,"both, really",,\n'
    )
    metadata = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert metadata["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (metadata["decode_version"], metadata["row_splits"]) == (1, "02")
    assert metadata["splits"] == {"train": 1, "val": 0, "test": 1}
    assert metadata["labels"] == {"dog": {"train": 1, "val": 0, "test": 1}, "cat": {"train": 1, "val": 0, "test": 0}}
    assert (metadata["schema"], metadata["threshold"], metadata["parent"], metadata["decisions"]) == (2, 10, None, 1)


def test_read_manifest_round_trips(workspace: Workspace) -> None:
    """Types, order and metadata are preserved, and `latest` reads the newest version."""
    written = manifest(workspace)
    write_manifest(written, [])
    read = read_manifest(workspace, "latest")
    assert read.rows == tuple(sorted(ROWS, key=lambda row: row.image_id))
    assert read.rows[0].labels == ("cat", "dog")
    assert (read.categories, read.ratios, read.note, read.path) == (("dog", "cat"), (70, 10, 20), "first", written.path)


def test_edited_manifest_is_rejected(workspace: Workspace) -> None:
    """A single changed field fails the digest check."""
    path = write_manifest(manifest(workspace), [])
    path.write_bytes(path.read_bytes().replace(b"dog,test", b"dog,val"))
    with pytest.raises(FototecaError, match="v001"):
        read_manifest(workspace, "v001")


def test_version_without_json_is_incomplete(workspace: Workspace) -> None:
    """The JSON is written last, so a version without it is not listed and cannot be read."""
    path = write_manifest(manifest(workspace), [])
    path.with_suffix(".json").unlink()
    assert list_versions(workspace) == []
    with pytest.raises(FototecaError, match="incomplete"):
        read_manifest(workspace, "v001")


@pytest.mark.parametrize("name", ["v009", "../v001", "nonsense", "latest"])
def test_unknown_version_is_an_error(workspace: Workspace, name: str) -> None:
    """Unknown and invalid version names raise an error, and no path is built from an invalid name."""
    with pytest.raises(FototecaError, match="no version"):
        read_manifest(workspace, name)


def test_frozen_version_is_not_overwritten(workspace: Workspace) -> None:
    """Writing a version twice raises an error and changes no file."""
    path = write_manifest(manifest(workspace), [])
    before = [file.read_bytes() for file in sorted(path.parent.iterdir())]
    with pytest.raises(FototecaError, match="frozen already"):
        write_manifest(manifest(workspace), [DECISION])
    assert [file.read_bytes() for file in sorted(path.parent.iterdir())] == before


def test_versions_are_sorted_numerically(workspace: Workspace) -> None:
    """v1000 follows v999."""
    for name in ("v1000", "v999", "v002"):
        write_manifest(manifest(workspace, name), [])
    assert list_versions(workspace) == ["v002", "v999", "v1000"]


def test_missing_image_error_names_id_and_path(workspace: Workspace) -> None:
    """The error contains the image id and its path; a file that exists is returned."""
    with pytest.raises(FototecaError, match=f"{'b' * 12}.*data/images/bb/b"):
        image_path(workspace, ROWS[0])
    path = workspace.root / ROWS[0].path
    path.parent.mkdir(parents=True)
    path.touch()
    assert image_path(workspace, ROWS[0]) == Path(path)
