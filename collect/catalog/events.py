"""Decisions about images as typed events: who did what, and how an image's label and status follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fototeca.core.results import Result
from fototeca.core.settings import LABEL_SEPARATOR

Action = Literal["label", "reject", "restore", "rename", "apart"]
ActorKind = Literal["person", "source", "rule"]


@dataclass(frozen=True)
class Actor:
    """Author of a decision: a person, the source that an image was collected from, or a rule of the program."""

    kind: ActorKind
    name: str

    @classmethod
    def person(cls, name: str) -> Actor:
        """Return the person with this name."""
        return cls("person", name)

    @classmethod
    def source(cls, name: str) -> Actor:
        """Return the source with this name."""
        return cls("source", name)


@dataclass(frozen=True)
class ReviewState:
    """An image's label, the reason for which it is rejected (or empty), and whether people reviewed or restored it.

    A restored image stays in the dataset although a better copy of it exists.
    """

    label: str
    rejected: str = ""
    reviewed: bool = False
    restored: bool = False


@dataclass(frozen=True)
class Edit:
    """A change of one image's label or status.

    `label`: the new label, with several categories joined by `|`; for a `rename` the category's new name. `rejected`: the reason
    of a rejection. `old_category`: the category's old name, for a `rename`. `other_image_id`: for `apart`, the image of which
    this one is not a copy.
    """

    action: Action
    label: str = ""
    rejected: str = ""
    old_category: str = ""
    other_image_id: str = ""

    @classmethod
    def relabel(cls, label: str) -> Edit:
        """Give the image this label; a rejection ends."""
        return cls("label", label)

    @classmethod
    def reject(cls, reason: str) -> Edit:
        """Reject the image for this reason; its label stays, a restoration ends."""
        return cls("reject", rejected=reason)

    @classmethod
    def restore(cls) -> Edit:
        """Bring a rejected or set-aside image back under its label."""
        return cls("restore")

    @classmethod
    def rename(cls, old: str, new: str) -> Edit:
        """Rename a category in the image's label; nothing else changes."""
        return cls("rename", new, old_category=old)

    @classmethod
    def apart(cls, other_image_id: str) -> Edit:
        """State that the image is not a copy of another; label and status stay."""
        return cls("apart", other_image_id=other_image_id)

    def apply(self, state: ReviewState) -> ReviewState:
        """Return `state` after this edit. `reviewed` stays: it depends on who edits."""
        match self.action:
            case "label":
                return replace(state, label=self.label, rejected="")
            case "reject":
                return replace(state, rejected=self.rejected, restored=False)
            case "restore":
                return replace(state, rejected="", restored=True)
            case "rename":
                return replace(state, label=rename_in_label(state.label, self.old_category, self.label))
            case "apart":
                return state


@dataclass(frozen=True)
class Decision(Result):
    """One event of the decision log.

    `old_label` and `new_label` are the image's label before and after; of a `rename`, the category's names. `old_rejected` and
    `new_rejected` are the reasons for which the image is rejected before and after, empty where it is not. `reason` is a remark.
    `undoes` is the time of the earlier decision by the same actor about the same image which this event undoes, or empty.
    `other_image_id` is, of `apart`, the image of which this one is not a copy; label and status stay as they are.
    `decision_id` is the event's number in this catalog.
    """

    image_id: str
    time: str
    action: Action
    actor_kind: ActorKind
    actor: str
    old_label: str
    old_rejected: str
    new_label: str
    new_rejected: str
    reason: str = ""
    undoes: str = ""
    other_image_id: str = ""
    decision_id: int = 0

    @property
    def is_review(self) -> bool:
        """Return True if a person decided on this very image's label or status, which `rename` and `apart` do not."""
        return self.actor_kind == "person" and self.action not in ("rename", "apart")

    @property
    def by(self) -> Actor:
        """Return the author."""
        return Actor(self.actor_kind, self.actor)

    @property
    def edit(self) -> Edit:
        """Return the change that was decided."""
        if self.action == "rename":
            return Edit.rename(self.old_label, self.new_label)
        if self.action == "apart":
            return Edit.apart(self.other_image_id)
        return Edit(self.action, self.new_label if self.action == "label" else "", self.new_rejected)

    @property
    def key(self) -> tuple[str, str, Actor, Edit]:
        """Return the event's identity in every catalog and decision file."""
        return self.image_id, self.time, self.by, self.edit

    @property
    def before(self) -> str:
        """Return the state before, for people."""
        return describe_state(self.old_label, self.old_rejected)

    @property
    def after(self) -> str:
        """Return the state after, for people."""
        return describe_state(self.new_label, self.new_rejected)


def describe_state(label: str, rejected: str) -> str:
    """Return an image's label, or that it is rejected, for people."""
    return f"rejected: {rejected}" if rejected else label or "(none)"


def rename_in_label(label: str, old: str, new: str) -> str:
    """Return the label with one category renamed; categories sorted, each once."""
    names = label.split(LABEL_SEPARATOR) if label else []
    return LABEL_SEPARATOR.join(sorted({new if name == old else name for name in names}))
