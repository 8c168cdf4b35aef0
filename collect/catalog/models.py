"""Rows of the catalog. Other stages import these from `fototeca.collect.catalog`."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from fototeca.collect.catalog.events import ReviewState
from fototeca.core.public_url import public_url, redact_urls

CandidateState = Literal["found", "accepted", "rejected", "failed"]
ImageStatus = Literal["accepted", "duplicate", "rejected"]

_MAX_NUMBER = 10**9
"""Sizes in pixels and ranks beyond this are treated as wrong."""


@dataclass(frozen=True)
class Provenance:
    """One place where an image was found, as a source yields it.

    `category` is empty where the source does not give one; `width` and `height` are pixels as announced by the source;
    `thumbnail` is True where only a thumbnail was available; `original` is the source's id of the original of an augmented copy.
    `file_name` is the original name, relative to the folder or archive that it came in; `split` is train, val or test where
    the source gives one; images of one `split_group` (a patient, a video) share a split.
    """

    url: str
    source: str
    category: str = ""
    query: str = ""
    rank: int = 0
    page_url: str = ""
    author: str = ""
    license: str = "unknown"
    license_found: str = ""
    width: int | None = None
    height: int | None = None
    thumbnail: bool = False
    original: str = ""
    file_name: str = ""
    split: str = ""
    split_group: str = ""

    def __post_init__(self) -> None:
        """Replace values from a site that cannot be stored."""
        for name, value in vars(self).items():
            if isinstance(value, str) and not value.isascii():
                object.__setattr__(self, name, replace_surrogates(value))
        for name in ("width", "height"):
            value = getattr(self, name)
            object.__setattr__(self, name, int(value) if value is not None and 0 < value < _MAX_NUMBER else None)
        object.__setattr__(self, "rank", int(min(max(self.rank, -_MAX_NUMBER), _MAX_NUMBER)))

    def public(self) -> Provenance:
        """Return the place as the catalog stores it: URLs without user names, passwords, keys and signatures."""
        return replace(
            self,
            url=public_url(self.url),
            page_url=public_url(self.page_url),
            query=redact_urls(self.query),
            author=redact_urls(self.author),
            license_found=redact_urls(self.license_found),
            original=redact_urls(self.original),
            split_group=redact_urls(self.split_group),
        )


@dataclass(frozen=True)
class Candidate:
    """A normalized URL (or file) with its state."""

    candidate_id: int
    url_key: str
    url: str
    state: CandidateState
    reason: str
    image_id: str | None


@dataclass(frozen=True)
class FetchAttempt:
    """Facts of one attempt to fetch a candidate, successful or not."""

    status: int | None = None
    """HTTP status."""

    size: int = 0
    """Bytes received."""

    seconds: float = 0.0
    content_type: str = ""
    """Content-Type header of the response."""

    content_length: int | None = None
    """Content-Length header of the response, in bytes."""


@dataclass(frozen=True)
class CandidateOutcome:
    """State of a candidate under one of the categories for which it was found. `was_fetched`: its bytes arrived."""

    candidate_id: int
    category: str
    state: CandidateState
    reason: str
    was_fetched: bool


@dataclass(frozen=True)
class SourceCounts:
    """Candidates of one source by state, with the dates (`YYYY-MM-DD`) of its first and last find."""

    source: str
    found: int
    accepted: int
    rejected: int
    failed: int
    first: str
    last: str


@dataclass(frozen=True)
class ReasonCount:
    """Number of candidates that are in a state for the same reason."""

    state: CandidateState
    reason: str
    count: int


@dataclass(frozen=True)
class ImageProvenance:
    """One place of an image, as manifests need it."""

    image_id: str
    url: str
    provenance_id: int
    source: str
    page_url: str
    author: str
    license: str
    thumbnail: bool
    original: str
    split: str
    split_group: str


@dataclass(frozen=True)
class AnnouncedSize:
    """Size of an image as a source announced it; `thumbnail`: the source offered only a thumbnail."""

    image_id: str
    width: int | None
    height: int | None
    thumbnail: bool


@dataclass(frozen=True)
class ImageRow:
    """One accepted file with its properties and the state that the decisions about it have led to.

    `component` is the smallest id of the images that verified pairs connect it to; empty if the last search for duplicates did
    not include it. `is_representative`: deduplication did not set it aside. `restored`: a person brought it back.
    `taken`: time of the photograph in EXIF. `background`: color under transparent pixels. `frame`: frame of an animation that is
    read. `normalized`: how reading changes the stored pixels, comma-separated. `erased`: erased on request.
    """

    image_id: str
    path: str
    format: str
    width: int
    height: int
    mode: str
    bytes: int
    phash: str
    added: str = ""
    label: str = ""
    rejected: str = ""
    reviewed: bool = False
    restored: bool = False
    group: str = ""
    component: str = ""
    is_representative: bool = True
    taken: str = ""
    background: str = ""
    frame: int = 0
    normalized: str = ""
    erased: bool = False

    @property
    def status(self) -> ImageStatus:
        """Return `rejected` by a decision, `duplicate` if deduplication set it aside, else `accepted`."""
        if self.rejected or self.erased:
            return "rejected"
        return "accepted" if self.is_representative or self.restored else "duplicate"

    @property
    def review_state(self) -> ReviewState:
        """Return label, rejection, review and restoration."""
        return ReviewState(self.label, self.rejected, self.reviewed, self.restored)

    def with_review_state(self, state: ReviewState) -> ImageRow:
        """Return the row with this state."""
        return replace(self, label=state.label, rejected=state.rejected, reviewed=state.reviewed, restored=state.restored)


@dataclass(frozen=True)
class Erasure:
    """Tombstone of an image that was erased on request. `is_complete`: no copy of it is left in the workspace."""

    image_id: str
    phash: str
    time: str
    actor: str
    reason: str
    is_complete: bool = False


@dataclass(frozen=True)
class GroupRow:
    """An image's place in a duplicate group. `reason` (view), `distance` (bits) and `kind` of tie: how it matches its group."""

    image_id: str
    group_id: str
    is_representative: bool
    reason: str
    distance: float
    kind: str = "copy"


@dataclass(frozen=True)
class TieRow:
    """Two images that are alike without one being set aside for the other; `a` is the smaller id.

    `kind`: kind of tie, as `curate.duplicates` names it. `is_linked`: the two must share a split; False for the images of a fixed
    camera or of one template, which could otherwise never be split.
    """

    a: str
    b: str
    kind: str
    is_linked: bool


@dataclass(frozen=True)
class FrozenGroup:
    """An image's group, component and scene when a version was frozen; empty where it had none."""

    image_id: str
    group_id: str
    is_representative: bool
    component: str
    scene: str = ""


@dataclass(frozen=True)
class LabelIssueRow:
    """A possible label issue. `kind`: label-error, outlier or boundary; a higher `score` is more suspicious."""

    image_id: str
    label: str
    suggested: str
    score: float
    kind: str
    neighbors: tuple[str, ...]


@dataclass(frozen=True)
class MatchRow:
    """A pair of pixel digests, the smaller first, and how they match; `reason` is empty where they do not.

    `distance`: bits. `kind`: kind of tie, as `curate.duplicates` names it.
    """

    a: bytes
    b: bytes
    reason: str
    distance: float
    kind: str = "copy"


def replace_surrogates(text: str) -> str:
    """Return `text` with a question mark for each lone surrogate, which sites produce when they cut titles."""
    return text.encode("utf-8", "replace").decode("utf-8")


def user_name() -> str:
    """Return the name of the person at the keyboard: FOTOTECA_USER, else the login name, else `uid N` (as in a container)."""
    try:
        name = os.environ.get("FOTOTECA_USER", "").strip() or getpass.getuser()
    except (OSError, KeyError, ImportError):
        name = f"uid {os.getuid()}"
    return " ".join(replace_surrogates(name).split())


def now() -> str:
    """Return the current time as the catalog writes it: UTC, ISO 8601, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
