"""What the keyboard page asks and decides. Knows neither HTTP nor FiftyOne; every decision is in the catalog when it returns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fototeca.collect.catalog import Catalog, Decision, ImageRow
from fototeca.core.errors import EXIT_SHORT, FototecaError
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import choose, decide_all, person
from fototeca.curate.labels.review_state import Judgement, said_by_people
from fototeca.curate.quality.checks import found_by_image
from fototeca.curate.review.queues import DUPLICATE, QUEUES, ReviewItem, in_queue, last_said, list_items
from fototeca.curate.review.thumbnails import make_thumbnail
from fototeca.curate.review.undo import take_back

CATEGORY = "category:"
"""Begins the name of a category's queue."""

WHY = "review page"


class StaleError(FototecaError):
    """Somebody decided about an image after it was shown."""


class ReviewSession:
    """One reviewer's view of a workspace. Safe to ask from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.who = person()
        self.items: Mapping[str, ReviewItem] = {}
        self.mine: set[str] = set()

    def overview(self) -> dict[str, Any]:
        """The task, and every queue with how many images it has and how many of them wait for this reviewer."""
        self._read()
        settings = self.workspace.settings
        queues = []
        for name in (*QUEUES, *(CATEGORY + category for category in settings.names)):
            waiting = [waits for _, waits in self.queue(name)]
            queues.append({"name": name, "images": len(waiting), "waiting": sum(waiting)})
        return {
            "dataset": settings.name,
            "task": settings.task,
            "categories": settings.names,
            "reviewer": self.who.partition(":")[2],
            "queues": queues,
            **self.progress(),
        }

    def progress(self) -> dict[str, int]:
        """How many images there are, set-aside and rejected ones left out, and how many of them somebody reviewed."""
        with Catalog.open(self.workspace) as catalog:
            images, reviewed = catalog.connection.execute(
                "SELECT count(*), coalesce(sum(reviewed), 0) FROM images LEFT JOIN groups USING (image_id)"
                " WHERE rejected = '' AND (keep OR coalesce(kept, 1))"
            ).fetchone()
        return {"images": images, "reviewed": reviewed}

    def queue(self, name: str) -> list[tuple[str, bool]]:
        """The images of a queue in order, each with whether it waits for this reviewer, as the last `overview` found them.

        FototecaError for an unknown name.
        """
        items = list(self.items.values())
        if name in QUEUES:
            found = in_queue(items, name)
        elif name.startswith(CATEGORY):
            category = self.workspace.settings.check(name[len(CATEGORY) :])
            found = [item for item in items if category in item.image.label.split(LABEL_SEPARATOR)]
        else:
            raise FototecaError(f"no queue {name!r}", f"there are: {', '.join(QUEUES)}, {CATEGORY}NAME")
        always = name in QUEUES and name != DUPLICATE  # a group waits for members that one has decided on too
        return [(item.image.image_id, always or item.image.image_id not in self.mine) for item in found]

    def show(self, image_id: str) -> dict[str, Any]:
        """All that a reviewer wants to know about an image, as it is now. FototecaError when there is none."""
        with Catalog.open(self.workspace) as catalog:
            image = self._image(catalog, image_id)
            item = self.items.get(image_id)
            places = catalog.findings(image_id)
            said = last_said(catalog.decisions(image_id)).get(image_id, {})
            return {
                **_card(image),
                "width": image.width,
                "height": image.height,
                "suggested": item.suggested if item else "",
                "suspicion": item.suspicion if item else 0,
                "evidence": [_card(other) for other in _evidence(catalog, image_id)],
                "also": item.also if item else (),
                "findings": item.findings if item else (),
                "places": [
                    {"source": place.source, "page": place.page_url, "author": place.author, "license": place.license}
                    for place in places
                ],
                "said": [{"who": who.partition(":")[2], "new": new} for who, new in said.items() if who != self.who],
                "mine": self.who in said,
                "group": [_card(member) for member in _members(catalog, image)],
            }

    def decide(
        self,
        seen: Mapping[str, str],
        image_id: str,
        *,
        group: bool,
        label: str | None = None,
        reject: str | None = None,
        restore: bool = False,
    ) -> list[Decision]:
        """Decide about an image, or with `group` about all of its group that are not rejected.

        `seen`: what each of them said when it was shown. StaleError, and nothing is written, when one says something else by now.
        """
        new = choose(self.workspace.settings, label=label, reject=reject, restore=restore)
        with Catalog.open(self.workspace) as catalog, catalog.transaction():
            image = self._image(catalog, image_id)
            members = [member for member in _members(catalog, image) if group and not member.rejected]
            for member in (image, *members):
                if seen.get(member.image_id) != Judgement.of_image(member).encode():
                    raise StaleError(f"{member.image_id[:12]} was decided on meanwhile", "look at it again", EXIT_SHORT)
            return decide_all(catalog, [image_id, *(member.image_id for member in members)], new, WHY)

    def undo(self, decision_ids: list[int]) -> list[Decision]:
        """Take this reviewer's decisions back."""
        return take_back(self.workspace, decision_ids)

    def image_file(self, image_id: str, *, small: bool) -> tuple[Path, str]:
        """The file to show, and Pillow's name of its format. FototecaError when it is not there or not in the store."""
        with Catalog.open(self.workspace) as catalog:
            image = self._image(catalog, image_id)
        thumbnail = make_thumbnail(self.workspace, image) if small else None
        path = (thumbnail or self.workspace.root / image.path).resolve()
        inside = any(path.is_relative_to(folder.resolve()) for folder in (self.workspace.images, self.workspace.cache))
        if not inside or not path.is_file():
            raise FototecaError(f"the file of {image_id[:12]} is not in the store", "run: fototeca curate check")
        return path, "JPEG" if thumbnail else image.format

    def _read(self) -> None:
        with Catalog.open(self.workspace) as catalog:
            items = list_items(catalog, self.workspace.settings.names, found_by_image(catalog))
            self.mine = {row.image_id for row in said_by_people(catalog.decisions()) if row.who == self.who}
        self.items = {item.image.image_id: item for item in items}

    @staticmethod
    def _image(catalog: Catalog, image_id: str) -> ImageRow:
        image = catalog.image(image_id)
        if image is None:
            raise FototecaError(f"no image {image_id[:64]!r}", "load the page again")
        return image


def _card(image: ImageRow) -> dict[str, Any]:
    """An image in short; `seen` is to be sent back with a decision."""
    return {
        "image_id": image.image_id,
        "label": image.label,
        "status": image.status,
        "rejected": image.rejected,
        "reviewed": image.reviewed,
        "seen": Judgement.of_image(image).encode(),
    }


def _members(catalog: Catalog, image: ImageRow) -> list[ImageRow]:
    """The other images of its near-duplicate group."""
    rows = catalog.connection.execute(
        "SELECT image_id FROM groups WHERE group_id = ? AND image_id != ? ORDER BY kept DESC, image_id",
        (image.group, image.image_id),
    )
    return [found for row in rows.fetchall() if (found := catalog.image(row["image_id"]))]


def _evidence(catalog: Catalog, image_id: str) -> list[ImageRow]:
    """The nearest images by which a suggestion was made."""
    row = catalog.connection.execute("SELECT neighbours FROM suggestions WHERE image_id = ?", (image_id,)).fetchone()
    return [found for name in (row["neighbours"].split() if row else []) if (found := catalog.image(name))]
