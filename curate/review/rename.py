"""A category that changes its name: everything that the catalog knows under the old one, in one transaction."""

from __future__ import annotations

from fototeca.collect.catalog import REJECT, RENAME, Catalog, Decision, ImageRow
from fototeca.core.errors import FototecaError
from fototeca.core.settings import to_nfc
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.categories import names_said, renamed, split_label, why_renamed
from fototeca.curate.labels.decisions import person
from fototeca.curate.review.queues import rename_suggestions


def rename_category(workspace: Workspace, old: str, new: str) -> list[Decision]:
    """Give everything that is of `old` the category `new` in its place; returns the decisions that changed a label.

    Nobody looked at the images for this, so it reviews none. What was said of an image before is of `new` too, also where its
    label is another by now. FototecaError when `new` is no category or nothing is of `old`.
    """
    new = workspace.settings.check(new)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        said = names_said(catalog.decisions())
        old = old if any(old in names for names in said.values()) else to_nfc(old)
        if old == new:
            raise FototecaError(f"{old!r} is its name already", "name another one with --label")
        images = [image for image in catalog.images() if old in said.get(image.image_id, ())]
        if not _rename_findings(catalog, old, new) and not images:
            raise FototecaError(f"no image carries {old!r}", "see which categories they carry: fototeca status")
        rename_suggestions(catalog, old, new)
        written = [decision for image in images for decision in _rename_label(catalog, image, old, new)]
        return [decision for decision in written if decision.new != decision.old]


def _rename_findings(catalog: Catalog, old: str, new: str) -> int:
    """Let candidates be found under the new name, those too that are fetched later; how many places that were.

    A place that was found under both names keeps its row, which says no category and, beside the query, the old one.
    """
    sql, count = catalog.connection, 0
    for row in sql.execute("SELECT DISTINCT category FROM findings").fetchall():
        category = row["category"]
        if old in split_label(category):
            count += sql.execute(
                "UPDATE OR IGNORE findings SET category = ? WHERE category = ?", (renamed(category, old, new), category)
            ).rowcount
            also = "UPDATE OR IGNORE findings SET category = '', query = query || ? WHERE category = ?"
            count += sql.execute(also, (f" ({category})", category)).rowcount
    return count


def _rename_label(catalog: Catalog, image: ImageRow, old: str, new: str) -> list[Decision]:
    """The decisions that change one image's label, or leave it and hold for what was said; a rejected one stays rejected."""
    who, why, label = RENAME + person().partition(":")[2], why_renamed(old, new), renamed(image.label, old, new)
    rejected = [REJECT + image.rejected] if image.rejected else []
    steps = [label, *rejected] if label != image.label else rejected or [label]
    written = [catalog.decide(image.image_id, step, who=who, why=why) for step in steps]
    return [decision for decision in written if decision]
