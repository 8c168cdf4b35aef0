"""The manifest's bytes, and what is refused."""

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
        "b" * 64, "data/images/bb/b.jpg", "dog", "test", "b" * 64, 640, 480, "f" * 16, "site", "", "", 'Ana "A", B', "MIT", False
    ),
    ManifestRow("a" * 64, "data/images/aa/a.jpg", "cat|dog", "train", "g1", 64, 48, "0" * 16, "ñ", "u", "p", "", "unknown", True),
)
GOLDEN = (
    "image_id,path,label,split,group,width,height,phash,source,image_url,page_url,author,license,reviewed\n"
    f"{'a' * 64},data/images/aa/a.jpg,cat|dog,train,g1,64,48,{'0' * 16},ñ,u,p,,unknown,yes\n"
    f'{"b" * 64},data/images/bb/b.jpg,dog,test,{"b" * 64},640,480,{"f" * 16},site,,,"Ana ""A"", B",MIT,no\n'
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
    """A version of the two rows."""
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


def test_files_of_a_version_have_the_documented_bytes(workspace: Workspace) -> None:
    """UTF-8, LF, RFC 4180, rows sorted by id, columns in order, with decisions and metadata beside the CSV."""
    path = write_manifest(manifest(workspace), [DECISION])
    assert path.read_bytes() == GOLDEN.encode()
    assert path.with_suffix(".decisions.csv").read_text(encoding="utf-8") == (
        "image_id,time,action,actor_kind,actor,old_label,old_rejected,new_label,new_rejected,reason,undoes\n"
        f'{"a" * 64},2026-01-01T00:00:00.000000+00:00,label,person,ana,cat,,cat|dog,,"both, really",\n'
    )
    metadata = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert metadata["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (metadata["decode_version"], metadata["row_splits"]) == (1, "02")
    assert metadata["splits"] == {"train": 1, "val": 0, "test": 1}
    assert metadata["labels"] == {"dog": {"train": 1, "val": 0, "test": 1}, "cat": {"train": 1, "val": 0, "test": 0}}
    assert (metadata["schema"], metadata["threshold"], metadata["parent"], metadata["decisions"]) == (2, 10, None, 1)


def test_read_manifest_returns_what_was_written(workspace: Workspace) -> None:
    """Types, order and metadata are preserved; `latest` is the newest version."""
    written = manifest(workspace)
    write_manifest(written, [])
    read = read_manifest(workspace, "latest")
    assert read.rows == tuple(sorted(ROWS, key=lambda row: row.image_id))
    assert read.rows[0].labels == ("cat", "dog")
    assert (read.categories, read.ratios, read.note, read.path) == (("dog", "cat"), (70, 10, 20), "first", written.path)


def test_an_edited_version_is_refused(workspace: Workspace) -> None:
    """One changed byte is enough."""
    path = write_manifest(manifest(workspace), [])
    path.write_bytes(path.read_bytes().replace(b"dog,test", b"dog,val"))
    with pytest.raises(FototecaError, match="v001"):
        read_manifest(workspace, "v001")


def test_a_version_without_its_json_is_none(workspace: Workspace) -> None:
    """The JSON is written last: without it the version is incomplete, and is not listed."""
    path = write_manifest(manifest(workspace), [])
    path.with_suffix(".json").unlink()
    assert list_versions(workspace) == []
    with pytest.raises(FototecaError, match="incomplete"):
        read_manifest(workspace, "v001")


@pytest.mark.parametrize("name", ["v009", "../v001", "nonsense", "latest"])
def test_an_unknown_version_is_named(workspace: Workspace, name: str) -> None:
    """No path is built from what is no version name."""
    with pytest.raises(FototecaError, match="no version"):
        read_manifest(workspace, name)


def test_a_frozen_version_is_never_overwritten(workspace: Workspace) -> None:
    """Writing it again is an error and changes nothing."""
    path = write_manifest(manifest(workspace), [])
    before = [file.read_bytes() for file in sorted(path.parent.iterdir())]
    with pytest.raises(FototecaError, match="frozen already"):
        write_manifest(manifest(workspace), [DECISION])
    assert [file.read_bytes() for file in sorted(path.parent.iterdir())] == before


def test_versions_are_ordered_by_number(workspace: Workspace) -> None:
    """After v999 comes v1000."""
    for name in ("v1000", "v999", "v002"):
        write_manifest(manifest(workspace, name), [])
    assert list_versions(workspace) == ["v002", "v999", "v1000"]


def test_an_image_that_is_gone_is_named(workspace: Workspace) -> None:
    """The id and the path are in the one line."""
    with pytest.raises(FototecaError, match=f"{'b' * 12}.*data/images/bb/b.jpg"):
        image_path(workspace, ROWS[0])
    path = workspace.root / ROWS[0].path
    path.parent.mkdir(parents=True)
    path.touch()
    assert image_path(workspace, ROWS[0]) == Path(path)
