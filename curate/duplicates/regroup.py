"""Group the images around some images again, after a person's word about them changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.grouping import SearchOptions, group_images
from fototeca.curate.duplicates.signatures import load_signatures


def regroup(workspace: Workspace, catalog: Catalog, image_ids: Collection[str]) -> None:
    """Group again all images that a group, a component or ties connect with `image_ids`; the others stay as they are.

    The settings are those of the last search. Only pairs that it has not compared are compared.
    """
    members = _connected(catalog, image_ids)
    known = {image.image_id: image for image in members}
    signatures = load_signatures(workspace, catalog, members)
    total = len(catalog.images.all())
    grouping = group_images(workspace, catalog, signatures, known, SearchOptions.load(catalog), total)
    catalog.groups.replace_members(list(known), grouping.rows, grouping.components, grouping.ties)


def _connected(catalog: Catalog, image_ids: Collection[str]) -> list[ImageRow]:
    """Return the images that groups, components and ties connect with `image_ids`, over any number of steps."""
    images = [image for image in catalog.images.all() if not image.erased]
    neighbors = [(f"group {image.group}", image.image_id) for image in images if image.group]
    neighbors += [(f"component {image.component}", image.image_id) for image in images if image.component]
    neighbors += [(tie.a, tie.b) for tie in catalog.groups.ties()]
    graph: dict[str, set[str]] = defaultdict(set)
    for first, second in neighbors:
        graph[first].add(second)
        graph[second].add(first)
    reached, pending = set(image_ids), list(image_ids)
    while pending:
        new = graph.get(pending.pop(), set()) - reached
        reached |= new
        pending += new
    return [image for image in images if image.image_id in reached]
