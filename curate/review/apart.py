"""Images that are different images: by declaration, and by restoring an image that a copy pushed out.

The decisions are written first, in one transaction; groups, components and with them the split groups follow at once. Should the
process end in between, `regroup_apart` completes the work at the next decision or freeze.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fototeca.collect.catalog import Catalog, Decision, Edit, replace_surrogates
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.regroup import regroup
from fototeca.curate.labels.apart import add_apart, all_pairs, read_apart_partners
from fototeca.curate.labels.decisions import DEFAULT_COMMENT, add_decisions, current_person, find_image_id

APART_COMMENT = "curate apart"


def declare_apart(workspace: Workspace, image_ids: Sequence[str], *, comment: str = "") -> list[Decision]:
    """Declare images to be no copies of each other, for every search to come; their groups and splits follow at once.

    `image_ids` may be unique beginnings of ids. Returns the decisions written: one for each pair that the person at the keyboard
    has not declared before. FototecaError for an unknown id or fewer than two images.

    Example:
        >>> declare_apart(workspace, ["3fa2b7", "91cc04"])
    """
    with Catalog.open(workspace) as catalog:
        with catalog.transaction():
            ids = {find_image_id(catalog, prefix) for prefix in image_ids}
            if len(ids) < 2:
                raise FototecaError("at least two images are needed", "give the ids of images that are different images")
            reason = replace_surrogates(comment) or APART_COMMENT
            decisions = add_apart(catalog, all_pairs(ids), by=current_person(), reason=reason)
        regroup_apart(workspace, catalog)
    return decisions


def restore_images(workspace: Workspace, image_ids: Sequence[str], *, comment: str = "") -> list[Decision]:
    """Bring rejected or set-aside images back under their label; on an error, none of them.

    An image that was set aside is thereby declared to be no copy of the images that represent its group. `image_ids` may be
    unique beginnings of ids. Returns the decisions written. FototecaError for an unknown id.
    """
    with Catalog.open(workspace) as catalog:
        with catalog.transaction():
            ids = [find_image_id(catalog, prefix) for prefix in image_ids]
            decisions = add_edit(catalog, ids, Edit.restore(), replace_surrogates(comment) or DEFAULT_COMMENT)
        regroup_apart(workspace, catalog)
    return decisions


def add_edit(catalog: Catalog, image_ids: Iterable[str], edit: Edit, reason: str) -> list[Decision]:
    """Apply an edit to images in the name of the person at the keyboard, with the pairs that a restoration declares.

    Call it in a transaction, and `regroup_apart` after that.
    """
    ids = list(dict.fromkeys(image_ids))
    pairs = [pair for image_id in ids for pair in _pairs_of_restored(catalog, image_id)] if edit.action == "restore" else []
    decisions = add_decisions(catalog, ids, edit, reason)
    return [*decisions, *add_apart(catalog, pairs, by=current_person(), reason=reason)]


def regroup_apart(workspace: Workspace, catalog: Catalog, image_ids: Iterable[str] = ()) -> None:
    """Group again the images that are apart and still in one group, and `image_ids` with their copies."""
    group_of = {row.image_id: row.group_id for row in catalog.groups.all()}
    stale = {
        image_id
        for image_id, others in read_apart_partners(catalog).items()
        if image_id in group_of and any(group_of.get(other) == group_of[image_id] for other in others)
    }
    if stale := stale | {*image_ids}:
        regroup(workspace, catalog, stale)


def find_copies(catalog: Catalog, image_id: str) -> set[str]:
    """Return the other images of an image's group, and those with a tie to it that sets nothing aside."""
    image = catalog.images.get(image_id)
    copies = set(catalog.groups.members(image.group)) if image and image.group else set()
    ties = [(tie.a, tie.b) for tie in catalog.groups.ties() if image_id in (tie.a, tie.b)]
    return copies.union(*ties) - {image_id}


def _pairs_of_restored(catalog: Catalog, image_id: str) -> list[tuple[str, str]]:
    """Return the pairs of a set-aside image with the images that represent its group."""
    image = catalog.images.get(image_id)
    if image is None or image.status != "duplicate":
        return []
    others = [catalog.images.get(other) for other in catalog.groups.members(image.group) if other != image_id]
    return [(image_id, other.image_id) for other in others if other and other.is_representative]
