"""Label decisions on behalf of a person: relabel, reject, restore, and the log of who decided what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fototeca.collect.catalog import PERSON, REJECT, RESTORE, Catalog, Decision, ImageRow, replace_surrogates, user_name
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR, Settings, Task
from fototeca.core.workspace import Workspace


def check_task(images: Iterable[ImageRow], task: Task) -> None:
    """FototecaError where images carry several labels and the task knows of one."""
    several = sum(LABEL_SEPARATOR in image.label for image in images) if task == "single" else 0
    if several:
        hint = 'write task = "multi" there again, or give each of them one label: fototeca curate label'
        raise FototecaError(f"{several} images carry several labels, and fototeca.toml says single", hint)


def person() -> str:
    """The `who` of a decision made here: FOTOTECA_USER, else the login name."""
    return PERSON + user_name()


def check_reason(reason: str) -> str:
    """`reason` if it is a short word of letters, digits and `-`; else FototecaError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}", reason):
        raise FototecaError(f"reason {reason!r} will not do", "use one short word, such as off-topic, drawing or bad-quality")
    return reason.lower()


def find_image_id(catalog: Catalog, prefix: str) -> str:
    """The one image whose id begins with `prefix`; FototecaError when none or several do."""
    if not re.fullmatch(r"[0-9a-f]{1,64}", prefix.lower()):
        raise FototecaError(f"{prefix!r} is no image id", "ids are hexadecimal: see fototeca curate groups or the manifest")
    low = prefix.lower()
    rows = catalog.connection.execute(
        "SELECT image_id FROM images WHERE image_id >= ? AND image_id < ? LIMIT 2", (low, low + "g")
    ).fetchall()
    if not rows:
        raise FototecaError(f"no image {prefix!r}", "ids are in the manifest and in: fototeca curate groups")
    if len(rows) > 1:
        raise FototecaError(f"{prefix!r} begins the ids of several images", "give more of the id")
    return str(rows[0]["image_id"])


def label_images(
    workspace: Workspace,
    prefixes: Sequence[str],
    *,
    label: str | None = None,
    reject: str | None = None,
    restore: bool = False,
    why: str = "",
) -> list[Decision]:
    """Decide about images in the name of the person at the keyboard; all of them, or on an error none.

    Exactly one of `label`, `reject` and `restore` must be given. Returns the decisions written.
    """
    new = choose(workspace.settings, label=label, reject=reject, restore=restore)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        return decide_all(
            catalog, [find_image_id(catalog, prefix) for prefix in prefixes], new, replace_surrogates(why) or "curate label"
        )


def choose(settings: Settings, *, label: str | None = None, reject: str | None = None, restore: bool = False) -> str:
    """What a decision's `new` says. FototecaError for an unknown label, a reason that will not do, or not exactly one choice."""
    if (label is not None) + (reject is not None) + restore != 1:
        raise FototecaError("say what to decide", "give one of --label L, --reject REASON and --restore")
    if label is not None:
        return settings.check_label(label)
    return REJECT + check_reason(reject) if reject is not None else RESTORE


def decide_all(catalog: Catalog, image_ids: Iterable[str], new: str, why: str) -> list[Decision]:
    """The same decision about each image, in the name of the person at the keyboard; all or none."""
    who = person()
    with catalog.transaction():
        decisions = [catalog.decide(image_id, new, who=who, why=why) for image_id in dict.fromkeys(image_ids)]
    return [decision for decision in decisions if decision]


def list_decisions(workspace: Workspace, prefix: str | None = None) -> list[Decision]:
    """Every decision, oldest first, or those about the image whose id begins with `prefix`."""
    with Catalog.open(workspace) as catalog:
        return catalog.decisions(find_image_id(catalog, prefix) if prefix else None)


def decisions_table(decisions: Sequence[Decision]) -> str:
    """The log for people."""
    if not decisions:
        return "no decisions yet"
    lines = (
        f"{decision.time[:19].replace('T', ' ')}  {decision.who:<20}  {decision.image_id[:12]}"
        f"  {decision.old or '(none)'} -> {decision.new or '(none)'}  {decision.why}"
        for decision in decisions
    )
    return "\n".join(lines)
