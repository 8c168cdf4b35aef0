"""Tests for review queues and category renames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fototeca.collect.catalog import Catalog, Provenance
from fototeca.collect.status import workspace_status
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.label_issues.find import LabelIssue, find_label_issues, store_label_issues
from fototeca.curate.labels.decisions import decide_images, label_images, list_decisions, make_edit, reject_images
from fototeca.curate.quality.checks import list_findings_by_image, measure_quality
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.curate.review.agreement import Disagreement, measure_agreement
from fototeca.curate.review.apart import restore_images
from fototeca.curate.review.queues import (
    CONFLICT,
    DISAGREED,
    DUPLICATE,
    QUALITY,
    SUGGESTED,
    UNKNOWN,
    UNREVIEWED,
    Annotation,
    items_in_queue,
    latest_annotations,
    list_review_items,
)
from fototeca.curate.review.rename import rename_category
from fototeca.curate.review.session import ReviewerAnnotation, ReviewSession, list_queues
from fototeca.curate.review.undo import undo_decisions
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.recover import recover_catalog
from fototeca.vision.backbones import build_model

AddImages = Callable[..., list[str]]


def list_queue(workspace: Workspace, name: str) -> list[str]:
    """Return the ids of the images in a queue."""
    with Catalog.open(workspace) as catalog:
        items = list_review_items(catalog, workspace.settings.names, list_findings_by_image(catalog))
    return [item.image.image_id for item in items_in_queue(items, name)]


def replace_category(workspace: Workspace, category: str, new: str = "puppy") -> Workspace:
    """Replace a category's name in fototeca.toml and return the workspace with the new configuration."""
    path = workspace.root / "fototeca.toml"
    path.write_text(path.read_text().replace(f'"{category}"', f'"{new}"'))
    return Workspace(workspace.root)


def test_review_empties_the_queues(workspace: Workspace, add_images: AddImages, group_images: Callable[..., None]) -> None:
    """Duplicates and quality findings stay queued until a person decides."""
    ids = add_images(workspace, ["cat", "cat", "dog"])
    group_images(workspace, [ids[:2]])
    measure_quality(workspace, QualityThresholds())
    assert list_queue(workspace, DUPLICATE) == ids[:2] and sorted(list_queue(workspace, QUALITY)) == sorted(ids)
    label_images(workspace, ids[:1], "cat")
    assert list_queue(workspace, DUPLICATE) == ids[:2], "one of the two is not reviewed"
    label_images(workspace, ids[1:2], "cat")
    assert list_queue(workspace, DUPLICATE) == [] and list_queue(workspace, QUALITY) == ids[2:]
    reject_images(workspace, ids[2:], "blurry")
    assert list_queue(workspace, QUALITY) == []


def test_copies_with_different_reviewed_labels_conflict(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reviewed duplicates conflict until their labels agree."""
    ids = add_images(workspace, ["cat", "cat"])
    group_images(workspace, [ids])
    assert list_queue(workspace, CONFLICT) == []
    label_images(workspace, ids[:1], "cat")
    monkeypatch.setenv("FOTOTECA_USER", "bruno")
    label_images(workspace, ids[1:], "dog")
    assert list_queue(workspace, CONFLICT) == ids and list_queue(workspace, UNREVIEWED) == []
    label_images(workspace, ids[:1], "dog")
    assert list_queue(workspace, CONFLICT) == []
    reject_images(workspace, ids[1:], "drawing")
    assert list_queue(workspace, CONFLICT) == [], "a rejected copy does not conflict"


def test_resolved_issue_is_not_reported_again(workspace: Workspace, add_images: AddImages) -> None:
    """A resolved label issue stays closed; a different suggestion is reported."""
    ids = add_images(workspace, ["cat", "cat"])
    suggestions = [LabelIssue(image_id, "label-error", "cat", "dog", 0.9, ()) for image_id in ids]
    store_label_issues(workspace, suggestions, 0)
    assert list_queue(workspace, SUGGESTED) == ids
    label_images(workspace, ids[:1], "cat")
    for _ in range(2):
        with Catalog.open(workspace) as catalog:
            last = catalog.decisions.last_id()
        store_label_issues(workspace, suggestions, last)
        assert list_queue(workspace, SUGGESTED) == ids[1:]
    store_label_issues(workspace, [replace(suggestions[0], suggested="wolf")], last)
    assert list_queue(workspace, SUGGESTED) == ids[:1]


def test_removed_category_is_queued_and_renamed(
    workspace: Workspace, add_images: AddImages, fototeca: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Freeze names the removed category, and a rename changes every label without marking images as reviewed."""
    ids = add_images(workspace, ["dog"] * 13 + ["cat"] * 12)
    reject_images(workspace, ids[1:2], "drawing")
    renamed = replace_category(workspace, "dog")
    assert sorted(list_queue(renamed, UNKNOWN)) == sorted({*ids[:13]} - {ids[1]}), "a rejected image is not queued"
    with pytest.raises(FototecaError) as error:
        freeze_version(renamed)
    assert "12 carry 'dog'" in error.value.message and "label --from OLD --label NEW" in error.value.hint
    result = fototeca("curate", "label", "--from", "dog", "--label", "puppy", cwd=renamed.root)
    assert result.returncode == 0 and result.stdout.count("dog -> puppy") == 13, result.stderr
    assert list_queue(renamed, UNKNOWN) == [] and sorted(list_queue(renamed, UNREVIEWED)) == sorted({*ids} - {ids[1]})
    with Catalog.open(renamed) as catalog:
        rejected = catalog.images.get(ids[1])
    assert rejected is not None and (rejected.label, rejected.rejected, rejected.reviewed) == ("puppy", "drawing", True)
    last = list_decisions(renamed, ids[0])[-1]
    assert (last.action, last.actor, last.old_label, last.new_label) == ("rename", "tester", "dog", "puppy")
    assert list_queue(renamed, CONFLICT) == [], "the provenance is renamed too"
    assert workspace_status(renamed).categories["puppy"].candidates == 13
    capsys.readouterr()
    assert freeze_version(renamed).manifest.version == "v001"
    assert "conflicting labels" not in capsys.readouterr().err


def test_annotations_follow_a_rename(workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename neither creates nor resolves a disagreement."""
    ids = add_images(workspace, ["dog", "dog"])
    for name, labels in (("ana", ("dog", "cat")), ("bruno", ("dog", "dog"))):
        monkeypatch.setenv("FOTOTECA_USER", name)
        for image_id, label in zip(ids, labels, strict=True):
            label_images(workspace, [image_id], label)
    renamed = replace_category(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    label_images(renamed, ids[:1], "puppy")
    assert list_queue(renamed, DISAGREED) == [ids[1]]
    (row,) = measure_agreement(renamed)
    disagreement = Disagreement(ids[1], (Annotation("cat"), Annotation("puppy")))
    assert (row.agreed, row.disagreements) == (0.5, (disagreement,))


def test_annotations_of_rejected_images_follow_a_rename(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an image is rejected, its annotations under the old name count under the new name."""
    first, second = add_images(workspace, ["dog", "dog"])

    def decide(name: str, image_id: str, **options: Any) -> None:  # noqa: ANN401
        monkeypatch.setenv("FOTOTECA_USER", name)
        decide_images(renamed, [image_id], make_edit(renamed.settings, **options))

    renamed = workspace
    decide("ana", first, label="dog")
    decide("bruno", first, reject="drawing")
    decide("ana", second, label="cat")
    decide("bruno", second, label="dog")
    decide("bruno", second, reject="drawing")
    renamed = replace_category(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    decide("bruno", first, restore=True)
    assert list_queue(renamed, DISAGREED) == [second]
    decide("bruno", second, restore=True)
    assert list_queue(renamed, DISAGREED) == [second], "ana labeled it cat, bruno puppy"


def test_rename_applies_to_overruled_annotations(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename also changes annotations that a later decision overruled."""
    image_id, _ = add_images(workspace, ["cat", "dog"])
    for person, label in (("ann", "dog"), ("bob", "cat")):
        monkeypatch.setenv("FOTOTECA_USER", person)
        label_images(workspace, [image_id], label)
    renamed = replace_category(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    assert list_queue(renamed, DISAGREED) == [image_id]
    label_images(renamed, [image_id], "puppy")
    assert list_queue(renamed, DISAGREED) == []


def test_merged_categories_resolve_disagreements(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merging two categories makes their annotations equal, also after recovery."""
    ids = add_images(workspace, ["cat"] * 13 + ["dog"] * 12)
    monkeypatch.setenv("FOTOTECA_USER", "ann")
    label_images(replace_category(workspace, "dog"), ids[12:13], "puppy")
    monkeypatch.setenv("FOTOTECA_USER", "bob")
    merged = replace_category(workspace, "puppy", "dog")
    label_images(merged, ids[12:13], "dog")
    assert list_queue(merged, DISAGREED) == ids[12:13]
    assert rename_category(merged, "puppy", "dog") == [], "no label changed"
    assert list_queue(merged, DISAGREED) == []
    assert ReviewSession(merged).image_details(ids[12]).annotations == (ReviewerAnnotation("ann", "dog", False),)
    with pytest.raises(FototecaError, match="no image has the category 'puppy'"):
        rename_category(merged, "puppy", "dog")
    freeze_version(merged)
    for path in merged.data.glob("catalog.sqlite*"):
        path.unlink()
    recover_catalog(merged)
    assert list_queue(merged, DISAGREED) == [], "the rename is recovered"


def test_rename_of_an_undone_label_has_no_effect(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renaming an undone label does not affect later annotations."""
    (image_id,) = add_images(workspace, ["cat"])
    monkeypatch.setenv("FOTOTECA_USER", "ann")
    (decision,) = label_images(replace_category(workspace, "dog", "fox"), [image_id], "fox")
    renamed = replace_category(workspace, "fox", "wolf")
    rename_category(renamed, "fox", "wolf")
    undo_decisions(renamed, [decision.decision_id])
    monkeypatch.setenv("FOTOTECA_USER", "bob")
    reject_images(renamed, [image_id], "drawing")
    restore_images(renamed, [image_id])
    with Catalog.open(renamed) as catalog:
        assert latest_annotations(catalog.decisions.all()) == {image_id: {"bob": Annotation("cat")}}


def test_rename_from_decomposed_to_composed_name(workspace: Workspace, add_images: AddImages) -> None:
    """A category with decomposed accents can be renamed to the composed form."""
    decomposed, composed = "nin\u0303o", "ni\xf1o"
    add_images(workspace, [decomposed, "cat"])
    renamed = replace_category(workspace, "dog", composed)
    assert [row.new_label for row in rename_category(renamed, decomposed, composed)] == [composed]
    assert list_queue(renamed, UNKNOWN) == []


def test_majority_resolves_a_disagreement(workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A majority resolves a disagreement while the catalog's state agrees with it."""
    ids = add_images(workspace, ["cat"])

    def decide(person: str, **options: str) -> list[str]:
        monkeypatch.setenv("FOTOTECA_USER", person)
        decide_images(workspace, ids, make_edit(workspace.settings, **options))  # type: ignore[arg-type]
        return list_queue(workspace, DISAGREED)

    assert decide("ann", label="cat") == []
    assert decide("bob", reject="drawing") == ids
    assert decide("eve", reject="blurry") == []
    assert decide("ann", label="dog") == ids, "two of three rejected it, and its label is dog"
    assert decide("eve", label="dog") == []
    assert decide("joe", label="cat") == ids


def test_undo_after_a_rename_restores_the_new_name(workspace: Workspace, add_images: AddImages) -> None:
    """Undo restores the previous label under its current name."""
    image_id, _ = add_images(workspace, ["dog", "dog"])
    (decision,) = label_images(workspace, [image_id], "cat")
    renamed = replace_category(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    undo_decisions(renamed, [decision.decision_id])
    with Catalog.open(renamed) as catalog:
        image = catalog.images.get(image_id)
    assert image is not None and (image.label, image.reviewed) == ("puppy", False)
    (decision,) = label_images(renamed, [image_id], "puppy", comment="sure")
    final = replace_category(renamed, "puppy", "hound")
    rename_category(final, "puppy", "hound")
    undo_decisions(final, [decision.decision_id])
    with Catalog.open(final) as catalog:
        image = catalog.images.get(image_id)
    assert image is not None and (image.label, image.reviewed) == ("hound", False), "a rename is not a review"
    reject_images(final, [image_id], "drawing")
    (decision,) = restore_images(final, [image_id])
    undo_decisions(final, [decision.decision_id])
    with Catalog.open(final) as catalog:
        image = catalog.images.get(image_id)
    assert image is not None and (image.label, image.rejected) == ("hound", "drawing"), (
        "its label was assigned before the renames"
    )


def test_rename_of_provenance_with_several_categories(workspace: Workspace, add_images: AddImages) -> None:
    """Provenance with both the old and the new category retains one of them."""
    add_images(workspace, ["cat"])
    with Catalog.open(workspace) as catalog:
        for category in ("", "cat", "dog", "fox"):
            candidate = catalog.candidates.add(Provenance("http://e.org/a.jpg", "urls", category), "http://e.org/a.jpg")
    rename_category(workspace, "fox", "cat")
    rename_category(workspace, "dog", "cat")
    with Catalog.open(workspace) as catalog:
        provenance = catalog.provenance.of_candidate(candidate.candidate_id)
    assert sorted(row.category for row in provenance) == ["", "", "", "cat"]


def test_rename_applies_to_candidates_fetched_later(workspace: Workspace) -> None:
    """A rename applies to candidates that are not fetched yet, and does not duplicate a category."""
    failed = Provenance("https://example.org/late.png", "site", "dog")
    with Catalog.open(workspace) as catalog:
        for category in ("dog", "cat"):
            candidate = catalog.candidates.add(replace(failed, category=category), failed.url)
    renamed = replace_category(workspace, "dog")
    assert rename_category(renamed, "dog", "puppy") == []
    with Catalog.open(renamed) as catalog:
        assert [row.category for row in catalog.provenance.of_candidate(candidate.candidate_id)] == ["puppy", "cat"]
    rename_category(renamed, "puppy", "cat")
    with Catalog.open(renamed) as catalog:
        assert [row.category for row in catalog.provenance.of_candidate(candidate.candidate_id)] == ["", "cat"]


def test_label_issues_follow_a_rename(workspace: Workspace, add_images: AddImages) -> None:
    """Open issues stay open, resolved issues stay resolved, and issues whose suggestion equals the label are removed."""
    ids = add_images(workspace, ["dog", "dog", "dog"])
    store_label_issues(
        workspace,
        [
            LabelIssue(image_id, "label-error", "dog", guess, 0.9, ())
            for image_id, guess in zip(ids, ("cat", "cat", "puppy"), strict=True)
        ],
        0,
    )
    label_images(workspace, ids[:1], "dog")
    renamed = replace_category(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    assert list_queue(renamed, SUGGESTED) == ids[1:2]
    again = [LabelIssue(image_id, "label-error", "puppy", "cat", 0.9, ()) for image_id in ids[:2]]
    with Catalog.open(renamed) as catalog:
        last = catalog.decisions.last_id()
    assert [issue.image_id for issue in store_label_issues(renamed, again, last)] == ids[1:2]
    assert list_queue(renamed, SUGGESTED) == ids[1:2]


def test_subset_labels_of_copies_do_not_conflict(
    tmp_path: Path, add_images: AddImages, group_images: Callable[..., None]
) -> None:
    """Duplicates do not conflict if one label set is a subset of the other; other differences conflict."""
    workspace = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi", target=1)
    ids = add_images(workspace, ["cat|dog", "cat"])
    group_images(workspace, [ids])
    label_images(workspace, ids[:1], "cat|dog")
    label_images(workspace, ids[1:], "cat")
    assert list_queue(workspace, CONFLICT) == []
    label_images(workspace, ids[:1], "dog")
    assert list_queue(workspace, CONFLICT) == ids


def test_issue_on_a_reviewed_image_is_queued(workspace: Workspace, add_images: AddImages) -> None:
    """A label issue on a reviewed image is queued until the reviewer decides again."""
    (image_id,) = add_images(workspace, ["cat"])
    label_images(workspace, [image_id], "cat")
    with Catalog.open(workspace) as catalog:
        last = catalog.decisions.last_id()
    store_label_issues(workspace, [LabelIssue(image_id, "label-error", "cat", "dog", 0.9, ())], last)

    def num_waiting() -> int:
        return {row.name: row.waiting for row in list_queues(workspace)}[SUGGESTED]

    assert num_waiting() == 1
    label_images(workspace, [image_id], "cat")
    assert num_waiting() == 0


def test_rename_one_of_several_labels(tmp_path: Path, add_images: AddImages) -> None:
    """The other labels remain; an image with both names has the new name once."""
    workspace = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi", target=1)
    ids = add_images(workspace, ["cat|dog", "dog", "cat"])
    renamed = replace_category(workspace, "dog")
    assert {row.image_id: row.new_label for row in rename_category(renamed, "dog", "puppy")} == {
        ids[0]: "cat|puppy",
        ids[1]: "puppy",
    }
    assert {row.new_label for row in rename_category(renamed, "puppy", "cat")} == {"cat"}


def test_rename_without_changed_labels_is_reported(workspace: Workspace, fototeca: Callable[..., Any]) -> None:
    """A rename that changes provenance only prints a message and no decisions."""
    with Catalog.open(workspace) as catalog:
        catalog.candidates.add(Provenance("http://e.org/a.jpg", "urls", "fox"), "http://e.org/a.jpg")
    result = fototeca("curate", "label", "--from", "fox", "--label", "dog", cwd=workspace.root)
    assert (result.returncode, result.stdout) == (0, "") and "images collected or labeled as fox" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "dog", "--label", "fox"), "fox"),
        (("--from", "wolf", "--label", "cat"), "no image has the category 'wolf'"),
        (("--from", "dog", "--label", "dog"), "the category is already named 'dog'"),
        (("--from", "dog", "--reject", "drawing"), "--from works with --label only"),
        (("--from", "dog", "--label", "cat", "3fa2b7"), "no images given"),
        (("--label", "cat"), "no images given"),
    ],
)
def test_invalid_rename_changes_nothing(
    workspace: Workspace, add_images: AddImages, fototeca: Callable[..., Any], arguments: tuple[str, ...], message: str
) -> None:
    """Invalid renames exit with code 2, print one line and write nothing."""
    add_images(workspace, ["dog"])
    result = fototeca("curate", "label", *arguments, cwd=workspace.root)
    assert result.returncode == 2 and message in result.stderr.splitlines()[-1]
    assert len(list_decisions(workspace)) == 1


def test_label_issues_ignore_removed_categories(
    workspace: Workspace, add_images: AddImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of a removed category are neither ranked nor used as neighbors."""
    ids = add_images(workspace, ["cat"] * 12 + ["dog"] * 12 + ["puppy"] * 12)
    torch.save(build_model("squeezenet1_1", 1000)[0].state_dict(), tmp_path / "weights.pth")
    issues = find_label_issues(workspace, model="squeezenet1_1", weights=str(tmp_path / "weights.pth"))
    assert issues and not {row.image_id for row in issues} & set(ids[24:])
    assert not {neighbor for row in issues for neighbor in row.neighbours} & set(ids[24:])
    assert {row.suggested for row in issues} <= {"", "cat", "dog"}


def test_freeze_warns_of_conflicts(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Freeze writes the version and warns of images with conflicting labels."""
    ids = add_images(workspace, ["dog"] * 12 + ["cat"] * 12)
    group_images(workspace, [[ids[0], ids[20]]])
    freeze_version(workspace)
    assert "1 image has conflicting labels" in capsys.readouterr().err, "the representative conflicts"
    label_images(workspace, [ids[0], ids[20]], "dog")
    freeze_version(workspace)
    assert "conflicting labels" not in capsys.readouterr().err
