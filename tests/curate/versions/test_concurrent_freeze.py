"""Tests for freezing while other processes write: nothing waits for the plan, and no version mixes two states."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from queue import Queue

import pytest

import fototeca.curate.versions.freeze as freezing
from fototeca.collect.catalog import Actor, Catalog, Edit
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.erasure.erase import Selection, erase_images
from fototeca.curate.manifest import list_versions
from fototeca.curate.versions.freeze import MAX_PLANS, freeze_version
from fototeca.curate.versions.freeze_result import FreezeResult
from fototeca.curate.versions.plan import VersionPlan, plan_rows
from fototeca.curate.versions.rebuild import rebuild_version

AddImages = Callable[..., list[str]]
GroupImages = Callable[..., None]


def while_planning(patch: pytest.MonkeyPatch, act: Callable[[int], object]) -> None:
    """Call `act` with 0, 1, 2… at the end of each plan of a version, as another process might at that time."""
    plans = count()

    def plan_and_act(*arguments: object, **options: object) -> VersionPlan:
        plan = plan_rows(*arguments, **options)  # type: ignore[arg-type]
        act(next(plans))
        return plan

    patch.setattr(freezing, "plan_rows", plan_and_act)


def decide(workspace: Workspace, image_id: str, label: str) -> None:
    """Label an image in the name of ana through a connection that fails at once where the catalog is locked."""
    with Catalog.open(workspace) as catalog:
        catalog.database.connection.execute("PRAGMA busy_timeout = 0")
        catalog.decisions.add(image_id, Edit.relabel(label), by=Actor.person("ana"))


def test_decision_during_the_plan_is_in_the_version(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write while the version is planned, and it is planned again with what they decided."""
    ids = add_images(workspace, ["cat"] * 20 + ["dog"] * 20)
    while_planning(monkeypatch, lambda plan: decide(workspace, ids[0], "dog") if plan == 0 else None)
    manifest = freeze_version(workspace).manifest
    assert next(row.label for row in manifest.rows if row.image_id == ids[0]) == "dog"
    assert f"{ids[0]}," in (workspace.manifests / "v001.decisions.csv").read_text().splitlines()[-1]
    assert rebuild_version(workspace, "v001")


def test_steady_decisions_do_not_prevent_a_version(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some plans the version is that of its moment: later decisions and images are not in it."""
    ids = add_images(workspace, ["cat"] * 20 + ["dog"] * 20)

    def act(plan: int) -> None:
        decide(workspace, ids[plan], "dog")
        add_images(workspace, ["cat"], start=100 + plan)

    while_planning(monkeypatch, act)
    manifest = freeze_version(workspace).manifest
    labels = {row.image_id: row.label for row in manifest.rows}
    assert [labels[ids[plan]] for plan in range(MAX_PLANS)] == ["dog", "dog", "cat"]
    assert len(labels) == 40 + MAX_PLANS - 1
    monkeypatch.undo()
    assert freeze_version(workspace).manifest.version == "v002"
    assert rebuild_version(workspace, "v001") and rebuild_version(workspace, "v002")


def test_image_erased_during_the_plan_is_in_no_version(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No version contains an image that was erased before it was written, however often that happens."""
    ids = add_images(workspace, ["cat"] * 20 + ["dog"] * 20)
    while_planning(monkeypatch, lambda plan: erase_images(workspace, Selection(image_ids=[ids[plan]]), "on request"))
    with pytest.raises(FototecaError, match="erased while the version was planned"):
        freeze_version(workspace)
    assert list_versions(workspace) == []
    monkeypatch.undo()
    assert not {row.image_id for row in freeze_version(workspace).manifest.rows} & set(ids[:MAX_PLANS])


def test_simultaneous_freezes_make_one_version(
    workspace: Workspace, add_images: AddImages, group_images: GroupImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A freeze waits for one that is running, says so, and finds that nothing has changed."""
    ids = add_images(workspace, ["cat"] * 20 + ["dog"] * 20)
    group_images(workspace, [ids[:3], ids[20:23]], keep_near=True)
    messages: Queue[str] = Queue()
    monkeypatch.setattr("fototeca.core.locks.notify", messages.put)
    with ThreadPoolExecutor(1) as pool:
        second: list[Future[FreezeResult]] = []

        def start_second(plan: int) -> None:
            if plan == 0:
                second.append(pool.submit(freeze_version, workspace))
                assert messages.get(timeout=60) == "another process is freezing a version: waiting for it"

        while_planning(monkeypatch, start_second)
        assert freeze_version(workspace).new
        assert not second[0].result().new
    assert list_versions(workspace) == ["v001"] and rebuild_version(workspace, "v001")
