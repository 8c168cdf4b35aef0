"""What a reviewer may say about an image, and what follows when it meets what the catalog says. Knows no App."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from collect.catalog import PERSON, REJECT, RESTORE, Decision, ImageRow

TAG_REJECT, TAG_REVIEWED, TAG_RESTORE = "reject", "reviewed", "restore"
"""Tags that mean what they say. `reject:REASON` gives a reason."""

REASON = "review"
"""Why an image was rejected when its tag gives no reason."""

UNDO = "undo of "
"""Begins the `why` of a decision that takes another back; that one's time follows."""


@dataclass(frozen=True)
class Judgement:
    """An image's label, and whether it is rejected, reviewed, or brought back although a better copy is there."""

    label: str
    rejected: str = ""
    reviewed: bool = False
    restored: bool = False

    @classmethod
    def of_image(cls, image: ImageRow) -> Judgement:
        """What the catalog says."""
        return cls(image.label, image.rejected, image.reviewed, image.keep)

    @classmethod
    def of_tags(cls, label: str, tags: list[str]) -> Judgement:
        """What a sample's label and tags say."""
        reasons = [tag.partition(":")[2] or REASON for tag in tags if tag == TAG_REJECT or tag.startswith(TAG_REJECT + ":")]
        return cls(label, reasons[0] if reasons else "", TAG_REVIEWED in tags, TAG_RESTORE in tags)

    @property
    def tags(self) -> list[str]:
        """The tags that say it."""
        reject = [f"{TAG_REJECT}:{self.rejected}"] if self.rejected else []
        return [*reject, *([TAG_REVIEWED] if self.reviewed else []), *([TAG_RESTORE] if self.restored else [])]

    def encode(self) -> str:
        """One line of text, to be compared and kept."""
        return "\t".join([self.label, *self.tags])

    @classmethod
    def decode(cls, text: str) -> Judgement:
        """Back from one line."""
        label, *tags = text.split("\t")
        return cls.of_tags(label, tags)


def valid(decisions: Iterable[Decision]) -> list[Decision]:
    """Decisions that were not taken back, in order, without those that took one back."""
    log = list(decisions)
    undone = {(row.image_id, row.who, row.why[len(UNDO) :]) for row in log if row.why.startswith(UNDO)}
    return [row for row in log if not row.why.startswith(UNDO) and (row.image_id, row.who, row.time) not in undone]


def said_by_people(decisions: Iterable[Decision]) -> list[Decision]:
    """What people said and did not take back, in order."""
    return [row for row in valid(decisions) if row.who.startswith(PERSON)]


Outcome = Literal["same", "agreed", "decide", "conflict"]


def settle(said: Judgement, pushed: Judgement, current: Judgement) -> tuple[Outcome, list[str]]:
    """What to do about a sample that says `said`, was pushed as `pushed`, while the catalog now says `current`.

    same: nobody edited it. agreed: the edit says what the catalog says already. conflict: both changed, differently; nothing is
    overwritten. decide: with the decisions to write, in order.
    """
    if said == pushed:
        return "same", []
    if _meaning(said) == _meaning(current) and (current.reviewed or not said.reviewed):
        return "agreed", []
    if _meaning(pushed) != _meaning(current):
        return "conflict", []
    return "decide", _decisions(said, current)


def _meaning(judgement: Judgement) -> tuple[str, str, bool]:
    """Without who has looked at it."""
    return judgement.label, judgement.rejected, judgement.restored


def _decisions(said: Judgement, current: Judgement) -> list[str]:
    if said.rejected:
        return [*([said.label] if said.label != current.label else []), f"{REJECT}{said.rejected}"]
    found = [RESTORE] if current.rejected or (said.restored and not current.restored) else []
    if said.label != current.label or not found:
        found.append(said.label)
    return found
