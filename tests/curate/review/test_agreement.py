"""Tests for agreement between reviewers: Cohen's kappa, undone annotations and multi-label annotations."""

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
from fototeca.curate.review.apart import declare_apart
from fototeca.curate.review.queues import Annotation, latest_annotations
from fototeca.curate.review.undo import undo_decisions

AddImages = Callable[..., list[str]]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40))
def test_kappa_equals_scikit_learn(annotations: list[tuple[str, str]]) -> None:
    """Kappa equals scikit-learn's for any annotations, and is None where scikit-learn divides by zero."""
    first, second = zip(*annotations, strict=True)
    with warnings.catch_warnings(action="ignore"):
        expected = cohen_kappa_score(first, second)
    kappa = cohen_kappa(first, second)
    assert math.isnan(expected) if kappa is None else kappa == pytest.approx(expected)


def annotate(workspace: Workspace, person: str, annotations: dict[str, str]) -> None:
    """Record decisions by a person; `reject:REASON` is a rejection."""
    with Catalog.open(workspace) as catalog:
        for image_id, annotation in annotations.items():
            edit = (
                Edit.reject(annotation.removeprefix("reject:")) if annotation.startswith("reject:") else Edit.relabel(annotation)
            )
            catalog.decisions.add(image_id, edit, by=Actor.person(person))


def test_agreement_of_two_people(workspace: Workspace, add_images: AddImages, fototeca: Callable[..., object]) -> None:
    """The latest annotations count, all rejections are equal, and images with one reviewer or only a source do not count."""
    ids = add_images(workspace, ["cat"] * 6)
    with pytest.raises(FototecaError, match="no two people"):
        measure_agreement(workspace)
    ana = ["cat", "dog", "cat", "reject:blurry", "dog", "cat"]
    luis = ["cat", "dog", "dog", "reject:drawing", "cat"]
    annotate(workspace, "ana", dict.fromkeys(ids, "dog"))
    annotate(workspace, "ana", dict(zip(ids, ana, strict=True)))
    annotate(workspace, "luis", dict(zip(ids, luis, strict=False)))
    result = fototeca("curate", "agreement", "--json", cwd=workspace.root)
    (report,) = json.loads(result.stdout)  # type: ignore[attr-defined]
    assert (report["reviewers"], report["images"], report["agreed"]) == (["ana", "luis"], 5, 0.6)
    annotations = [["reject" if label.startswith("reject") else label for label in labels] for labels in (ana[:5], luis)]
    assert report["kappa"] == pytest.approx(cohen_kappa_score(*annotations))
    is_cat = [[label == "cat" for label in labels] for labels in annotations]
    assert report["categories"]["cat"] == pytest.approx(cohen_kappa_score(*is_cat))
    expected = sorted([(ids[2], ["cat", "dog"]), (ids[4], ["dog", "cat"])])
    label_pairs = [[annotation["label"] for annotation in row["annotations"]] for row in report["disagreements"]]
    assert [(row["image_id"], pair) for row, pair in zip(report["disagreements"], label_pairs, strict=True)] == expected
    output = fototeca("curate", "agreement", "--limit", "1", cwd=workspace.root).stdout  # type: ignore[attr-defined]
    assert "ana and luis: 5 images, 60.0% agreed" in output
    assert "and 1 more" in output


def test_undone_annotations_do_not_count(workspace: Workspace, add_images: AddImages) -> None:
    """After an undo, the previous annotation counts again if there is one."""
    first, second = add_images(workspace, ["cat", "cat"])
    annotate(workspace, "ana", {first: "cat", second: "cat"})
    label_images(workspace, [first], "cat")
    last = label_images(workspace, [first, second], "dog")
    assert measure_agreement(workspace)[0].agreed == 0
    undo_decisions(workspace, [row.decision_id for row in last])
    (agreement,) = measure_agreement(workspace)
    assert (agreement.images, agreement.agreed, agreement.kappa) == (1, 1, None)


def test_restore_after_rejection_annotates_the_label(workspace: Workspace, add_images: AddImages) -> None:
    """Restoring a rejected image annotates its label; restoring a set-aside duplicate does not."""
    ids = add_images(workspace, ["cat", "cat"])
    with Catalog.open(workspace) as catalog:
        for edit in (Edit.reject("drawing"), Edit.restore()):
            catalog.decisions.add(ids[0], edit, by=Actor.person("ana"))
        catalog.decisions.add(ids[1], Edit.restore(), by=Actor.person("ana"))
        catalog.decisions.add(ids[0], Edit.relabel("cat"), by=Actor.person("luis"))
        annotations = latest_annotations(catalog.decisions.all())
    assert annotations[ids[0]] == {"ana": Annotation("cat"), "luis": Annotation("cat")}
    assert ids[1] not in annotations


def test_multi_label_agreement(tmp_path: Path, add_images: AddImages) -> None:
    """Label sets are compared as a whole for kappa, and each category separately."""
    workspace = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi", target=1)
    ids = add_images(workspace, ["cat"] * 4)
    ana, luis = ["cat", "cat|dog", "", "dog"], ["cat", "dog", "", "cat|dog"]
    annotate(workspace, "ana", dict(zip(ids, ana, strict=True)))
    annotate(workspace, "luis", dict(zip(ids, luis, strict=True)))
    (agreement,) = measure_agreement(workspace)
    assert agreement.kappa == pytest.approx(cohen_kappa_score(ana, luis))
    assert agreement.categories == pytest.approx({"cat": 0.0, "dog": 1.0})


def test_apart_is_no_annotation(workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declaration that two images are no copies neither agrees nor disagrees with a label."""
    ids = add_images(workspace, ["cat", "dog"])
    for person in ("ana", "bruno"):
        monkeypatch.setenv("FOTOTECA_USER", person)
        label_images(workspace, ids[:1], "cat")
        declare_apart(workspace, ids)
    (result,) = measure_agreement(workspace)
    assert (result.images, result.agreed, result.disagreements) == (1, 1.0, ())
