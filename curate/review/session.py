"""One reviewer's session on the keyboard page: queues, image details, decisions and undo.

Independent of HTTP and FiftyOne. Every decision is in the catalog when the method returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fototeca.collect.catalog import Catalog, Decision, Edit, ImageRow
from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.settings import LABEL_SEPARATOR, Task
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import add_decisions, current_person
from fototeca.curate.labels.review_state import active_reviews, encode_state
from fototeca.curate.quality.checks import list_findings_by_image
from fototeca.curate.review.queues import (
    DUPLICATE,
    QUEUES,
    ReviewItem,
    items_in_queue,
    latest_annotations,
    list_review_items,
)
from fototeca.curate.review.thumbnails import make_thumbnail
from fototeca.curate.review.undo import undo_decisions

CATEGORY = "category:"
"""Prefix of the name of a category's queue."""

COMMENT = "review page"


class StaleError(FototecaError):
    """Another decision was made on an image after it was shown."""


@dataclass(frozen=True)
class ReviewProgress(Result):
    """Numbers of accepted images, and of reviewed ones among them."""

    images: int
    reviewed: int


@dataclass(frozen=True)
class QueueSummary(Result):
    """A queue, with its number of images and how many of them wait for this reviewer."""

    name: str
    images: int
    waiting: int


@dataclass(frozen=True)
class QueueEntry(Result):
    """An image of a queue; `waiting`: it waits for this reviewer."""

    image_id: str
    waiting: bool


@dataclass(frozen=True)
class ReviewOverview(Result):
    """The task, the reviewer, and every queue."""

    dataset: str
    task: Task
    categories: tuple[str, ...]
    reviewer: str
    queues: tuple[QueueSummary, ...]
    images: int
    reviewed: int


@dataclass(frozen=True)
class ImageCard(Result):
    """An image in short. `state` is the encoded review state, to be sent back with a decision."""

    image_id: str
    label: str
    status: str
    rejected: str
    reviewed: bool
    state: str

    @classmethod
    def of_image(cls, image: ImageRow) -> ImageCard:
        """Return the card of an image."""
        state = encode_state(image.review_state)
        return cls(image.image_id, image.label, image.status, image.rejected, image.reviewed, state)


@dataclass(frozen=True)
class Source(Result):
    """One place where an image was found."""

    source: str
    page_url: str
    author: str
    license: str


@dataclass(frozen=True)
class ReviewerAnnotation(Result):
    """A reviewer's latest annotation of an image: a label, or that it is rejected."""

    reviewer: str
    label: str
    rejected: bool


@dataclass(frozen=True)
class ImageDetails(ImageCard):
    """Everything that the page shows about an image. Sizes are in pixels.

    `neighbors`: the nearest images, on which a suggestion is based. `annotations`: those of other reviewers.
    `reviewed_by_me`: this reviewer has an annotation, too. `group`: the other members of its duplicate group.
    """

    width: int
    height: int
    file_name: str
    suggested: str
    issue_score: float
    neighbors: tuple[ImageCard, ...]
    other_categories: tuple[str, ...]
    quality_issues: tuple[str, ...]
    sources: tuple[Source, ...]
    annotations: tuple[ReviewerAnnotation, ...]
    reviewed_by_me: bool
    group: tuple[ImageCard, ...]


class ReviewSession:
    """One reviewer's view of a workspace. Its methods may be called from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.person = current_person()
        self.items: Mapping[str, ReviewItem] = {}
        self.reviewed_ids: set[str] = set()

    def overview(self) -> ReviewOverview:
        """Read the catalog and return every queue with its counts."""
        self._read()
        settings = self.workspace.settings
        names = (*QUEUES, *(CATEGORY + category for category in settings.names))
        queues = {name: self.queue(name) for name in names}
        progress = self.progress()
        return ReviewOverview(
            dataset=settings.name,
            task=settings.task,
            categories=tuple(settings.names),
            reviewer=self.person.name,
            queues=tuple(
                QueueSummary(name, len(entries), sum(entry.waiting for entry in entries)) for name, entries in queues.items()
            ),
            images=progress.images,
            reviewed=progress.reviewed,
        )

    def progress(self) -> ReviewProgress:
        """Return the numbers of accepted and of reviewed images."""
        with Catalog.open(self.workspace) as catalog:
            return ReviewProgress(*catalog.images.count_accepted())

    def queue(self, name: str) -> list[QueueEntry]:
        """Return the images of a queue in the recommended order, as of the last `overview`.

        FototecaError for an unknown name.
        """
        items = list(self.items.values())
        if name in QUEUES:
            members = items_in_queue(items, name)
        elif name.startswith(CATEGORY):
            category = self.workspace.settings.check(name.removeprefix(CATEGORY))
            members = [item for item in items if category in item.image.label.split(LABEL_SEPARATOR)]
        else:
            raise FototecaError(f"no queue {name!r}", f"the queues are: {', '.join(QUEUES)}, {CATEGORY}NAME")
        # a duplicate group stays queued while other members are unreviewed, so its reviewed members need not be shown again
        always = name in QUEUES and name != DUPLICATE
        return [QueueEntry(item.image.image_id, always or item.image.image_id not in self.reviewed_ids) for item in members]

    def image_details(self, image_id: str) -> ImageDetails:
        """Return everything the page shows about an image, as it is now. FototecaError if it does not exist."""
        with Catalog.open(self.workspace) as catalog:
            image = _get_image(catalog, image_id)
            item = self.items.get(image_id)
            annotations = latest_annotations(catalog.decisions.all(image_id)).get(image_id, {})
            return ImageDetails(
                **vars(ImageCard.of_image(image)),
                width=image.width,
                height=image.height,
                file_name=item.file_name if item else "",
                suggested=item.suggested if item else "",
                issue_score=item.issue_score if item else 0,
                neighbors=tuple(_neighbors(catalog, image_id)),
                other_categories=item.other_categories if item else (),
                quality_issues=item.quality_issues if item else (),
                sources=tuple(
                    Source(place.source, place.page_url, place.author, place.license)
                    for place in catalog.provenance.of_image(image_id)
                ),
                annotations=tuple(
                    ReviewerAnnotation(name, annotation.label, annotation.rejected)
                    for name, annotation in annotations.items()
                    if name != self.person.name
                ),
                reviewed_by_me=self.person.name in annotations,
                group=tuple(ImageCard.of_image(member) for member in _other_members(catalog, image)),
            )

    def decide(self, shown: Mapping[str, str], image_id: str, edit: Edit, *, group: bool) -> list[Decision]:
        """Apply an edit to an image, or with `group` to all members of its group that are not rejected.

        `shown`: the encoded state of each of them when it was shown. StaleError, and nothing is written, if one has another
        state by now.
        """
        with Catalog.open(self.workspace) as catalog, catalog.transaction():
            image = _get_image(catalog, image_id)
            members = [member for member in _other_members(catalog, image) if group and not member.rejected]
            for member in (image, *members):
                if shown.get(member.image_id) != encode_state(member.review_state):
                    raise StaleError(f"{member.image_id[:12]} was decided on meanwhile", "look at it again")
            return add_decisions(catalog, [image_id, *(member.image_id for member in members)], edit, COMMENT)

    def undo(self, decision_ids: list[int]) -> list[Decision]:
        """Undo decisions of this reviewer."""
        return undo_decisions(self.workspace, decision_ids)

    def image_file(self, image_id: str, *, small: bool) -> tuple[Path, str]:
        """Return the file to show and its format (Pillow's name). FototecaError if it is missing or outside the store."""
        with Catalog.open(self.workspace) as catalog:
            image = _get_image(catalog, image_id)
        thumbnail = make_thumbnail(self.workspace, image) if small else None
        path = (thumbnail or self.workspace.root / image.path).resolve()
        inside = any(path.is_relative_to(folder.resolve()) for folder in (self.workspace.images, self.workspace.cache))
        if not inside or not path.is_file():
            raise FototecaError(f"the file of {image_id[:12]} is not in the store", "run: fototeca curate quality")
        return path, "JPEG" if thumbnail else image.format

    def _read(self) -> None:
        with Catalog.open(self.workspace) as catalog:
            items = list_review_items(catalog, self.workspace.settings.names, list_findings_by_image(catalog))
            reviews = active_reviews(catalog.decisions.all())
        self.reviewed_ids = {decision.image_id for decision in reviews if decision.by == self.person}
        self.items = {item.image.image_id: item for item in items}


def list_queues(workspace: Workspace) -> tuple[QueueSummary, ...]:
    """Return every review queue with its number of images, and how many wait for the person at the keyboard."""
    return ReviewSession(workspace).overview().queues


def _get_image(catalog: Catalog, image_id: str) -> ImageRow:
    image = catalog.images.get(image_id)
    if image is None:
        raise FototecaError(f"no image {image_id[:64]!r}", "load the page again")
    return image


def _other_members(catalog: Catalog, image: ImageRow) -> list[ImageRow]:
    """Return the other images of its duplicate group, representatives first."""
    members = [catalog.images.get(image_id) for image_id in catalog.groups.members(image.group) if image_id != image.image_id]
    return [member for member in members if member]


def _neighbors(catalog: Catalog, image_id: str) -> list[ImageCard]:
    """Return the nearest images, on which the suggestion about an image is based."""
    issue = catalog.label_issues.get(image_id)
    images = [catalog.images.get(neighbor) for neighbor in issue.neighbors] if issue else []
    return [ImageCard.of_image(image) for image in images if image]
