"""What a reviewer may say about an image, and what follows when it meets what the catalog says. Knows no App."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fototeca.collect.catalog import PERSON, REJECT, RESTORE, Decision, ImageRow
from fototeca.curate.labels.categories import renamed, split_label

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

    def after(self, decision: str) -> Judgement:
        """What it is once a person has decided so."""
        rejected = decision[len(REJECT) :] if decision.startswith(REJECT) else ""
        label = self.label if rejected or decision == RESTORE else decision
        return Judgement(label, rejected, True, decision == RESTORE or (self.restored and not rejected))

    def renamed(self, names: Iterable[tuple[str, str]]) -> Judgement:
        """With categories' names changed, old ones to new ones, in order."""
        label = self.label
        for old, new in names:
            label = renamed(label, old, new)
        return replace(self, label=label)

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


Outcome = Literal["same", "withdrawn", "agreed", "decide", "conflict"]


def merge_edit(said: Judgement, pushed: Judgement, current: Judgement) -> tuple[Outcome, list[str]]:
    """What to do about a sample that says `said`, was pushed as `pushed`, while the catalog now says `current`.

    same: nobody edited it. withdrawn: a tag was removed (`reviewed`, `restore`) and no decision follows from that.
    agreed: the catalog says already what the edit leads to, as after a pull that was killed. conflict: somebody decided
    after the push, be it that the label is right, and the edit says something else; nothing is overwritten. decide: with
    the decisions to write, in order.
    """
    if said == pushed:
        return "same", []
    intended = pushed
    for decision in _decisions(said, pushed):
        intended = intended.after(decision)
    if intended == pushed:
        return "withdrawn", []
    if current == intended:
        return "agreed", []
    if current == pushed:
        return "decide", _decisions(said, current)
    if current == replace(intended, reviewed=False):
        return "decide", [current.label]  # a machine came to the same: what is new is that a person says so
    return "conflict", []


def settle_renamed(
    said: Judgement, pushed: Judgement, current: Judgement, names: Sequence[tuple[str, str]], known: Collection[str]
) -> tuple[Outcome, list[str]]:
    """`settle` of an edit that renamings may have come between. `names`: old and new ones, in order; `known`: the categories.

    Where nothing but renamings has happened to the image since, the edit means what it meant under the new names; who gave it
    the very name that it has by now has looked at it.
    """
    lately = (names[start:] for start in range(len(names), -1, -1))
    since = next((part for part in lately if pushed.renamed(part) == current), None)
    if since is None:
        return merge_edit(said, pushed, current)
    meant = said.renamed(since)
    if not {*split_label(meant.label)} <= {*known}:
        meant = said.renamed(names)
    if said != pushed and meant == current:
        return "decide", [current.label]
    return merge_edit(meant, current, current)


def _decisions(said: Judgement, current: Judgement) -> list[str]:
    if said.rejected:
        return [*([said.label] if said.label != current.label else []), f"{REJECT}{said.rejected}"]
    found = [RESTORE] if current.rejected or (said.restored and not current.restored) else []
    if said.label != current.label or not found:
        found.append(said.label)
    return found
