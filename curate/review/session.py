"""One reviewer's session on the keyboard page: queues, image details, decisions and undo.

Independent of HTTP and FiftyOne. Every decision is in the catalog when the method returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fototeca.collect.catalog import Catalog, Decision, Edit, ImageRow
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.apart import add_apart
from fototeca.curate.labels.decisions import current_person
from fototeca.curate.labels.review_state import active_reviews, encode_state
from fototeca.curate.quality.checks import list_findings_by_image
from fototeca.curate.review.apart import add_edit, find_copies, regroup_apart
from fototeca.curate.review.cards import (
    CopyCard,
    ImageCard,
    ImageDetails,
    QueueEntry,
    QueueSummary,
    ReviewerAnnotation,
    ReviewOverview,
    ReviewProgress,
    Source,
)
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
                possible_copies=tuple(
                    CopyCard(**vars(ImageCard.of_image(_get_image(catalog, copy.image_id))), kind=copy.kind)
                    for copy in (item.possible_copies if item else ())
                ),
            )

    def decide(self, shown: Mapping[str, str], image_id: str, edit: Edit, *, group: bool) -> list[Decision]:
        """Apply an edit to an image, or with `group` to all members of its group that are not rejected.

        `shown`: the encoded state of each of them when it was shown. StaleError, and nothing is written, if one has another
        state by now.
        """
        with Catalog.open(self.workspace) as catalog:
            with catalog.transaction():
                image = _get_image(catalog, image_id)
                members = [member for member in _other_members(catalog, image) if group and not member.rejected]
                _check_shown((image, *members), shown)
                written = add_edit(catalog, [image_id, *(member.image_id for member in members)], edit, COMMENT)
            regroup_apart(self.workspace, catalog)
        return written

    def apart(self, shown: Mapping[str, str], image_id: str) -> list[Decision]:
        """Declare an image to be no copy of the other members of its group and of its possible copies.

        `shown`: the encoded state of each of them when it was shown. StaleError, and nothing is written, if one has another
        state by now. FototecaError if it has no copies.
        """
        with Catalog.open(self.workspace) as catalog:
            with catalog.transaction():
                others = sorted(find_copies(catalog, image_id) & shown.keys())
                if not others:
                    raise FototecaError("it has no copies from which it could be set apart", "load the page again")
                _check_shown([_get_image(catalog, shown_id) for shown_id in (image_id, *others)], shown)
                pairs = [(image_id, other) for other in others]
                written = add_apart(catalog, pairs, by=self.person, reason=COMMENT)
            regroup_apart(self.workspace, catalog)
        return written

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


def _check_shown(images: Iterable[ImageRow], shown: Mapping[str, str]) -> None:
    """Raise StaleError if an image has another state than it was shown with."""
    for image in images:
        if shown.get(image.image_id) != encode_state(image.review_state):
            raise StaleError(f"{image.image_id[:12]} was decided on meanwhile", "look at it again")


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
