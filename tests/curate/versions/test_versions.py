"""What people ask about versions: which there are, what changed, whether all is still there."""

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


def test_diff_names_every_change(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], curate: Callable[..., Result]
) -> None:
    """Added, removed, relabelled, moved, regrouped, reviewed."""
    ids = add_images(workspace, ["cat"] * 30 + ["dog"] * 30)
    first = freeze_version(workspace).manifest
    train, test = first.split("train")[0].image_id, first.split("test")[0].image_id
    others = [image_id for image_id in ids if image_id not in (train, test)]
    (new,) = add_images(workspace, ["dog"], start=60)
    reject_images(workspace, [others[0]], "blurry")
    label_images(workspace, [others[1]], "dog")
    group_images(workspace, [[train, test]], keep_near=True)
    freeze_version(workspace)
    facts = json.loads(curate("diff", "v001", "latest", "--json").stdout)
    assert [row["image_id"] for row in facts["added"]] == [new]
    assert [row["image_id"] for row in facts["removed"]] == [others[0]]
    assert facts["relabelled"] == [{"image_id": others[1], "from": "cat", "to": "dog"}]
    assert facts["moved"] == [{"image_id": train, "from": "train", "to": "test"}]
    assert facts["regrouped"] == [{"image_id": test, "from": test, "to": train}]
    assert facts["reviewed"] == [{"image_id": others[1], "from": "no", "to": "yes"}]
    assert curate("diff", "v001", "v002").stdout.splitlines() == [
        "v001 -> v002",
        *("added: 1", "  dog: 1", "removed: 1", "  cat: 1"),
        *("relabelled: 1", f"  {others[1][:12]}  cat -> dog"),
        *("moved: 1", f"  {train[:12]}  train -> test"),
        *("regrouped: 1", f"  {test[:12]}  {test[:12]} -> {train[:12]}"),
        *("reviewed: 1", f"  {others[1][:12]}  no -> yes"),
    ]
    back = json.loads(curate("diff", "v002", "v001", "--json").stdout)
    assert (back["added"], back["removed"]) == (facts["removed"], facts["added"])
    assert back["moved"] == [{"image_id": train, "from": "test", "to": "train"}]


def test_a_long_diff_names_the_first(workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]) -> None:
    """Ten of a kind for people, all of them for programs; of a version against itself nothing."""
    ids = add_images(workspace, ["cat"] * 30 + ["dog"] * 30)
    freeze_version(workspace)
    label_images(workspace, ids[:14], "dog")
    freeze_version(workspace)
    text = curate("diff", "v001", "v002").stdout
    assert text.count("cat -> dog") == 10
    assert "relabelled: 14" in text and text.count("and 4 more (--json has all)") == 2, "relabelled and reviewed"
    assert len(json.loads(curate("diff", "v001", "v002", "--json").stdout)["relabelled"]) == 14
    nothing = json.loads(curate("diff", "v002", "latest", "--json").stdout)
    assert not any(nothing[kind] for kind in ("added", "removed", "relabelled", "moved", "regrouped", "reviewed"))


def test_diff_of_several_labels(tmp_path: Path, add_images: AddImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that lost all its labels is told as having none."""
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


def test_verify_reads_every_file_again(workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]) -> None:
    """Each one in turn with one bit turned over, its size and its times as they were: named, and no other."""
    add_images(workspace, ["cat"] * 5 + ["dog"] * 5)
    for row in freeze_version(workspace).manifest.rows:
        path = workspace.root / row.path
        times, whole = path.stat(), path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        (problem,) = json.loads(curate("verify", "v001", "--json").stdout)["problems"]
        assert f"{row.image_id[:12]} has bytes that do not match" in problem
        path.write_bytes(whole)
    assert curate("verify", "v001").exit_code == 0


def edit_facts(workspace: Workspace, name: str, value: object) -> None:
    """Let v001's JSON say something else."""
    path = workspace.manifests / "v001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("categories", ["dog", "cat"], "states labels"),
        ("task", "multi", ""),
        ("moved", [{"image_id": "x"}], ""),
        ("rows", 19, "states rows: 19"),
    ],
)
def test_an_edited_json_is_told(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result], name: str, value: object, problem: str
) -> None:
    """The order of the categories is that of every model's outputs; whatever else stands there ends in no traceback."""
    add_images(workspace, ["cat"] * 5 + ["dog"] * 5)
    freeze_version(workspace)
    edit_facts(workspace, name, value)
    found = json.loads(curate("verify", "v001", "--json").stdout)["problems"]
    assert [problem in one for one in found] == ([True] if problem else [])


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
    ],
)
@pytest.mark.parametrize("command", ["verify", "rebuild", "versions"])
def test_facts_of_another_kind_are_one_line(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result], command: str, name: str, value: object
) -> None:
    """Whatever reads the version says which of its facts somebody has broken."""
    add_images(workspace, ["cat"] * 5 + ["dog"] * 5)
    freeze_version(workspace)
    edit_facts(workspace, name, value)
    with pytest.raises(FototecaError, match=f"has an invalid {name}"):
        curate(command, *(["v001"] if command != "versions" else []))


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda lines: [lines[0], *lines[1:], lines[-1]], "has duplicate images"),
        (lambda lines: [lines[0], *reversed(lines[1:])], "is not sorted by image_id"),
        (lambda lines: [line.replace(",no", ",perhaps") for line in lines], "is not a valid manifest"),
        (lambda lines: [line.replace(",64,48,", ",9x,48,") for line in lines], "is not a valid manifest"),
        (lambda lines: [*lines[:-1], lines[-1][:90]], "is not a valid manifest"),
        (lambda lines: [re.sub(r"(train|val|test),\w{64}", r"\1,one", line) for line in lines], "group one is in t"),
        (lambda lines: [*lines[:-1], re.sub(",(cat|dog),", ",fox,", lines[-1])], "has an unknown label: fox"),
    ],
)
def test_rows_that_fototeca_does_not_write_are_told(
    workspace: Workspace,
    add_images: AddImages,
    curate: Callable[..., Result],
    edit: Callable[[list[str]], list[str]],
    problem: str,
) -> None:
    """Although the digest was made to fit."""
    add_images(workspace, ["cat"] * 5 + ["dog"] * 5)
    freeze_version(workspace)
    csv = workspace.manifests / "v001.csv"
    csv.write_text("\n".join(edit(csv.read_text().splitlines())) + "\n")
    edit_facts(workspace, "sha256", hashlib.sha256(csv.read_bytes()).hexdigest())
    assert any(problem in one for one in json.loads(curate("verify", "v001", "--json").stdout)["problems"])


def test_a_removed_category_stays_in_earlier_versions(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]
) -> None:
    """They are read, verified, rebuilt, compared and exported as they were frozen, whatever fototeca.toml says by now."""
    ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    freeze_version(workspace)
    workspace.config.write_text(workspace.config.read_text().replace('[categories."dog"]', '[categories."fox"]'))
    changed = Workspace(workspace.root)
    assert curate("verify", "v001").exit_code == 0
    assert curate("rebuild", "v001").exit_code == 0
    assert curate("export", "v001", workspace.root.parent / "out", "--format", "coco").exit_code == 0
    label_images(changed, ids[10:], "fox")
    assert freeze_version(changed).manifest.categories == ("cat", "fox")
    assert curate("diff", "v001", "v002").stdout.count("dog -> fox") == 10
    assert curate("rebuild", "v001").exit_code == 0


def test_a_version_of_a_newer_fototeca_is_refused(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]
) -> None:
    """Its JSON says so; nothing is guessed of what it means, and no version is made after it."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    path = freeze_version(workspace).manifest.path.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    for words in (["verify", "v001"], ["diff", "v001", "v001"], ["rebuild", "v001"], ["freeze"]):
        with pytest.raises(FototecaError, match=r"schema 99, this fototeca knows 2; install a newer fototeca"):
            curate(*words)
    assert list_versions(workspace) == ["v001"]


def test_a_catalog_of_a_newer_fototeca_is_refused(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]
) -> None:
    """Every command that needs it says so and changes nothing; versions can still be verified and compared without it."""
    ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    freeze_version(workspace)
    with Catalog.open(workspace) as catalog:
        catalog.database.connection.execute("PRAGMA user_version = 99")
        catalog.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = workspace.catalog.read_bytes()
    for words in (["freeze"], ["rebuild", "v001"], ["label", ids[0], "--label", "dog"], ["history"], ["recover"]):
        with pytest.raises(FototecaError, match=r"catalog\.sqlite has schema 99, .* install a newer fototeca"):
            curate(*words)
    assert workspace.catalog.read_bytes() == before
    assert curate("verify", "v001").exit_code == 0
    assert curate("diff", "v001", "v001").exit_code == 0


def test_verify_finds_what_is_gone_or_other(workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]) -> None:
    """A missing image, changed bytes and edited decisions are problems by name; the exit code says so too."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    freeze_version(workspace)
    assert json.loads(curate("verify", "v001", "--json").stdout) == {"version": "v001", "ok": True, "problems": []}
    gone, other = read_manifest(workspace, "v001").rows[:2]
    (workspace.root / gone.path).unlink()
    (workspace.root / other.path).write_bytes(b"something else")
    with (workspace.manifests / "v001.decisions.csv").open("a") as file:
        file.write("x")
    result = curate("verify", "v001", "--json")
    problems = "\n".join(json.loads(result.stdout)["problems"])
    assert result.exit_code == 2
    assert f"{gone.image_id[:12]} is missing" in problems
    assert f"{other.image_id[:12]} has bytes that do not match" in problems
    assert "v001.decisions.csv was changed" in problems


def test_verify_of_an_edited_manifest_is_a_finding(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]
) -> None:
    """It says so instead of stopping."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    path = freeze_version(workspace).manifest.path
    path.write_text(path.read_text().replace(",cat,", ",dog,", 1))
    result = curate("verify", "latest", "--json")
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (2, False)


@pytest.mark.parametrize(
    ("fact", "value", "told"),
    [
        ("rows", 99, "states rows: 99, the rows have 20"),
        ("splits", {"train": 20, "val": 0, "test": 0}, "states splits"),
        ("labels", {}, "states labels"),
        ("parent", "v001", "the preceding version is None"),
        ("decisions", 3, "states decisions: 3, the file has 20"),
    ],
)
def test_verify_of_an_edited_json_is_a_finding(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result], fact: str, value: object, told: str
) -> None:
    """Its counts are counted again."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    path = freeze_version(workspace).manifest.path.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), fact: value}))
    assert told in "\n".join(json.loads(curate("verify", "latest", "--json").stdout)["problems"])


def test_an_image_that_changed_sides_untold_is_a_finding(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], curate: Callable[..., Result]
) -> None:
    """Only what the JSON lists may have another split than in the version before."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    first = freeze_version(workspace).manifest
    group_images(workspace, [[first.split("test")[0].image_id, first.split("train")[0].image_id]], keep_near=True)
    second = freeze_version(workspace).manifest
    (moved,) = second.moved
    assert curate("verify", "v002").exit_code == 0
    path = second.path.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "moved": []}))
    assert f"{moved['image_id'][:12]} was in {moved['from']} and is in {moved['to']}" in curate("verify", "v002").stdout


@pytest.mark.parametrize("spoil", [lambda facts: facts.pop("seed"), lambda facts: facts.update(version="v009")])
def test_a_json_without_a_fact_is_one_line(
    workspace: Workspace, add_images: AddImages, curate: Callable[..., Result], spoil: Callable[[dict[str, object]], object]
) -> None:
    """The missing fact is named, and how to have the file back."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    path = freeze_version(workspace).manifest.path.with_suffix(".json")
    facts = json.loads(path.read_text())
    spoil(facts)
    path.write_text(json.dumps(facts))
    with pytest.raises(FototecaError, match=r"git checkout manifests/v001\.json"):
        curate("verify", "latest")


def test_the_commands_of_a_first_session(workspace: Workspace, add_images: AddImages, curate: Callable[..., Result]) -> None:
    """freeze, versions, label, log, rebuild and export through the command line, as the design shapes them."""
    assert "no versions yet" in curate("versions").stdout
    ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    facts = json.loads(curate("freeze", "--seed", 3, "--ratios", "60/20/20", "--note", "first", "--json").stdout)
    assert {name: facts[name] for name in ("version", "rows", "splits", "path")} == {
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
