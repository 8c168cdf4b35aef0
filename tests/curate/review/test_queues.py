"""What is in which review queue, what takes it out again, and categories that change their name."""

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
from fototeca.curate.labels.decisions import decide_images, label_images, list_decisions, make_edit, reject_images, restore_images
from fototeca.curate.quality.checks import list_findings_by_image, measure_quality
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.curate.review.agreement import Disagreement, measure_agreement
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


def queue(workspace: Workspace, name: str) -> list[str]:
    """The images that wait in it."""
    with Catalog.open(workspace) as catalog:
        items = list_review_items(catalog, workspace.settings.names, list_findings_by_image(catalog))
    return [item.image.image_id for item in items_in_queue(items, name)]


def without(workspace: Workspace, category: str, instead: str = "puppy") -> Workspace:
    """The workspace after somebody took the category out of fototeca.toml and wrote another in its place."""
    path = workspace.root / "fototeca.toml"
    path.write_text(path.read_text().replace(f'"{category}"', f'"{instead}"'))
    return Workspace(workspace.root)


def test_review_empties_the_queues(workspace: Workspace, add_images: AddImages, group_images: Callable[..., None]) -> None:
    """Duplicates and quality issues wait until a person decides."""
    ids = add_images(workspace, ["cat", "cat", "dog"])
    group_images(workspace, [ids[:2]])
    measure_quality(workspace, QualityThresholds())
    assert queue(workspace, DUPLICATE) == ids[:2] and sorted(queue(workspace, QUALITY)) == sorted(ids)
    label_images(workspace, ids[:1], "cat")
    assert queue(workspace, DUPLICATE) == ids[:2], "one of the two was not looked at"
    label_images(workspace, ids[1:2], "cat")
    assert queue(workspace, DUPLICATE) == [] and queue(workspace, QUALITY) == ids[2:]
    reject_images(workspace, ids[2:], "blurry")
    assert queue(workspace, QUALITY) == []


def test_copies_with_different_reviewed_labels_conflict(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reviewed copies of one image conflict until their labels agree."""
    ids = add_images(workspace, ["cat", "cat"])
    group_images(workspace, [ids])
    assert queue(workspace, CONFLICT) == []
    label_images(workspace, ids[:1], "cat")
    monkeypatch.setenv("FOTOTECA_USER", "bruno")
    label_images(workspace, ids[1:], "dog")
    assert queue(workspace, CONFLICT) == ids and queue(workspace, UNREVIEWED) == []
    label_images(workspace, ids[:1], "dog")
    assert queue(workspace, CONFLICT) == []
    reject_images(workspace, ids[1:], "drawing")
    assert queue(workspace, CONFLICT) == [], "a rejected copy has no label to contradict"


def test_answered_issue_is_not_reported_again(workspace: Workspace, add_images: AddImages) -> None:
    """An answered label issue stays closed; a different one is reported."""
    ids = add_images(workspace, ["cat", "cat"])
    suggestions = [LabelIssue(image_id, "label-error", "cat", "dog", 0.9, ()) for image_id in ids]
    store_label_issues(workspace, suggestions, 0)
    assert queue(workspace, SUGGESTED) == ids
    label_images(workspace, ids[:1], "cat")
    for _ in range(2):
        with Catalog.open(workspace) as catalog:
            last = catalog.decisions.last_id()
        store_label_issues(workspace, suggestions, last)
        assert queue(workspace, SUGGESTED) == ids[1:]
    store_label_issues(workspace, [replace(suggestions[0], suggested="wolf")], last)
    assert queue(workspace, SUGGESTED) == ids[:1]


def test_removed_category_is_queued_and_renamed(
    workspace: Workspace, add_images: AddImages, fototeca: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Freeze names the removed category, and renaming it changes every label without reviewing images."""
    ids = add_images(workspace, ["dog"] * 13 + ["cat"] * 12)
    reject_images(workspace, ids[1:2], "drawing")
    renamed = without(workspace, "dog")
    assert sorted(queue(renamed, UNKNOWN)) == sorted({*ids[:13]} - {ids[1]}), "a rejected image asks for nothing"
    with pytest.raises(FototecaError) as error:
        freeze_version(renamed)
    assert "12 carry 'dog'" in error.value.message and "label --from OLD --label NEW" in error.value.hint
    done = fototeca("curate", "label", "--from", "dog", "--label", "puppy", cwd=renamed.root)
    assert done.returncode == 0 and done.stdout.count("dog -> puppy") == 13, done.stderr
    assert queue(renamed, UNKNOWN) == [] and sorted(queue(renamed, UNREVIEWED)) == sorted({*ids} - {ids[1]})
    with Catalog.open(renamed) as catalog:
        rejected = catalog.images.get(ids[1])
    assert rejected is not None and (rejected.label, rejected.rejected, rejected.reviewed) == ("puppy", "drawing", True)
    last = list_decisions(renamed, ids[0])[-1]
    assert (last.action, last.actor, last.old_label, last.new_label) == ("rename", "tester", "dog", "puppy")
    assert queue(renamed, CONFLICT) == [], "they were found under the name that is changed, too"
    assert workspace_status(renamed).categories["puppy"].candidates == 13
    capsys.readouterr()
    assert freeze_version(renamed).manifest.version == "v001"
    assert "conflicting labels" not in capsys.readouterr().err


def test_annotations_follow_a_rename(workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename neither creates nor resolves a disagreement."""
    ids = add_images(workspace, ["dog", "dog"])
    for name, said in (("ana", ("dog", "cat")), ("bruno", ("dog", "dog"))):
        monkeypatch.setenv("FOTOTECA_USER", name)
        for image_id, label in zip(ids, said, strict=True):
            label_images(workspace, [image_id], label)
    renamed = without(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    label_images(renamed, ids[:1], "puppy")
    assert queue(renamed, DISAGREED) == [ids[1]]
    (row,) = measure_agreement(renamed)
    disagreement = Disagreement(ids[1], (Annotation("cat"), Annotation("puppy")))
    assert (row.agreed, row.disagreements) == (0.5, (disagreement,))


def test_annotations_of_rejected_images_follow_a_rename(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Annotations under the old name count under the new one while the image is rejected."""
    first, second = add_images(workspace, ["dog", "dog"])

    def decide(name: str, image_id: str, **what: Any) -> None:  # noqa: ANN401
        monkeypatch.setenv("FOTOTECA_USER", name)
        decide_images(renamed, [image_id], make_edit(renamed.settings, **what))

    renamed = workspace
    decide("ana", first, label="dog")
    decide("bruno", first, reject="drawing")
    decide("ana", second, label="cat")
    decide("bruno", second, label="dog")
    decide("bruno", second, reject="drawing")
    renamed = without(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    decide("bruno", first, restore=True)
    assert queue(renamed, DISAGREED) == [second]
    decide("bruno", second, restore=True)
    assert queue(renamed, DISAGREED) == [second], "a cat to ana, a puppy to bruno"


def test_rename_applies_to_overruled_annotations(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An overruled annotation is renamed too."""
    image_id, _ = add_images(workspace, ["cat", "dog"])
    for who, label in (("ann", "dog"), ("bob", "cat")):
        monkeypatch.setenv("FOTOTECA_USER", who)
        label_images(workspace, [image_id], label)
    renamed = without(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    assert queue(renamed, DISAGREED) == [image_id]
    label_images(renamed, [image_id], "puppy")
    assert queue(renamed, DISAGREED) == []


def test_merged_categories_resolve_disagreements(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merging two categories makes annotations equal, also after recovery."""
    ids = add_images(workspace, ["cat"] * 13 + ["dog"] * 12)
    monkeypatch.setenv("FOTOTECA_USER", "ann")
    label_images(without(workspace, "dog"), ids[12:13], "puppy")
    monkeypatch.setenv("FOTOTECA_USER", "bob")
    merged = without(workspace, "puppy", "dog")
    label_images(merged, ids[12:13], "dog")
    assert queue(merged, DISAGREED) == ids[12:13]
    assert rename_category(merged, "puppy", "dog") == [], "no label changed"
    assert queue(merged, DISAGREED) == []
    assert ReviewSession(merged).image_details(ids[12]).annotations == (ReviewerAnnotation("ann", "dog", False),)
    with pytest.raises(FototecaError, match="no image has the category 'puppy'"):
        rename_category(merged, "puppy", "dog")
    freeze_version(merged)
    for path in merged.data.glob("catalog.sqlite*"):
        path.unlink()
    recover_catalog(merged)
    assert queue(merged, DISAGREED) == [], "a recovered catalog knows of it too"


def test_rename_of_an_undone_label_has_no_effect(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An undone label that was renamed does not affect later annotations."""
    (image_id,) = add_images(workspace, ["cat"])
    monkeypatch.setenv("FOTOTECA_USER", "ann")
    (decision,) = label_images(without(workspace, "dog", "fox"), [image_id], "fox")
    renamed = without(workspace, "fox", "wolf")
    rename_category(renamed, "fox", "wolf")
    undo_decisions(renamed, [decision.decision_id])
    monkeypatch.setenv("FOTOTECA_USER", "bob")
    reject_images(renamed, [image_id], "drawing")
    restore_images(renamed, [image_id])
    with Catalog.open(renamed) as catalog:
        assert latest_annotations(catalog.decisions.all()) == {image_id: {"bob": Annotation("cat")}}


def test_rename_from_decomposed_to_composed_name(workspace: Workspace, add_images: AddImages) -> None:
    """A category with decomposed accents can be renamed to the composed form."""
    apart, composed = "nin\u0303o", "ni\xf1o"
    add_images(workspace, [apart, "cat"])
    renamed = without(workspace, "dog", composed)
    assert [row.new_label for row in rename_category(renamed, apart, composed)] == [composed]
    assert queue(renamed, UNKNOWN) == []


def test_majority_resolves_a_disagreement(workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two against one resolves it while the catalog agrees with the majority."""
    ids = add_images(workspace, ["cat"])

    def say(who: str, **what: str) -> list[str]:
        monkeypatch.setenv("FOTOTECA_USER", who)
        decide_images(workspace, ids, make_edit(workspace.settings, **what))  # type: ignore[arg-type]
        return queue(workspace, DISAGREED)

    assert say("ann", label="cat") == []
    assert say("bob", reject="drawing") == ids
    assert say("eve", reject="blurry") == []
    assert say("ann", label="dog") == ids, "most say that it is rejected, and it is a dog by now"
    assert say("eve", label="dog") == []
    assert say("joe", label="cat") == ids


def test_undo_after_a_rename_restores_the_new_name(workspace: Workspace, add_images: AddImages) -> None:
    """Undo returns to the previous label under its current name."""
    image_id, _ = add_images(workspace, ["dog", "dog"])
    (decision,) = label_images(workspace, [image_id], "cat")
    renamed = without(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    undo_decisions(renamed, [decision.decision_id])
    with Catalog.open(renamed) as catalog:
        image = catalog.images.get(image_id)
    assert image is not None and (image.label, image.reviewed) == ("puppy", False)
    (decision,) = label_images(renamed, [image_id], "puppy", comment="sure")
    final = without(renamed, "puppy", "hound")
    rename_category(final, "puppy", "hound")
    undo_decisions(final, [decision.decision_id])
    with Catalog.open(final) as catalog:
        image = catalog.images.get(image_id)
    assert image is not None and (image.label, image.reviewed) == ("hound", False), "the renaming is nobody's last word"
    reject_images(final, [image_id], "drawing")
    (decision,) = restore_images(final, [image_id])
    undo_decisions(final, [decision.decision_id])
    with Catalog.open(final) as catalog:
        image = catalog.images.get(image_id)
    assert image is not None and (image.label, image.rejected) == ("hound", "drawing"), "its label was given before the renamings"


def test_rename_of_a_place_with_several_categories(workspace: Workspace, add_images: AddImages) -> None:
    """A place that has both categories keeps one of them."""
    add_images(workspace, ["cat"])
    with Catalog.open(workspace) as catalog:
        for category in ("", "cat", "dog", "fox"):
            candidate = catalog.candidates.add(Provenance("http://e.org/a.jpg", "urls", category), "http://e.org/a.jpg")
    rename_category(workspace, "fox", "cat")
    rename_category(workspace, "dog", "cat")
    with Catalog.open(workspace) as catalog:
        places = catalog.provenance.of_candidate(candidate.candidate_id)
    assert sorted(place.category for place in places) == ["", "", "", "cat"]


def test_rename_applies_to_candidates_fetched_later(workspace: Workspace) -> None:
    """Candidates found under the old name are renamed once."""
    failed = Provenance("https://example.org/late.png", "site", "dog")
    with Catalog.open(workspace) as catalog:
        for category in ("dog", "cat"):
            candidate = catalog.candidates.add(replace(failed, category=category), failed.url)
    renamed = without(workspace, "dog")
    assert rename_category(renamed, "dog", "puppy") == []
    with Catalog.open(renamed) as catalog:
        assert [place.category for place in catalog.provenance.of_candidate(candidate.candidate_id)] == ["puppy", "cat"]
    rename_category(renamed, "puppy", "cat")
    with Catalog.open(renamed) as catalog:
        assert [place.category for place in catalog.provenance.of_candidate(candidate.candidate_id)] == ["", "cat"]


def test_label_issues_follow_a_rename(workspace: Workspace, add_images: AddImages) -> None:
    """Open issues stay open, answered ones stay answered, and issues without difference disappear."""
    ids = add_images(workspace, ["dog", "dog", "dog"])
    store_label_issues(
        workspace,
        [LabelIssue(one, "label-error", "dog", guess, 0.9, ()) for one, guess in zip(ids, ("cat", "cat", "puppy"), strict=True)],
        0,
    )
    label_images(workspace, ids[:1], "dog")
    renamed = without(workspace, "dog")
    rename_category(renamed, "dog", "puppy")
    assert queue(renamed, SUGGESTED) == ids[1:2]
    again = [LabelIssue(one, "label-error", "puppy", "cat", 0.9, ()) for one in ids[:2]]
    with Catalog.open(renamed) as catalog:
        last = catalog.decisions.last_id()
    assert store_label_issues(renamed, again, last) == again[1:] and queue(renamed, SUGGESTED) == ids[1:2]


def test_subset_labels_of_copies_do_not_conflict(
    tmp_path: Path, add_images: AddImages, group_images: Callable[..., None]
) -> None:
    """A copy may have a subset of the labels; contradicting sets conflict."""
    made = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi", target=1)
    ids = add_images(made, ["cat|dog", "cat"])
    group_images(made, [ids])
    label_images(made, ids[:1], "cat|dog")
    label_images(made, ids[1:], "cat")
    assert queue(made, CONFLICT) == []
    label_images(made, ids[:1], "dog")
    assert queue(made, CONFLICT) == ids


def test_issue_on_a_reviewed_image_waits_again(workspace: Workspace, add_images: AddImages) -> None:
    """A label issue on a reviewed image waits for the same reviewer until answered."""
    (image_id,) = add_images(workspace, ["cat"])
    label_images(workspace, [image_id], "cat")
    with Catalog.open(workspace) as catalog:
        last = catalog.decisions.last_id()
    store_label_issues(workspace, [LabelIssue(image_id, "label-error", "cat", "dog", 0.9, ())], last)

    def waiting() -> int:
        return {row.name: row.waiting for row in list_queues(workspace)}[SUGGESTED]

    assert waiting() == 1
    label_images(workspace, [image_id], "cat")
    assert waiting() == 0


def test_rename_one_of_several_labels(tmp_path: Path, add_images: AddImages) -> None:
    """The other labels stay; an image with both names gets one."""
    made = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi", target=1)
    ids = add_images(made, ["cat|dog", "dog", "cat"])
    renamed = without(made, "dog")
    assert {row.image_id: row.new_label for row in rename_category(renamed, "dog", "puppy")} == {
        ids[0]: "cat|puppy",
        ids[1]: "puppy",
    }
    assert {row.new_label for row in rename_category(renamed, "puppy", "cat")} == {"cat"}


def test_rename_without_changed_labels_is_reported(workspace: Workspace, fototeca: Callable[..., Any]) -> None:
    """Only provenance has the name: the command reports it."""
    with Catalog.open(workspace) as catalog:
        catalog.candidates.add(Provenance("http://e.org/a.jpg", "urls", "fox"), "http://e.org/a.jpg")
    done = fototeca("curate", "label", "--from", "fox", "--label", "dog", cwd=workspace.root)
    assert (done.returncode, done.stdout) == (0, "") and "images found as fox" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--from", "dog", "--label", "fox"), "fox"),
        (("--from", "wolf", "--label", "cat"), "no image has the category 'wolf'"),
        (("--from", "dog", "--label", "dog"), "the category is already named 'dog'"),
        (("--from", "dog", "--reject", "drawing"), "--from works with --label only"),
        (("--from", "dog", "--label", "cat", "3fa2b7"), "no images given"),
        (("--label", "cat"), "no images given"),
    ],
)
def test_wrong_use_renames_nothing(
    workspace: Workspace, add_images: AddImages, fototeca: Callable[..., Any], words: tuple[str, ...], message: str
) -> None:
    """Invalid renames exit with 2, print one line and write nothing."""
    add_images(workspace, ["dog"])
    done = fototeca("curate", "label", *words, cwd=workspace.root)
    assert done.returncode == 2 and message in done.stderr.splitlines()[-1]
    assert len(list_decisions(workspace)) == 1


def test_label_issues_ignore_removed_categories(
    workspace: Workspace, add_images: AddImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of a removed category are neither ranked nor used as neighbors."""
    ids = add_images(workspace, ["cat"] * 12 + ["dog"] * 12 + ["puppy"] * 12)
    torch.save(build_model("squeezenet1_1", 1000)[0].state_dict(), tmp_path / "weights.pth")
    found = find_label_issues(workspace, model="squeezenet1_1", weights=str(tmp_path / "weights.pth"))
    assert found and not {row.image_id for row in found} & set(ids[24:])
    assert not {one for row in found for one in row.neighbours} & set(ids[24:])
    assert {row.suggested for row in found} <= {"", "cat", "dog"}


def test_freeze_warns_of_conflicts(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Freeze writes the version and warns of images with conflicting labels."""
    ids = add_images(workspace, ["dog"] * 12 + ["cat"] * 12)
    group_images(workspace, [[ids[0], ids[20]]])
    freeze_version(workspace)
    assert "1 images have conflicting labels" in capsys.readouterr().err, "the copy that is kept"
    label_images(workspace, [ids[0], ids[20]], "dog")
    freeze_version(workspace)
    assert "conflicting labels" not in capsys.readouterr().err
