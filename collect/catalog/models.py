"""What the catalog's rows hold. Other stages import these from `collect.catalog`."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

State = Literal["found", "accepted", "rejected", "failed"]
Status = Literal["accepted", "duplicate", "rejected"]

PERSON = "person:"
"""Begins the `who` of a decision that a person made."""

RENAME = "rename:"
"""Begins the `who` of a decision that a person made for all images of a category, without looking at them."""

REJECT = "reject:"
"""Begins the `new` of a decision that rejects an image; the reason follows."""

_MOST = 10**9
"""Pixels or places beyond which a number means nothing."""

RESTORE = "restore"
"""The `new` of a decision that brings a rejected or set-aside image back under the label it had."""


@dataclass(frozen=True)
class Provenance:
    """One place where an image was found: what a source yields."""

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

    def __post_init__(self) -> None:
        """Let everything be such as can be written down, whatever a site said of itself."""
        for name, value in vars(self).items():
            if isinstance(value, str) and not value.isascii():
                object.__setattr__(self, name, replace_surrogates(value))
        for name in ("width", "height"):
            value = getattr(self, name)
            object.__setattr__(self, name, int(value) if value is not None and 0 < value < _MOST else None)
        object.__setattr__(self, "rank", int(min(max(self.rank, -_MOST), _MOST)))


@dataclass(frozen=True)
class Candidate:
    """A normalised URL (or file) with its state."""

    candidate_id: int
    url_key: str
    url: str
    state: State
    reason: str
    image_id: str | None


@dataclass(frozen=True)
class FetchAttempt:
    """What one try at a candidate brought, whatever became of it."""

    status: int | None = None
    """The site's answer."""

    size: int = 0
    """Bytes that came."""

    seconds: float = 0.0
    declared: str = ""
    """The content type that the site declared."""

    announced: int | None = None
    """The length that it announced, in bytes."""


@dataclass(frozen=True)
class ImageRow:
    """One accepted file: its facts, and where people's decisions have left it."""

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
    keep: bool = False
    group: str = ""
    component: str = ""
    """The smallest id of the images that verified pairs tie it to; empty when duplicates were not looked for since it came."""
    kept: bool = True

    @property
    def status(self) -> Status:
        """Rejected by a decision, set aside as a duplicate, or accepted."""
        if self.rejected:
            return "rejected"
        return "accepted" if self.kept or self.keep else "duplicate"


@dataclass(frozen=True)
class Decision:
    """Who decided what about one image, when and why. `new`: a label, `reject:REASON`, or `restore`."""

    image_id: str
    time: str
    who: str
    old: str
    new: str
    why: str
    decision_id: int = 0


@dataclass(frozen=True)
class GroupRow:
    """An image's place in a near-duplicate group."""

    image_id: str
    group_id: str
    kept: bool
    reason: str
    distance: float


def replace_surrogates(text: str) -> str:
    """The text with a question mark for each half of a character, which a site may give where it cuts titles."""
    return text.encode("utf-8", "replace").decode("utf-8")


def user_name() -> str:
    """Who is at the keyboard: FOTOTECA_USER, else the login name; by number a user whom the system does not know, as in a
    container."""
    try:
        name = os.environ.get("FOTOTECA_USER", "").strip() or getpass.getuser()
    except (OSError, KeyError, ImportError):
        name = f"uid {os.getuid()}"
    return " ".join(replace_surrogates(name).split())


def now() -> str:
    """The time as the catalog writes it: UTC, ISO 8601, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
