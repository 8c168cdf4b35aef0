"""Rename a category everywhere in the catalog, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fototeca.collect.catalog import Actor, Catalog, Edit, ImageRow, rename_in_label
from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.settings import to_nfc
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.categories import categories_by_image, split_label
from fototeca.curate.labels.decisions import current_person
from fototeca.curate.review.queues import answered_issues, rename_in_label_issues


@dataclass(frozen=True)
class LabelChange(Result):
    """An image whose label changed with the name of a category."""

    image_id: str
    old_label: str
    new_label: str


def rename_category(workspace: Workspace, old: str, new: str) -> list[LabelChange]:
    """Replace the category `old` by `new` in labels, provenance and label issues; return the changed labels.

    Nobody has looked at the images for this, so it does not mark them as reviewed. Images that had `old` before and have another
    label now get a decision too, so that earlier decisions count under the new name. FototecaError if `new` is not a category or
    nothing has `old`.
    """
    new = workspace.settings.check(new)
    with Catalog.open(workspace) as catalog, catalog.planned_transaction(lambda: _plan_rename(catalog, old)) as plan:
        if plan.old == new:
            raise FototecaError(f"the category is already named {plan.old!r}", "pass a different name with --label")
        if not _rename_in_provenance(catalog, plan.old, new) and not plan.images:
            raise FototecaError(f"no image has the category {plan.old!r}", "see the categories of images: fototeca status")
        rename_in_label_issues(catalog, plan.answered, plan.old, new)
        person = current_person()
        changes = [_rename_in_image(catalog, image, plan.old, new, person) for image in plan.images]
        return [change for change in changes if change.old_label != change.new_label]


@dataclass(frozen=True)
class _Plan:
    """The category as the catalog spells it, the images that have or had it, and the answered label issues."""

    old: str
    images: Sequence[ImageRow]
    answered: Mapping[str, Sequence[str]]


def _plan_rename(catalog: Catalog, old: str) -> _Plan:
    categories = categories_by_image(catalog.decisions.all())
    old = old if any(old in names for names in categories.values()) else to_nfc(old)
    images = [image for image in catalog.images.all() if old in categories.get(image.image_id, ())]
    return _Plan(old, images, answered_issues(catalog))


def _rename_in_provenance(catalog: Catalog, old: str, new: str) -> int:
    """Rename the category for which candidates were found, also of those fetched later; return the number of places."""
    return sum(
        catalog.provenance.replace_category(category, rename_in_label(category, old, new))
        for category in catalog.provenance.categories()
        if old in split_label(category)
    )


def _rename_in_image(catalog: Catalog, image: ImageRow, old: str, new: str, person: Actor) -> LabelChange:
    catalog.decisions.add(image.image_id, Edit.rename(old, new), by=person)
    return LabelChange(image.image_id, image.label, rename_in_label(image.label, old, new))
