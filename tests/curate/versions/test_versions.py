"""Tests for `versions`, `diff`, `verify` and invalid version files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.cli.main import app
from fototeca.curate.labels.decisions import label_images, reject_images
from fototeca.curate.manifest import list_versions, read_manifest
from fototeca.curate.versions.freeze import freeze_version

AddImages = Callable[..., list[str]]


@pytest.fixture
def curate(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `fototeca curate ARG…` in the workspace."""
    monkeypatch.setenv("FOTOTECA_WORKSPACE", str(workspace.root))
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def test_diff_lists_every_kind_of_change(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], curate: Callable[..., Result]
) -> None:
    """Added, removed, relabeled, moved, regrouped and reviewed images are listed."""
    ids = add_images(workspace, ["cat"] * 30 + ["dog"] * 30)
    first = freeze_version(workspace).manifest
    train, test = first.split("train")[0].image_id, first.split("test")[0].image_id
    others = [image_id for image_id in ids if image_id not in (train, test)]
    (new,) = add_images(workspace, ["dog"], start=60)
    reject_images(workspace, [others[0]], "blurry")
    label_images(workspace, [others[1]], "dog")
    group_images(workspace, [[train, test]], keep_near=True)
    freeze_version(workspace)
    diff = json.loads(curate("diff", "v001", "latest", "--json").stdout)
    assert [row["image_id"] for row in diff["added"]] == [new]
    assert [row["image_id"] for row in diff["removed"]] == [others[0]]
    assert diff["relabelled"] == [{"image_id": others[1], "from": "cat", "to": "dog"}]
    assert diff["moved"] == [{"image_id": train, "from": "train", "to": "test"}]
    assert diff["regrouped"] == [{"image_id": test, "from": test, "to": train}]
    assert diff["reviewed"] == [{"image_id": others[1], "from": "no", "to": "yes"}]
    assert curate("diff", "v001", "v002").stdout.splitlines() == [
        "v001 -> v002",
        *("added: 1", "  dog: 1", "removed: 1", "  cat: 1"),
        *("relabelled: 1", f"  {others[1][:12]}  cat -> dog"),
        *("moved: 1", f"  {train[:12]}  train -> test"),
        *("regrouped: 1", f"  {test[:12]}  {test[:12]} -> {train[:12]}"),
        *("reviewed: 1", f"  {others[1][:12]}  no -> yes"),
    ]
    reverse_diff = json.loads(curate("diff", "v002", "v001", "--json").stdout)
    assert (reverse_diff["added"], reverse_diff["removed"]) == (diff["removed"], diff["added"])
    assert reverse_diff["moved"] == [{"image_id": train, "from": "test", "to": "train"}]


def test_long_diff_is_abbreviated(workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]) -> None:
    """Text output lists ten images per kind, `--json` lists all, and equal versions have no differences."""
    ids = add_images(workspace, ["cat"] * 30 + ["dog"] * 30)
    freeze_version(workspace)
    label_images(workspace, ids[:14], "dog")
    freeze_version(workspace)
    text = curate("diff", "v001", "v002").stdout
    assert text.count("cat -> dog") == 10
    assert "relabelled: 14" in text and text.count("and 4 more (--json has all)") == 2, "relabelled and reviewed"
    assert len(json.loads(curate("diff", "v001", "v002", "--json").stdout)["relabelled"]) == 14
    empty_diff = json.loads(curate("diff", "v002", "latest", "--json").stdout)
    assert not any(empty_diff[kind] for kind in ("added", "removed", "relabelled", "moved", "regrouped", "reviewed"))


def test_multi_label_diff(tmp_path: Path, add_images: AddImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image without labels is shown as `(none)`."""
    workspace = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi")
    ids = add_images(workspace, ["cat", "dog"] * 10)
    freeze_version(workspace)
    label_images(workspace, [ids[0]], "")
    label_images(workspace, [ids[1]], "cat|dog")
    freeze_version(workspace)
    monkeypatch.setenv("FOTOTECA_WORKSPACE", str(workspace.root))
    text = CliRunner().invoke(app, ["diff", "v001", "v002"], catch_exceptions=False).stdout
    assert f"{ids[0][:12]}  cat -> (none)" in text
    assert f"{ids[1][:12]}  dog -> cat|dog" in text


def test_verify_finds_a_flipped_bit_in_any_file(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]
) -> None:
    """A file with one flipped bit and unchanged size and times is the only problem listed."""
    add_images(workspace, ["cat"] * 5 + ["dog"] * 5)
    for row in freeze_version(workspace).manifest.rows:
        path = workspace.root / row.path
        times, content = path.stat(), path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        (problem,) = json.loads(curate("verify", "v001", "--json").stdout)["problems"]
        assert f"{row.image_id[:12]} has bytes that do not match" in problem
        path.write_bytes(content)
    assert curate("verify", "v001").exit_code == 0


def edit_metadata(workspace: Workspace, name: str, value: object) -> None:
    """Change one key in v001's JSON."""
    path = workspace.manifests / "v001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("categories", ["dog", "cat"], "states labels"),
        ("task", "multi", ""),
        ("moved", [{"image_id": "0" * 64, "from": "val", "to": "test", "group": "0" * 64}], ""),
        ("rows", 19, "states rows: 19"),
    ],
)
def test_verify_checks_metadata(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result], name: str, value: object, problem: str
) -> None:
    """Edited categories and counts are problems, and no edited value causes a traceback."""
    add_images(workspace, ["cat"] * 5 + ["dog"] * 5)
    freeze_version(workspace)
    edit_metadata(workspace, name, value)
    problems = json.loads(curate("verify", "v001", "--json").stdout)["problems"]
    assert [problem in line for line in problems] == ([True] if problem else [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("moved", None),
        ("uneven", [3]),
        ("ratios", 3),
        ("ratios", [70, 30]),
        ("ratios", ["x", 1, 2]),
        ("categories", [1, 2]),
        ("task", "both"),
        ("rows", "12"),
        ("created", 3),
        ("last_decision", "x"),
        ("splits", None),
        ("splits", {"train": 1, "val": -1, "test": 0}),
        ("ratios", [70, 10, float("nan")]),
        ("categories", ["cat", "../dog"]),
        ("categories", ["cat", "cat"]),
        ("created", "9999-12-31T23:59:59.999999+00:00"),
        ("created", "2026-02-30T00:00:00+00:00"),
        ("parent", "../v000"),
        ("sha256", "f" * 63),
        ("seed", 1 << 70),
        ("note", "a\0b"),
        ("note", "\ud800"),
        ("moved", [{"image_id": "x"}]),
        ("row_splits", "0129"),
        ("version", "v002"),
    ],
)
@pytest.mark.parametrize("command", ["verify", "rebuild", "versions"])
def test_metadata_with_invalid_types_is_rejected(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result], command: str, name: str, value: object
) -> None:
    """Every command that reads the version names the invalid key."""
    add_images(workspace, ["cat"] * 5 + ["dog"] * 5)
    freeze_version(workspace)
    edit_metadata(workspace, name, value)
    with pytest.raises(FototecaError, match=rf"^manifests/v001\.json(: {name}[^;]* is [^;]{{1,90}}, not |.*NaN is not a number)"):
        curate(command, *(["v001"] if command != "versions" else []))


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda lines: [lines[0], *lines[1:], lines[-1]], "line 12: image_id is '"),
        (lambda lines: [lines[0], *reversed(lines[1:])], "line 3: image_id is '"),
        (lambda lines: [line.replace(",no", ",perhaps") for line in lines], "line 2: reviewed is 'perhaps', not yes or no"),
        (lambda lines: [line.replace(",64,48,", ",9x,48,") for line in lines], "line 11: width is '9x', not a whole number"),
        (lambda lines: [*lines[:-1], lines[-1][:90]], "line 11: it has "),
        (
            lambda lines: [re.sub(r"(train|val|test),\w{64}", r"\1," + "e" * 64, line) for line in lines],
            "group eeeeeeeeeeee is in t",
        ),
        (
            lambda lines: [*lines[:-1], re.sub(",(cat|dog),", ",fox,", lines[-1])],
            "line 11: label is 'fox', not a category of the version",
        ),
    ],
)
def test_verify_checks_rows(
    workspace: Workspace,
    add_images: AddImages,
    curate: Callable[..., Result],
    edit: Callable[[list[str]], list[str]],
    problem: str,
) -> None:
    """Invalid rows are problems even if the digest matches."""
    add_images(workspace, ["cat"] * 5 + ["dog"] * 5)
    freeze_version(workspace)
    csv = workspace.manifests / "v001.csv"
    csv.write_text("\n".join(edit(csv.read_text().splitlines())) + "\n")
    edit_metadata(workspace, "sha256", hashlib.sha256(csv.read_bytes()).hexdigest())
    assert any(problem in line for line in json.loads(curate("verify", "v001", "--json").stdout)["problems"])


def test_versions_with_a_removed_category_are_unchanged(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]
) -> None:
    """Versions with a removed category can be verified, rebuilt, compared and exported."""
    ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    freeze_version(workspace)
    workspace.config.write_text(workspace.config.read_text().replace('[categories."dog"]', '[categories."fox"]'))
    changed_workspace = Workspace(workspace.root)
    assert curate("verify", "v001").exit_code == 0
    assert curate("rebuild", "v001").exit_code == 0
    assert curate("export", "v001", workspace.root.parent / "out", "--format", "coco").exit_code == 0
    label_images(changed_workspace, ids[10:], "fox")
    assert freeze_version(changed_workspace).manifest.categories == ("cat", "fox")
    assert curate("diff", "v001", "v002").stdout.count("dog -> fox") == 10
    assert curate("rebuild", "v001").exit_code == 0


def test_version_with_a_newer_schema_is_rejected(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]
) -> None:
    """Every command rejects a version with a newer schema, and no version is frozen after it."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    path = freeze_version(workspace).manifest.path.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    for arguments in (["verify", "v001"], ["diff", "v001", "v001"], ["rebuild", "v001"], ["freeze"]):
        with pytest.raises(FototecaError, match=r"schema 99; this fototeca supports up to 2; install a newer fototeca"):
            curate(*arguments)
    assert list_versions(workspace) == ["v001"]


def test_catalog_with_a_newer_schema_is_rejected(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]
) -> None:
    """Commands that open the catalog reject a newer schema and change nothing; verify and diff do not need the catalog."""
    ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    freeze_version(workspace)
    with Catalog.open(workspace) as catalog:
        catalog.database.connection.execute("PRAGMA user_version = 99")
        catalog.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = workspace.catalog.read_bytes()
    for arguments in (["freeze"], ["rebuild", "v001"], ["label", ids[0], "--label", "dog"], ["history"], ["recover"]):
        with pytest.raises(FototecaError, match=r"catalog\.sqlite has schema 99; .* install a newer fototeca"):
            curate(*arguments)
    assert workspace.catalog.read_bytes() == before
    assert curate("verify", "v001").exit_code == 0
    assert curate("diff", "v001", "v001").exit_code == 0


def test_verify_finds_missing_and_changed_files(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]
) -> None:
    """A missing image, changed bytes and edited decisions are listed, and the exit code is 2."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    freeze_version(workspace)
    assert json.loads(curate("verify", "v001", "--json").stdout) == {"version": "v001", "ok": True, "problems": [], "erased": 0}
    missing, changed = read_manifest(workspace, "v001").rows[:2]
    (workspace.root / missing.path).unlink()
    (workspace.root / changed.path).write_bytes(b"something else")
    with (workspace.manifests / "v001.decisions.csv").open("a") as file:
        file.write("x")
    result = curate("verify", "v001", "--json")
    problems = "\n".join(json.loads(result.stdout)["problems"])
    assert result.exit_code == 2
    assert f"{missing.image_id[:12]} is missing" in problems
    assert f"{changed.image_id[:12]} has bytes that do not match" in problems
    assert "v001.decisions.csv was changed" in problems


def test_verify_reports_an_edited_manifest(workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]) -> None:
    """An edited manifest is a problem with exit code 2, not an exception."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    path = freeze_version(workspace).manifest.path
    path.write_text(path.read_text().replace(",cat,", ",dog,", 1))
    result = curate("verify", "latest", "--json")
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (2, False)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rows", 99, "states rows: 99, the rows have 20"),
        ("splits", {"train": 20, "val": 0, "test": 0}, "states splits"),
        ("labels", {}, "states labels"),
        ("parent", "v001", "the preceding version is None"),
        ("decisions", 3, "states decisions: 3, the file has 20"),
    ],
)
def test_verify_recomputes_metadata(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result], key: str, value: object, message: str
) -> None:
    """Counts, parent and number of decisions in the JSON are compared with the files."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    path = freeze_version(workspace).manifest.path.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert message in "\n".join(json.loads(curate("verify", "latest", "--json").stdout)["problems"])


def test_verify_finds_unlisted_split_changes(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], curate: Callable[..., Result]
) -> None:
    """A split that differs from the preceding version must be listed in the JSON."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    first = freeze_version(workspace).manifest
    group_images(workspace, [[first.split("test")[0].image_id, first.split("train")[0].image_id]], keep_near=True)
    second = freeze_version(workspace).manifest
    (moved,) = second.moved
    assert curate("verify", "v002").exit_code == 0
    path = second.path.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "moved": []}))
    assert f"{moved['image_id'][:12]} was in {moved['from']} and is in {moved['to']}" in curate("verify", "v002").stdout


@pytest.mark.parametrize("edit", [lambda metadata: metadata.pop("seed"), lambda metadata: metadata.update(version="v009")])
def test_invalid_metadata_error_suggests_git_checkout(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result], edit: Callable[[dict[str, object]], object]
) -> None:
    """A missing key or another version's name gives an error that suggests restoring the file."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    path = freeze_version(workspace).manifest.path.with_suffix(".json")
    metadata = json.loads(path.read_text())
    edit(metadata)
    path.write_text(json.dumps(metadata))
    with pytest.raises(FototecaError, match=r"git checkout manifests/v001\.json"):
        curate("verify", "latest")


def test_version_commands(workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]) -> None:
    """freeze, versions, label, history, rebuild and export print the documented output."""
    assert "no versions yet" in curate("versions").stdout
    ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    result = json.loads(curate("freeze", "--seed", 3, "--ratios", "60/20/20", "--note", "first", "--json").stdout)
    assert {name: result[name] for name in ("version", "rows", "splits", "path")} == {
        "version": "v001",
        "rows": 20,
        "splits": {"train": 12, "val": 4, "test": 4},
        "path": "manifests/v001.csv",
    }
    assert curate("label", ids[0], "--label", "dog").stdout == f"{ids[0][:12]}  cat -> dog\n"
    assert "cat -> dog" in curate("history", ids[0]).stdout
    assert json.loads(curate("history", ids[0], "--json").stdout)[-1]["actor"] == "tester"
    assert "v002: 20 images" in curate("freeze").stdout
    (first, second) = json.loads(curate("versions", "--json").stdout)
    assert (first["note"], second["parent"], second["ratios"], second["seed"]) == ("first", "v001", [60, 20, 20], 3)
    assert "v002: identical" in curate("rebuild", "v002").stdout
    folder: Path = workspace.root.parent / "out"
    assert curate("export", "v002", folder, "--format", "imagefolder").exit_code == 0
    assert len(list(folder.rglob("*.png"))) == 20
