"""Review queues: one item per image, with the queues that contain it. Independent of FiftyOne and of the keyboard page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fototeca.collect.catalog import Catalog, Decision, ImageRow, LabelIssueRow, rename_in_label
from fototeca.core.kinds import Integer
from fototeca.core.results import Result
from fototeca.curate.duplicates.listing import undecided_ties
from fototeca.curate.labels.categories import split_label
from fototeca.curate.labels.review_state import active_decisions, active_reviews
from fototeca.curate.review.conflicts import find_label_conflicts
from fototeca.curate.snapshot.catalog_state import ImageSource, read_snapshot

CONFLICT, POSSIBLE_COPY, UNKNOWN, SUGGESTED, OUTLIER, BOUNDARY, DUPLICATE, QUALITY, DISAGREED, UNREVIEWED = (
    "label-conflict",
    "possible-copy",
    "unknown-category",
    "suggested",
    "outlier",
    "boundary",
    "near-duplicate",
    "quality",
    "disagreement",
    "unreviewed",
)
QUEUES = (CONFLICT, DISAGREED, UNKNOWN, SUGGESTED, OUTLIER, BOUNDARY, POSSIBLE_COPY, DUPLICATE, QUALITY, UNREVIEWED)
"""In the recommended order of review."""

LABEL_ISSUES_AFTER = "label-issues-after"
"""Metadata name of the last decision that the stored label issues take into account."""

ANSWERED = "label-issue-answered:"
"""Metadata prefix, before an image id, of the last label issue that a person answered, so that it is not reported again."""

_ISSUE_QUEUES = {"label-error": SUGGESTED, "outlier": OUTLIER, "boundary": BOUNDARY}
"""Queue of each kind of label issue."""


@dataclass(frozen=True)
class PossibleCopy(Result):
    """Another image of which an image may be a copy, for a person to decide. `kind`: overlay (a watermark) or unverified."""

    image_id: str
    kind: str


@dataclass(frozen=True)
class ReviewItem:
    """One image with what a reviewer needs to know about it.

    `other_categories`: further categories for which it, or a copy of it, was found or labeled. `suggested`: the label that
    `curate label-issues` suggests, empty without one; `issue_score`: its score, higher is more suspicious, 0 without one.
    `quality_issues`: names of the quality checks that it fails. `quality`: scores by measure. `file_name`: original name.
    `possible_copies`: images of which it may be a copy.
    """

    image: ImageRow
    queues: tuple[str, ...]
    source: str
    license: str
    other_categories: tuple[str, ...]
    suggested: str
    issue_score: float
    quality_issues: tuple[str, ...]
    quality: Mapping[str, float]
    file_name: str
    possible_copies: tuple[PossibleCopy, ...] = ()


@dataclass(frozen=True)
class Annotation(Result):
    """A reviewer's latest judgment of an image: a label, or rejected for any reason (the label is empty then)."""

    label: str
    rejected: bool = False

    @classmethod
    def of_image(cls, image: ImageRow) -> Annotation:
        """Return the catalog's current judgment."""
        return cls("", True) if image.rejected else cls(image.label)


def list_review_items(
    catalog: Catalog, categories: Sequence[str], quality_issues: Mapping[str, tuple[str, ...]]
) -> list[ReviewItem]:
    """Return an item for every image that was not erased.

    Args:
        categories: the configured categories.
        quality_issues: names of the quality checks that each image fails, by image id.
    """
    snapshot = read_snapshot(catalog)
    images, sources = [image for image in snapshot.images if not image.erased], snapshot.sources
    decisions = catalog.decisions.all()
    issues = _open_issues(catalog, images, decisions)
    quality = catalog.quality.all()
    found_as = _categories_by_group(images, _found_categories(catalog))
    unfinished = {image.group for image in images if image.group and not image.rejected and not image.reviewed}
    conflicts = find_label_conflicts(images, decisions)
    possible = _possible_copies(catalog, images)
    file_names = catalog.provenance.file_names()
    disagreed = _find_disagreements(images, decisions)
    items = []
    for image in images:
        issue = issues.get(image.image_id)
        source = sources.get(image.image_id, ImageSource())
        other = sorted(found_as[image.group or image.image_id] - set(split_label(image.label)))
        flags = {
            CONFLICT: image.group in conflicts and not image.rejected if image.reviewed else bool(other),
            POSSIBLE_COPY: image.image_id in possible,
            UNKNOWN: image.status == "accepted" and not set(split_label(image.label)) <= set(categories),
            DISAGREED: image.image_id in disagreed,
            _ISSUE_QUEUES[issue.kind] if issue else "": True,
            DUPLICATE: image.group in unfinished,
            QUALITY: bool(quality_issues.get(image.image_id)) and not image.reviewed,
            UNREVIEWED: not image.reviewed and image.status == "accepted",
        }
        items.append(
            ReviewItem(
                image,
                tuple(name for name in QUEUES if flags.get(name)),
                source.source,
                source.license,
                tuple(other),
                issue.suggested if issue and issue.kind != "outlier" else "",
                issue.score if issue else 0.0,
                quality_issues.get(image.image_id, ()),
                quality.get(image.image_id, {}),
                file_names.get(image.image_id, ""),
                tuple(possible.get(image.image_id, ())),
            )
        )
    return items


def items_in_queue(items: Sequence[ReviewItem], queue: str) -> list[ReviewItem]:
    """Return the items of a queue in the recommended order: groups together, the most suspicious first."""
    members = [item for item in items if queue in item.queues]
    if queue in _ISSUE_QUEUES.values():
        return sorted(members, key=lambda item: -item.issue_score)
    if queue == QUALITY:
        return sorted(members, key=lambda item: item.quality_issues)
    if queue == POSSIBLE_COPY:
        return sorted(members, key=lambda item: min(item.image.image_id, *(copy.image_id for copy in item.possible_copies)))
    return sorted(members, key=lambda item: item.image.group) if queue in (CONFLICT, DUPLICATE) else members


def _found_categories(catalog: Catalog) -> dict[str, set[str]]:
    """Return the categories for which each image was found."""
    labels = catalog.provenance.categories_by_image()
    return {image_id: {name for label in found for name in split_label(label)} for image_id, found in labels.items()}


def _categories_by_group(images: Sequence[ImageRow], found: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the categories for which the images of each group were found or labeled; alone, an image is its own group."""
    categories: dict[str, set[str]] = defaultdict(set)
    for image in images:
        names = categories[image.group or image.image_id]
        names.update(found.get(image.image_id, ()))
        names.update(split_label(image.label))
    return categories


def _possible_copies(catalog: Catalog, images: Sequence[ImageRow]) -> dict[str, list[PossibleCopy]]:
    """Return the images of which each accepted image may be a copy, while nobody has decided between the two."""
    accepted = {image.image_id for image in images if image.status == "accepted"}
    copies: dict[str, list[PossibleCopy]] = defaultdict(list)
    for tie in undecided_ties(catalog, accepted):
        copies[tie.a].append(PossibleCopy(tie.b, tie.kind))
        copies[tie.b].append(PossibleCopy(tie.a, tie.kind))
    return copies


def _find_disagreements(images: Iterable[ImageRow], decisions: Iterable[Decision]) -> set[str]:
    """Return the images on which people disagree, unless more than half of them agree with the catalog."""
    by_image = latest_annotations(decisions)
    disagreed = set()
    for image in images:
        annotations = list(by_image.get(image.image_id, {}).values())
        num_agreeing = annotations.count(Annotation.of_image(image))
        if len(set(annotations)) > 1 and num_agreeing * 2 <= len(annotations):
            disagreed.add(image.image_id)
    return disagreed


def latest_annotations(decisions: Iterable[Decision]) -> dict[str, dict[str, Annotation]]:
    """Return each person's latest annotation by image id and name of the person.

    Ending a rejection gives the label that the image had; bringing a set-aside copy back does not annotate its label. Where a
    category was renamed, earlier annotations count under the new name.
    """
    latest: dict[str, dict[str, Annotation]] = defaultdict(dict)
    labels: dict[str, str] = {}
    for decision in active_decisions(decisions):
        label = labels.get(decision.image_id, "")
        by_person = latest[decision.image_id]
        if decision.action == "rename":  # of the label that remains once later decisions are undone
            names = decision.old_label, decision.new_label
            labels[decision.image_id] = rename_in_label(label, *names)
            for person, annotation in by_person.items():
                by_person[person] = replace(annotation, label=rename_in_label(annotation.label, *names))
            continue
        if decision.action == "label":
            label = labels[decision.image_id] = decision.new_label
        is_about_label = decision.action != "restore" or bool(decision.old_rejected)
        if decision.is_review and is_about_label:
            rejected = decision.action == "reject"
            by_person[decision.actor] = Annotation("" if rejected else label, rejected)
    return {image_id: annotations for image_id, annotations in latest.items() if annotations}


def _open_issues(catalog: Catalog, images: Iterable[ImageRow], decisions: Iterable[Decision]) -> dict[str, LabelIssueRow]:
    """Return by image id the label issues that nobody has answered and that are about the current label."""
    labels = {image.image_id: image.label for image in images}
    answered = {issue.image_id for issue in _newly_answered(catalog, decisions)}
    return {
        issue.image_id: issue
        for issue in catalog.label_issues.all()
        if labels[issue.image_id] == issue.label and issue.image_id not in answered
    }


def answered_issues(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return by image id the last label issue that a person answered: kind, label and suggested label."""
    stored = {image_id: tuple(value.split("\n")) for image_id, value in catalog.metadata.with_prefix(ANSWERED).items()}
    newly = _newly_answered(catalog, catalog.decisions.all())
    return stored | {issue.image_id: (issue.kind, issue.label, issue.suggested) for issue in newly}


def store_answered(catalog: Catalog, answered: Mapping[str, Sequence[str]]) -> None:
    """Store the answered label issues, since the next run of `curate label-issues` replaces the issues."""
    for image_id, issue in answered.items():
        catalog.metadata.set(ANSWERED + image_id, "\n".join(issue))


def rename_in_label_issues(catalog: Catalog, answered: Mapping[str, Sequence[str]], old: str, new: str) -> None:
    """Rename a category in label issues. `answered`: those that `answered_issues` returns."""
    for image_id, (kind, *labels) in answered.items():
        store_answered(catalog, {image_id: (kind, *(rename_in_label(label, old, new) for label in labels))})
    issues = [
        replace(issue, label=rename_in_label(issue.label, old, new), suggested=rename_in_label(issue.suggested, old, new))
        for issue in catalog.label_issues.all()
    ]
    catalog.label_issues.replace(issue for issue in issues if issue.kind != "label-error" or issue.label != issue.suggested)


def _newly_answered(catalog: Catalog, decisions: Iterable[Decision]) -> list[LabelIssueRow]:
    """Return the label issues whose image a person reviewed after they were found."""
    since = catalog.metadata.get_as(LABEL_ISSUES_AFTER, Integer()) or 0
    reviewed = {decision.image_id for decision in active_reviews(decisions) if decision.decision_id > since}
    return [issue for issue in catalog.label_issues.all() if issue.image_id in reviewed]
