"""Two reviewers: kappa is scikit-learn's, what was taken back does not count, and nobody agrees with nobody."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from fototeca.collect.catalog import Actor, Catalog, Edit
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.labels.decisions import label_images
from fototeca.curate.review.agreement import cohen_kappa, measure_agreement
from fototeca.curate.review.queues import Annotation, latest_annotations
from fototeca.curate.review.undo import undo_decisions

AddImages = Callable[..., list[str]]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40))
def test_kappa_equals_scikit_learn(words: list[tuple[str, str]]) -> None:
    """Kappa equals scikit-learn's for any annotations, and is None where it divides by zero."""
    first, second = zip(*words, strict=True)
    with warnings.catch_warnings(action="ignore"):
        theirs = cohen_kappa_score(first, second)
    ours = cohen_kappa(first, second)
    assert math.isnan(theirs) if ours is None else ours == pytest.approx(theirs)


def say(workspace: Workspace, who: str, words: dict[str, str]) -> None:
    """Decide in the name of somebody."""
    with Catalog.open(workspace) as catalog:
        for image_id, word in words.items():
            edit = Edit.reject(word.removeprefix("reject:")) if word.startswith("reject:") else Edit.relabel(word)
            catalog.decisions.add(image_id, edit, by=Actor.person(who))


def test_agreement_of_two_people(workspace: Workspace, add_images: AddImages, fototeca: Callable[..., object]) -> None:
    """Latest annotations count, all rejections are equal, sources and single reviewers do not count."""
    ids = add_images(workspace, ["cat"] * 6)
    with pytest.raises(FototecaError, match="no two people"):
        measure_agreement(workspace)
    ana = ["cat", "dog", "cat", "reject:blurry", "dog", "cat"]
    luis = ["cat", "dog", "dog", "reject:drawing", "cat"]
    say(workspace, "ana", dict.fromkeys(ids, "dog"))
    say(workspace, "ana", dict(zip(ids, ana, strict=True)))
    say(workspace, "luis", dict(zip(ids, luis, strict=False)))
    done = fototeca("curate", "agreement", "--json", cwd=workspace.root)
    (found,) = json.loads(done.stdout)  # type: ignore[attr-defined]
    assert (found["reviewers"], found["images"], found["agreed"]) == (["ana", "luis"], 5, 0.6)
    words = [["reject" if word.startswith("reject") else word for word in said] for said in (ana[:5], luis)]
    assert found["kappa"] == pytest.approx(cohen_kappa_score(*words))
    cats = [[word == "cat" for word in said] for said in words]
    assert found["categories"]["cat"] == pytest.approx(cohen_kappa_score(*cats))
    differ = sorted([(ids[2], ["cat", "dog"]), (ids[4], ["dog", "cat"])])
    labels = [[annotation["label"] for annotation in row["annotations"]] for row in found["disagreements"]]
    assert [(row["image_id"], both) for row, both in zip(found["disagreements"], labels, strict=True)] == differ
    shown = fototeca("curate", "agreement", "--limit", "1", cwd=workspace.root).stdout  # type: ignore[attr-defined]
    assert "ana and luis: 5 images, 60.0% agreed" in shown
    assert "and 1 more" in shown


def test_undone_annotations_do_not_count(workspace: Workspace, add_images: AddImages) -> None:
    """After an undo, the previous annotation counts again, or none."""
    first, second = add_images(workspace, ["cat", "cat"])
    say(workspace, "ana", {first: "cat", second: "cat"})
    label_images(workspace, [first], "cat")
    last = label_images(workspace, [first, second], "dog")
    assert measure_agreement(workspace)[0].agreed == 0
    undo_decisions(workspace, [row.decision_id for row in last])
    (found,) = measure_agreement(workspace)
    assert (found.images, found.agreed, found.kappa) == (1, 1, None)


def test_restore_after_rejection_annotates_the_label(workspace: Workspace, add_images: AddImages) -> None:
    """Ending a rejection annotates the label; restoring a set-aside copy does not."""
    ids = add_images(workspace, ["cat", "cat"])
    with Catalog.open(workspace) as catalog:
        for edit in (Edit.reject("drawing"), Edit.restore()):
            catalog.decisions.add(ids[0], edit, by=Actor.person("ana"))
        catalog.decisions.add(ids[1], Edit.restore(), by=Actor.person("ana"))
        catalog.decisions.add(ids[0], Edit.relabel("cat"), by=Actor.person("luis"))
        said = latest_annotations(catalog.decisions.all())
    assert said[ids[0]] == {"ana": Annotation("cat"), "luis": Annotation("cat")}
    assert ids[1] not in said


def test_multi_label_agreement(tmp_path: Path, add_images: AddImages) -> None:
    """Sets of labels are compared as a whole, and each category on its own."""
    workspace = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi", target=1)
    ids = add_images(workspace, ["cat"] * 4)
    ana, luis = ["cat", "cat|dog", "", "dog"], ["cat", "dog", "", "cat|dog"]
    say(workspace, "ana", dict(zip(ids, ana, strict=True)))
    say(workspace, "luis", dict(zip(ids, luis, strict=True)))
    (found,) = measure_agreement(workspace)
    assert found.kappa == pytest.approx(cohen_kappa_score(ana, luis))
    assert found.categories == pytest.approx({"cat": 0.0, "dog": 1.0})
