"""Group the images around some images again, after a person's word about them changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.dedup import DEFAULT_THRESHOLD, KEEP_NEAR, _find_groups, _group_rows, _read_priorities
from fototeca.curate.duplicates.signatures import load_signatures
from fototeca.curate.snapshot.catalog_state import THRESHOLD


def regroup(workspace: Workspace, catalog: Catalog, image_ids: Collection[str]) -> None:
    """Group again all images that a group, a component or ties connect with `image_ids`; the others stay as they are.

    The settings are those of the last search. Only pairs that it has not compared are compared.
    """
    members = _connected(catalog, image_ids)
    known = {image.image_id: image for image in members}
    signatures = load_signatures(workspace, catalog, members)
    threshold = int(catalog.metadata.get(THRESHOLD) or DEFAULT_THRESHOLD)
    groups, components = _find_groups(catalog, signatures, known, threshold)
    keep_near = bool(catalog.metadata.get(KEEP_NEAR))
    rows = _group_rows(signatures, known, groups, _read_priorities(workspace, catalog, known), keep_near)
    catalog.groups.replace_members(list(known), rows, components, ())


def _connected(catalog: Catalog, image_ids: Collection[str]) -> list[ImageRow]:
    """Return the images that groups, components and ties connect with `image_ids`, over any number of steps."""
    images = catalog.images.all()
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
