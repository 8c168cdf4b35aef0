"""Tests for label decisions by a person."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fototeca.collect.catalog import Catalog, Edit, ImageRow
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.labels.decisions import (
    decide_images,
    history_table,
    label_images,
    list_decisions,
    make_edit,
    reject_images,
)
from fototeca.curate.review.apart import restore_images

AddImages = Callable[..., list[str]]


def image(workspace: Workspace, image_id: str) -> ImageRow:
    """Return the image's row in the catalog."""
    with Catalog.open(workspace) as catalog:
        row = catalog.images.get(image_id)
    assert row
    return row


def test_relabel_reject_and_restore(workspace: Workspace, add_images: AddImages) -> None:
    """Each decision updates the image, and the log records author, previous and new state, and reason."""
    (first,) = add_images(workspace, ["cat"])
    label_images(workspace, [first[:8]], "dog", comment="it barks")
    reject_images(workspace, [first], "Off-Topic")
    assert (image(workspace, first).status, image(workspace, first).rejected) == ("rejected", "off-topic")
    restore_images(workspace, [first.upper()[:9]])
    assert (image(workspace, first).status, image(workspace, first).label) == ("accepted", "dog")
    log = list_decisions(workspace, first[:6])
    assert [(row.action, row.actor_kind, row.actor, row.before, row.after) for row in log[1:]] == [
        ("label", "person", "tester", "cat", "dog"),
        ("reject", "person", "tester", "dog", "rejected: off-topic"),
        ("restore", "person", "tester", "rejected: off-topic", "dog"),
    ]
    assert log[1].reason == "it barks"
    assert "person:tester" in history_table(log)


def test_repeated_image_is_decided_once(workspace: Workspace, add_images: AddImages) -> None:
    """The same image given several times gets one decision."""
    (first,) = add_images(workspace, ["cat"])
    assert len(label_images(workspace, [first, first[:8], first], "dog")) == 1
    assert [row.new_label for row in list_decisions(workspace)] == ["cat", "dog"]


def test_restore_overrides_deduplication(workspace: Workspace, add_images: AddImages, group_images: Callable[..., None]) -> None:
    """A restored duplicate is accepted."""
    ids = add_images(workspace, ["cat", "cat"])
    group_images(workspace, [ids])
    assert image(workspace, ids[1]).status == "duplicate"
    restore_images(workspace, [ids[1]])
    assert image(workspace, ids[1]).status == "accepted"


def test_author_of_decisions(workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The author is FOTOTECA_USER on one line without surrogates, else the login name, else the user id."""
    (image_id,) = add_images(workspace, ["cat"])

    def decide_and_return_actor() -> str:
        (decision,) = label_images(workspace, [image_id], "cat", comment="caf\udce9")
        assert decision.reason == "caf?"
        return decision.actor

    monkeypatch.setattr(getpass, "getuser", lambda: "login")
    for name, expected in (("ana\nmaría \udce9", "ana maría ?"), (" ", "login")):
        monkeypatch.setenv("FOTOTECA_USER", name)
        assert decide_and_return_actor() == expected
    monkeypatch.delenv("FOTOTECA_USER")

    def raise_unknown_user() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", raise_unknown_user)
    assert decide_and_return_actor() == f"uid {os.getuid()}"


def test_multi_label_decisions_are_sorted_and_may_be_empty(tmp_path: Path, add_images: AddImages) -> None:
    """Labels are validated, deduplicated and sorted; an empty set is allowed."""
    workspace = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi")
    (first,) = add_images(workspace, ["cat"])
    label_images(workspace, [first], "dog|cat|dog")
    assert image(workspace, first).label == "cat|dog"
    label_images(workspace, [first], "")
    assert image(workspace, first).label == ""
    with pytest.raises(FototecaError, match="fox"):
        label_images(workspace, [first], "cat|fox")


def test_invalid_decisions_change_nothing(workspace: Workspace, add_images: AddImages) -> None:
    """Invalid categories, ids, reasons and combinations raise an error and write nothing."""
    ids = add_images(workspace, ["cat"] * 20)
    before = len(list_decisions(workspace))
    cases: list[tuple[list[str], dict[str, object], str]] = [
        ([ids[0]], {"label": "fox"}, "cat, dog"),
        ([ids[0], "0" * 64], {"label": "dog"}, "no image"),
        ([ids[0], "not-hex"], {"label": "dog"}, "not an image id"),
        ([next(x[0] for x in ids if sum(y[0] == x[0] for y in ids) > 1)], {"label": "dog"}, "several"),
        ([ids[0]], {}, "exactly one decision"),
        ([ids[0]], {"label": "dog", "restore": True}, "exactly one decision"),
        ([ids[0]], {"reject": "because it is ugly"}, "reason"),
    ]
    for prefixes, options, message in cases:
        with pytest.raises(FototecaError, match=message):
            decide_images(workspace, prefixes, make_edit(workspace.settings, **options))  # type: ignore[arg-type]
    assert len(list_decisions(workspace)) == before


def test_labels_in_other_words(workspace: Workspace) -> None:
    """Categories in another spelling and review words in the place of a label are understood; other words are errors."""
    settings = workspace.settings
    assert [make_edit(settings, label=text) for text in (" CATS ", "Dog", "dog")] == [
        Edit.relabel("cat"),
        *[Edit.relabel("dog")] * 2,
    ]
    assert make_edit(settings, label="Reject:Blurry") == Edit.reject("blurry")
    assert make_edit(settings, label="delete") == Edit.reject("deleted")
    assert make_edit(settings, label="Restore") == Edit.restore()
    assert make_edit(settings, reject=" Off-Topic ") == Edit.reject("off-topic")
    for text in ("reviewed", "apart", "wolf", "reject:two words"):
        with pytest.raises(FototecaError):
            make_edit(settings, label=text)
