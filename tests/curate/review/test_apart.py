"""Tests for images that people declared to be no copies: groups, components and splits, now and after later searches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fototeca import Workspace
from fototeca.collect.catalog import Actor, Catalog, Edit, ImageRow, TieRow
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import create_workspace
from fototeca.curate.duplicates.clustering import Match
from fototeca.curate.duplicates.separate import Separator
from fototeca.curate.labels.apart import add_apart, all_pairs
from fototeca.curate.labels.decisions import list_decisions
from fototeca.curate.review.apart import declare_apart, restore_images
from fototeca.curate.review.queues import CONFLICT, POSSIBLE_COPY
from fototeca.curate.review.session import ReviewSession, StaleError
from fototeca.curate.review.undo import undo_decisions
from fototeca.curate.snapshot.catalog_state import read_snapshot
from fototeca.curate.snapshot.split_groups import find_split_groups
from fototeca.curate.versions.recover import recover_catalog

AddImages = Callable[..., list[str]]


def scene(seed: int) -> Image.Image:
    """Return a picture with detail at several scales."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize((200, 200), 3), dtype=np.float64)
        for n in (4, 9, 40)
    ]
    return Image.fromarray(np.clip(sum(layers) / 3 * 1.8 - 100, 0, 255).astype(np.uint8))


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Workspace, list[str]]:
    """A deduplicated workspace with one picture at four sizes, largest first, and twelve other pictures per category."""
    workspace = Workspace.create(tmp_path / "w", ["a", "b"], target=1)
    folder = tmp_path / "in"
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for seed in range(12):
            scene(seed + 100 * ord(name)).save(folder / name / f"{seed}.png")
    for number, side in enumerate((200, 180, 160, 140)):
        scene(5).resize((side, side)).save(folder / "a" / f"copy{number}.png")
    workspace.collect_folder(folder, label_from_folder=True)
    workspace.deduplicate()
    with Catalog.open(workspace) as catalog:
        names = {name: image_id for image_id, name in catalog.provenance.file_names().items()}
    return workspace, [next(names[key] for key in names if key.endswith(f"copy{number}.png")) for number in range(4)]


def images(workspace: Workspace, ids: list[str]) -> list[ImageRow]:
    """Return the images' rows in the catalog."""
    with Catalog.open(workspace) as catalog:
        rows = [catalog.images.get(image_id) for image_id in ids]
    return [row for row in rows if row]


def statuses(workspace: Workspace, ids: list[str]) -> str:
    """Return the first letter of each image's status."""
    return "".join(image.status[0] for image in images(workspace, ids))


def split_groups(workspace: Workspace, ids: list[str]) -> list[str]:
    """Return the split group of each image."""
    with Catalog.open(workspace) as catalog:
        groups = find_split_groups(read_snapshot(catalog))
    return [groups[image_id] for image_id in ids]


def test_all_pairs_apart_leave_every_image_on_its_own(copies: tuple[Workspace, list[str]]) -> None:
    """All four are accepted with splits of their own at once, and after later searches with other settings."""
    workspace, ids = copies
    assert statuses(workspace, ids) == "addd"
    assert len(workspace.apart([image_id[:16] for image_id in ids], comment="four boards")) == 6
    for _ in range(2):
        assert statuses(workspace, ids) == "aaaa"
        assert [image.group for image in images(workspace, ids)] == [""] * 4
        assert [image.component for image in images(workspace, ids)] == ids
        assert len(set(split_groups(workspace, ids))) == 4
        workspace.deduplicate(threshold=20)
    frozen = {row.image_id for row in workspace.freeze().manifest.rows}
    assert frozen >= {*ids}
    assert workspace.apart(ids) == [], "declared already"


def test_one_pair_leaves_the_other_ties(copies: tuple[Workspace, list[str]]) -> None:
    """Of a declared pair one leaves the group; a copy of both keeps them in one split."""
    workspace, ids = copies
    declare_apart(workspace, ids[:2])
    for _ in range(2):
        assert statuses(workspace, ids) == "aadd"
        first, second, *others = (image.group for image in images(workspace, ids))
        assert first != second and {*others} <= {first}
        assert len(set(split_groups(workspace, ids))) == 1
        workspace.deduplicate()


def test_undo_ties_the_images_again(copies: tuple[Workspace, list[str]]) -> None:
    """An undone declaration, and a second one after it, are in the history; the group is as before."""
    workspace, ids = copies
    before = images(workspace, ids)
    (event,) = declare_apart(workspace, ids[:2])
    undo_decisions(workspace, [event.decision_id])
    assert images(workspace, ids) == before
    with pytest.raises(FototecaError, match="not undone yet"):
        undo_decisions(workspace, [event.decision_id])
    (again,) = declare_apart(workspace, ids[:2])
    history = list_decisions(workspace, ids[1])
    assert [row.action for row in history if row.actor_kind == "person"] == ["apart"] * 3
    assert history[-1] == again and statuses(workspace, ids) == "aadd"


def test_restored_image_is_no_copy_of_its_representative(copies: tuple[Workspace, list[str]]) -> None:
    """Restoring declares the pair with the image that pushed it out; both decisions are written."""
    workspace, ids = copies
    decisions = restore_images(workspace, [ids[1]])
    assert [row.action for row in decisions] == ["restore", "apart"]
    assert {decisions[1].image_id, decisions[1].other_image_id} == {*ids[:2]}
    workspace.deduplicate()
    first, second = images(workspace, ids[:2])
    assert (second.status, second.group != first.group) == ("accepted", True)
    workspace.reject([ids[0]], "off-topic")
    assert [row.action for row in restore_images(workspace, [ids[0]])] == ["restore"], "it was rejected, not set aside"


def test_declarations_survive_the_loss_of_the_catalog(copies: tuple[Workspace, list[str]]) -> None:
    """Decision files carry declarations; after recovery the next search leaves the images apart."""
    workspace, ids = copies
    declare_apart(workspace, ids)
    workspace.label(ids, "a")
    workspace.freeze()
    assert "apart,person,tester" in (workspace.manifests / "v001.decisions.csv").read_text()
    workspace.catalog.unlink()
    for file in workspace.catalog.parent.glob(f"{workspace.catalog.name}-*"):
        file.unlink()
    recover_catalog(workspace)
    workspace.deduplicate()
    assert statuses(workspace, ids) == "aaaa"
    assert workspace.verify("v001").ok


def test_freeze_completes_an_interrupted_declaration(copies: tuple[Workspace, list[str]]) -> None:
    """After a kill between the decisions and the groups, the next freeze groups the images again."""
    workspace, ids = copies
    with Catalog.open(workspace) as catalog:
        add_apart(catalog, all_pairs(ids), by=Actor.person("tester"))
    assert statuses(workspace, ids) == "addd"
    assert {row.image_id for row in workspace.freeze().manifest.rows} >= {*ids}
    assert statuses(workspace, ids) == "aaaa"


def test_command(copies: tuple[Workspace, list[str]], fototeca: Callable[..., Any]) -> None:
    """The command takes beginnings of ids, prints the pairs and rejects a single image."""
    workspace, ids = copies
    run = fototeca("curate", "apart", ids[0][:10], ids[1][:10], "--json", cwd=workspace.root)
    assert [row["action"] for row in json.loads(run.stdout)] == ["apart"]
    again = fototeca("curate", "apart", *ids[:2], cwd=workspace.root)
    assert (again.returncode, again.stdout) == (0, "") and "apart already" in again.stderr
    history = fototeca("curate", "history", ids[1], cwd=workspace.root).stdout
    assert "no copy of" in history
    alone = fototeca("curate", "apart", ids[0], ids[0], cwd=workspace.root)
    assert alone.returncode == 2 and "at least two images" in alone.stderr


def test_page_declares_and_undoes(copies: tuple[Workspace, list[str]]) -> None:
    """The key of the page sets an image apart from its whole group; stale states and lone images are refused."""
    workspace, ids = copies
    session = ReviewSession(workspace)
    session.overview()
    details = session.image_details(ids[1])
    shown = {card.image_id: card.state for card in (details, *details.group)}
    with pytest.raises(StaleError):
        session.apart({**shown, ids[2]: "b"}, ids[1])
    written = session.apart(shown, ids[1])
    assert len(written) == 3 and statuses(workspace, ids) == "aadd"
    with pytest.raises(FototecaError, match="no copies"):
        session.apart(shown, ids[1])
    session.undo([row.decision_id for row in written])
    assert statuses(workspace, ids) == "addd"
    restored = session.decide({ids[1]: details.state}, ids[1], Edit.restore(), group=False)
    assert [row.action for row in restored] == ["restore", "apart"]
    session.undo([row.decision_id for row in restored])
    assert statuses(workspace, ids) == "addd"


def test_equal_pixels_can_be_apart() -> None:
    """Images with equal pixels are separated too; a third with the same pixels joins the first only."""
    partners = {"x": frozenset({"y"}), "y": frozenset({"x"})}
    alone = Separator(["x", "y"], partners, [[0, 1]], [], lambda center, others: {})
    assert alone.concerns([0]) and alone.split([0]) == [[0], [1]]
    three = Separator(["x", "y", "z"], partners, [[0, 1, 2]], [], lambda center, others: {})
    assert three.split([0]) == [[0, 1, 2]]
    assert dict(three.find_matches(0, [1, 2])) == {2: Match("pixels", 0.0)}
    assert dict(three.find_matches(2, [0, 1])) == {0: Match("pixels", 0.0)}


@pytest.mark.parametrize("kind", ["overlay", "unverified"])
def test_possible_copies_are_queued_until_somebody_decides(tmp_path: Path, add_images: AddImages, kind: str) -> None:
    """A possible copy is in the queue with both images; it leaves the queue set aside by one key, or apart."""
    workspace = Workspace(create_workspace(tmp_path / "w", ["cat"], target=1).root)
    ids = sorted(add_images(workspace, ["cat"] * 6))
    ties = [TieRow(ids[0], ids[1], kind, True), TieRow(ids[2], ids[3], kind, True), TieRow(ids[4], ids[5], "altered", True)]
    with Catalog.open(workspace) as catalog:
        catalog.groups.replace([], [], ties)
    session = ReviewSession(workspace)
    session.overview()
    assert [entry.image_id for entry in session.queue(POSSIBLE_COPY)] == ids[:4]
    details = session.image_details(ids[0])
    assert [(card.image_id, card.kind) for card in details.possible_copies] == [(ids[1], kind)]
    session.decide({ids[0]: details.state}, ids[0], Edit.reject("copy"), group=False)
    other = session.image_details(ids[2])
    session.apart({card.image_id: card.state for card in (other, *other.possible_copies)}, ids[2])
    session.overview()
    assert session.queue(POSSIBLE_COPY) == []
    assert statuses(workspace, ids[:4]) == "raaa"


def test_conflict_of_rightly_different_copies_can_be_settled(tmp_path: Path, add_images: AddImages, group_images: Any) -> None:  # noqa: ANN401
    """Two crops with different labels stay a conflict until both labels are confirmed, or the two are declared apart."""
    workspace = Workspace(create_workspace(tmp_path / "w", ["cat", "dog"], task="multi").root)
    ids = add_images(workspace, ["cat", "dog"])
    group_images(workspace, [ids])

    def conflicts() -> list[str]:
        session = ReviewSession(workspace)
        session.overview()
        return [entry.image_id for entry in session.queue(CONFLICT)]

    for image_id, label, expected in zip(ids * 2, ("cat", "dog") * 2, (ids[1:], ids, ids, []), strict=True):
        workspace.label([image_id], label)
        assert sorted(conflicts()) == sorted(expected)
    workspace.label([ids[0]], "")
    workspace.label([ids[0]], "cat")
    assert sorted(conflicts()) == sorted(ids), "a new label has to be confirmed again"
    workspace.apart(ids)
    assert conflicts() == []
