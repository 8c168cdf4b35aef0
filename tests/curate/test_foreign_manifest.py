"""A version that somebody else made: every field is checked when it is read, and no command writes outside its folder."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.export.formats import FORMATS, export_version
from fototeca.curate.manifest import DECISION_COLUMNS, MANIFEST_COLUMNS, read_manifest
from fototeca.curate.versions.decision_log import read_decision_log
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.verify import verify_version

HOSTILE = {
    "image_id": ["../../escaped", "0" * 63, "A" * 64, "0" * 65, ""],
    "path": ["../secret", "/etc/passwd", "data/images/../../secret", "data/images/00/other.png", "data\\images", ""],
    "label": ["../../escaped", "fox", "", "cat|dog"],
    "split": ["../../escaped", "validation", "", "Train", "test\0"],
    "group": ["../g", ""],
    "width": ["0", "-1", "9x", "1e3", "9" * 30, "", "nan"],
    "height": ["0", "2000000000"],
    "phash": ["", "zz", "0" * 17],
    "reviewed": ["maybe", "True", ""],
    "author": ["a\0b"],
}


@pytest.fixture
def frozen(workspace: Workspace, add_images: Callable[..., list[str]]) -> Workspace:
    """A workspace with v001 of 10 images."""
    add_images(workspace, ["cat"] * 5 + ["dog"] * 5)
    freeze_version(workspace)
    return workspace


def edit(workspace: Workspace, name: str, key: str, change: Callable[[list[list[str]]], object]) -> None:
    """Change the rows of a file of v001, the header first, and correct its digest in the JSON, as a stranger would."""
    path, document = workspace.manifests / name, workspace.manifests / "v001.json"
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    change(rows)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_bytes(text.getvalue().encode("utf-8"))
    metadata = json.loads(document.read_text()) | {key: hashlib.sha256(path.read_bytes()).hexdigest()}
    document.write_text(json.dumps(metadata))


def set_cell(workspace: Workspace, column: str, value: str) -> None:
    """Change a cell of the second row of v001.csv."""
    edit(workspace, "v001.csv", "sha256", lambda rows: rows[2].__setitem__(MANIFEST_COLUMNS.index(column), value))


def list_files(folder: Path) -> set[Path]:
    """Return every path below a folder."""
    return set(folder.rglob("*"))


@pytest.mark.parametrize(("column", "value"), [(column, value) for column, values in HOSTILE.items() for value in values])
def test_every_field_of_a_row_is_checked(frozen: Workspace, tmp_path: Path, column: str, value: str) -> None:
    """Reading and verifying name the file, the line, the field and the value; nothing is written."""
    set_cell(frozen, column, value)
    before = list_files(tmp_path)
    with pytest.raises(FototecaError) as error:
        read_manifest(frozen, "v001")
    assert error.value.message.startswith(f"manifests/v001.csv, line 3: {column} is ")
    assert repr(value)[1:40].rstrip("'") in error.value.message
    assert error.value.hint.startswith("restore it: git checkout")
    result = verify_version(frozen, "v001")
    assert not result.ok
    assert any(problem.startswith(f"manifests/v001.csv, line 3: {column} is ") for problem in result.problems)
    assert list_files(tmp_path) == before


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("column", ["split", "label", "path", "image_id"])
def test_no_export_writes_outside_its_folder(frozen: Workspace, tmp_path: Path, kind: str, column: str) -> None:
    """An export of a version with a field that is a path stops before it writes anything."""
    set_cell(frozen, column, "../../escaped")
    before = list_files(tmp_path)
    with pytest.raises(FototecaError, match=rf"line 3: {column} is '../../escaped', not "):
        export_version(frozen, "v001", tmp_path / "out", kind, copy=True)
    assert list_files(tmp_path) == before


def test_verify_lists_every_wrong_row(frozen: Workspace) -> None:
    """All wrong fields are listed, not the first one alone; a duplicate row is one of them."""

    def change(rows: list[list[str]]) -> None:
        rows[1][3], rows[2][5], rows[4] = "up", "wide", rows[3]

    edit(frozen, "v001.csv", "sha256", change)
    problems = verify_version(frozen, "v001").problems
    assert [problem[:45] for problem in problems] == [
        "manifests/v001.csv, line 2: split is 'up', no",
        "manifests/v001.csv, line 3: width is 'wide', ",
        "manifests/v001.csv, line 5: image_id is '" + problems[2][41:45],
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("image_id", "../../escaped"),
        ("time", "yesterday"),
        ("time", "9999-12-31T23:59:59.999999+00:00"),
        ("action", "delete"),
        ("actor_kind", "root"),
        ("new_label", "../x"),
        ("other_image_id", "../x"),
        ("undoes", "x"),
    ],
)
def test_every_field_of_a_decision_is_checked(frozen: Workspace, column: str, value: str) -> None:
    """Reading and verifying name the line, the field and the value of a decision."""
    index = DECISION_COLUMNS.index(column)
    edit(frozen, "v001.decisions.csv", "decisions_sha256", lambda rows: rows[2].__setitem__(index, value))
    expected = f"manifests/v001.decisions.csv, line 3: {column} is "
    with pytest.raises(FototecaError) as error:
        read_decision_log(frozen, "v001")
    assert error.value.message.startswith(expected)
    assert any(problem.startswith(expected) for problem in verify_version(frozen, "v001").problems)
