"""Migration of a workspace of schema 4: its catalog, and verifying, rebuilding and recovering its versions.

`schema_4/` was written by the last program with that schema. It has every kind of decision by two people, a source and a rule,
undone decisions, a renamed category, a restored duplicate, two versions, and a row in each table. `expected.json` contains the
states and annotations that the program itself read from it.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fototeca.collect.catalog import Catalog, Decision
from fototeca.collect.catalog.schema import MIGRATIONS
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.categories import list_renames
from fototeca.curate.manifest import list_versions
from fototeca.curate.quality.thresholds import read_thresholds
from fototeca.curate.review.queues import answered_issues, latest_annotations
from fototeca.curate.versions.decision_log import list_unstored_decisions, read_decision_log
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version
from fototeca.curate.versions.recover import recover_catalog

FILES = Path(__file__).parent / "schema_4"
EXPECTED = json.loads((FILES / "expected.json").read_text(encoding="utf-8"))


def image_states(catalog: Catalog) -> dict[str, list[Any]]:
    """Return the state of every image in the form of `expected.json`."""
    return {
        image.image_id: [
            image.label,
            image.rejected,
            image.reviewed,
            image.restored,
            image.status,
            image.group,
            image.component,
        ]
        for image in catalog.images.all()
    }


def annotations(catalog: Catalog) -> dict[str, dict[str, str]]:
    """Return the latest annotations in the form of `expected.json`."""
    return {
        image_id: {f"person:{name}": "reject:" if one.rejected else one.label for name, one in by_person.items()}
        for image_id, by_person in latest_annotations(catalog.decisions.all()).items()
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The old workspace, without its image files."""
    root = tmp_path / "w"
    (root / "data").mkdir(parents=True)
    (root / "manifests").mkdir()
    (root / "fototeca.toml").write_bytes((FILES / "fototeca.toml").read_bytes())
    for path in FILES.glob("v0*"):
        (root / "manifests" / path.name).write_bytes(path.read_bytes())
    with sqlite3.connect(root / "data" / "catalog.sqlite") as sql:
        sql.executescript((FILES / "catalog.sql").read_text(encoding="utf-8"))
        assert sql.execute("PRAGMA user_version").fetchone()[0] == 4
    sql.close()
    return Workspace(root)


def test_catalog_is_migrated(workspace: Workspace) -> None:
    """Images and annotations equal the old program's; ids of decisions stay; every table keeps its rows."""
    with sqlite3.connect(workspace.catalog) as sql:
        ids = [row[0] for row in sql.execute("SELECT decision_id FROM decisions ORDER BY 1")]
    sql.close()
    with Catalog.open(workspace) as catalog:
        assert image_states(catalog) == EXPECTED["images"]
        assert annotations(catalog) == EXPECTED["annotations"]
        assert [decision.decision_id for decision in catalog.decisions.all()] == ids
        assert list_renames(catalog) == [("dog", "puppy")]
        (answered,) = answered_issues(catalog).values()
        assert answered == ("label-error", "cat", "puppy")
        (issue,) = catalog.label_issues.all()
        assert (issue.suggested, len(issue.neighbors)) == ("puppy", 2)
        assert len(catalog.metadata.with_prefix("conflict-reported:")) == 1
        assert read_thresholds(catalog).blurry == 0.3
        assert (len(catalog.duplicate_cache.pairs()), len(catalog.duplicate_cache.matches())) == (1, 1)
        assert (catalog.duplicate_cache.view_hashes(), len(catalog.duplicate_cache.signed_ids())) == ({b"\1": b"\2"}, 1)
        assert len(catalog.quality.all()) == 1
        row = catalog.database.connection.execute("SELECT content_type, content_length FROM attempts").fetchone()
        assert tuple(row) == ("image/png", 9)
        assert catalog.database.connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        assert not catalog.database.connection.execute("PRAGMA foreign_key_check").fetchall()


def test_decisions_become_typed_events(workspace: Workspace) -> None:
    """Prefixes of the old strings become fields, with the labels of rejected images filled in."""
    with Catalog.open(workspace) as catalog:
        decisions = catalog.decisions.all()

    def first(**fields: str) -> Decision:
        return next(row for row in decisions if all(getattr(row, name) == value for name, value in fields.items()))

    found = first(actor_kind="source")
    assert (found.actor, found.action, found.old_label, found.new_label, found.reason) == (
        "site",
        "label",
        "",
        "cat",
        "found as cat",
    )
    rule = first(actor_kind="rule")
    assert (rule.actor, rule.action, rule.old_label, rule.new_label, rule.new_rejected) == (
        "rule",
        "reject",
        "dog",
        "dog",
        "blurry",
    )
    restored = first(action="restore", old_rejected="off-topic")
    assert (restored.actor, restored.old_label, restored.new_label, restored.new_rejected) == ("ana", "cat", "cat", "")
    renamed = first(action="rename")
    assert (renamed.actor_kind, renamed.old_label, renamed.new_label, renamed.is_review) == ("person", "dog", "puppy", False)
    undo = next(row for row in decisions if row.undoes)
    undone = first(time=undo.undoes)
    assert (undone.image_id, undone.actor, undone.new_rejected, undo.new_rejected) == (undo.image_id, undo.actor, "blurry", "")
    remark = first(reason="a remark, with a comma")
    assert (remark.old_label, remark.new_label) == ("cat", "dog")


def test_versions_are_rebuilt_byte_for_byte(workspace: Workspace) -> None:
    """The old versions are rebuilt from the migrated catalog, and only later decisions go into the next version's file."""
    assert list_versions(workspace) == ["v001", "v002"]
    assert all(rebuild_version(workspace, version) for version in list_versions(workspace))
    with Catalog.open(workspace) as catalog:
        (new,) = list_unstored_decisions(catalog, workspace)
        assert new == catalog.decisions.all()[-1]
    freeze_version(workspace)
    assert [decision.key for decision in read_decision_log(workspace, "v003")] == [new.key]
    assert rebuild_version(workspace, "v003")


def test_old_decision_files_are_recovered(workspace: Workspace) -> None:
    """Decisions of the old files, applied to an empty catalog, lead to the same states."""
    with Catalog.open(workspace) as catalog:
        freeze_version(workspace)
        images, expected = catalog.images.all(), image_states(catalog)
        expected_annotations = annotations(catalog)
    for path in workspace.data.glob("catalog.sqlite*"):
        path.unlink()
    with Catalog.open(workspace) as catalog:
        for image in images:
            catalog.images.insert(image, image.added)
    recover_catalog(workspace)
    with Catalog.open(workspace) as catalog:
        states = image_states(catalog)
        assert {image_id: state[:4] for image_id, state in states.items()} == {i: state[:4] for i, state in expected.items()}
        assert annotations(catalog) == expected_annotations
        assert list_unstored_decisions(catalog, workspace) == []
