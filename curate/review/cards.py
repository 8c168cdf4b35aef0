"""Content of the keyboard page: queues, images and their details."""

from __future__ import annotations

from dataclasses import dataclass

from fototeca.collect.catalog import ImageRow
from fototeca.core.results import Result
from fototeca.core.settings import Task
from fototeca.curate.labels.review_state import encode_state


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
class CopyCard(ImageCard):
    """An image of which the shown one may be a copy. `kind`: overlay or unverified."""

    kind: str


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
    `possible_copies`: images of which it may be a copy.
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
    possible_copies: tuple[CopyCard, ...]
