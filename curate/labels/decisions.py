"""Label decisions in the name of the person at the keyboard: label, reject, and the history of decisions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fototeca.collect.catalog import Actor, Catalog, Decision, Edit, ImageRow, replace_surrogates, user_name
from fototeca.core.counting import count_of
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR, Settings, Task
from fototeca.core.tables import render_table
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.categories import split_label
from fototeca.curate.labels.words import parse_word, resolve_label

DEFAULT_COMMENT = "curate label"


def check_task(images: Iterable[ImageRow], task: Task) -> None:
    """Raise FototecaError if images have several labels and the task is single-label."""
    several = sum(LABEL_SEPARATOR in image.label for image in images) if task == "single" else 0
    if several:
        hint = 'set task = "multi" in it again, or give each of them one label: fototeca curate label'
        raise FototecaError(
            f"{count_of(several, 'image has', 'images have')} several labels, but fototeca.toml has task single", hint
        )


def current_person() -> Actor:
    """Return the author of decisions made here: FOTOTECA_USER, else the login name."""
    return Actor.person(user_name())


def check_reason(reason: str) -> str:
    """Return `reason` in lower case; FototecaError unless it is one short word of letters, digits and `-`."""
    reason = reason.strip()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}", reason):
        raise FototecaError(f"reason {reason!r} is invalid", "use one short word, such as off-topic, drawing or bad-quality")
    return reason.lower()


def find_image_id(catalog: Catalog, prefix: str) -> str:
    """Return the id of the only image whose id begins with `prefix`; FototecaError if none or several match."""
    prefix_hex = prefix.lower()
    if not re.fullmatch(r"[0-9a-f]{1,64}", prefix_hex):
        raise FototecaError(f"{prefix!r} is not an image id", "ids are hexadecimal: see fototeca curate groups or the manifest")
    matches = catalog.images.ids_with_prefix(prefix_hex, 2)
    if not matches:
        raise FototecaError(f"no image {prefix!r}", "ids are in the manifest and in: fototeca curate groups")
    if len(matches) > 1:
        raise FototecaError(f"several image ids begin with {prefix!r}", "give more characters of the id")
    return matches[0]


def label_images(workspace: Workspace, image_ids: Sequence[str], label: str, *, comment: str = "") -> list[Decision]:
    """Give images this label (multi-label: categories joined by `|`); on an error, none of them.

    `image_ids` may be unique beginnings of ids. Returns the decisions written. FototecaError for an unknown id or category.
    """
    return decide_images(workspace, image_ids, make_edit(workspace.settings, label=label), comment=comment)


def reject_images(workspace: Workspace, image_ids: Sequence[str], reason: str, *, comment: str = "") -> list[Decision]:
    """Reject images for a reason of one short word; on an error, none of them.

    `image_ids` may be unique beginnings of ids. Returns the decisions written. FototecaError for an unknown id or invalid reason.
    """
    return decide_images(workspace, image_ids, make_edit(workspace.settings, reject=reason), comment=comment)


def decide_images(workspace: Workspace, image_ids: Sequence[str], edit: Edit, *, comment: str = "") -> list[Decision]:
    """Apply a label or a rejection to images in the name of the person at the keyboard; on an error, to none of them."""
    with Catalog.open(workspace) as catalog, catalog.transaction():
        ids = [find_image_id(catalog, prefix) for prefix in image_ids]
        return add_decisions(catalog, ids, edit, replace_surrogates(comment) or DEFAULT_COMMENT)


def make_edit(settings: Settings, *, label: str | None = None, reject: str | None = None, restore: bool = False) -> Edit:
    """Return the edit of exactly one choice.

    A label may spell its categories in another way, and a word such as `reject:REASON` in the place of a label is the decision
    that it means. FototecaError for an unknown label, an invalid reason, or not exactly one choice.
    """
    if (label is not None) + (reject is not None) + restore != 1:
        raise FototecaError("exactly one decision is needed", "give one of --label L, --reject REASON and --restore")
    if label is not None:
        label = resolve_label(label, settings)
        word = None if {*split_label(label)} & {*settings.names} else parse_word(label)
        if word and word.action == "reject":
            return Edit.reject(check_reason(word.argument))
        return Edit.restore() if word and word.action == "restore" else Edit.relabel(settings.check_label(label))
    return Edit.reject(check_reason(reject)) if reject is not None else Edit.restore()


def add_decisions(catalog: Catalog, image_ids: Iterable[str], edit: Edit, reason: str) -> list[Decision]:
    """Apply the same edit to each image in the name of the person at the keyboard, in one transaction."""
    person = current_person()
    with catalog.transaction():
        decisions = [catalog.decisions.add(image_id, edit, by=person, reason=reason) for image_id in dict.fromkeys(image_ids)]
    return [decision for decision in decisions if decision]


def list_decisions(workspace: Workspace, prefix: str | None = None) -> list[Decision]:
    """Return every decision, oldest first, or those about the image whose id begins with `prefix`."""
    with Catalog.open(workspace) as catalog:
        return catalog.decisions.all(find_image_id(catalog, prefix) if prefix else None)


def history_table(decisions: Sequence[Decision]) -> str:
    """Return the decisions as a table."""
    if not decisions:
        return "no decisions yet"
    return render_table(
        ("time (UTC)", "by", "image", "decision", "reason"),
        [
            (
                decision.time[:19].replace("T", " "),
                f"{decision.actor_kind}:{decision.actor}",
                decision.image_id[:12],
                describe_decision(decision),
                f"undo of {decision.undoes[:19].replace('T', ' ')}" if decision.undoes else decision.reason,
            )
            for decision in decisions
        ],
    )


def describe_decision(decision: Decision) -> str:
    """Return the change of one decision, for people."""
    if decision.action == "rename":
        return f"category {decision.old_label} -> {decision.new_label}"
    if decision.action == "apart":
        return f"no copy of {decision.other_image_id[:12]}"
    return f"{decision.before} -> {'restored' if decision.action == 'restore' else decision.after}"
