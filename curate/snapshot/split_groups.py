"""Groups of images that must share a split: near-duplicates, augmented copies of one original, source groups, scenes."""

from __future__ import annotations

from collections import defaultdict

from fototeca.curate.snapshot.catalog_state import CatalogSnapshot
from fototeca.curate.union_find import UnionFind


def find_split_groups(snapshot: CatalogSnapshot) -> dict[str, str]:
    """Return the id of the split group of every image, set-aside and rejected images included.

    The id is that of the near-duplicate group (the smallest, where verified pairs or a source connect several groups);
    without one, the id of the image added first, which for a single image is its own id.
    """
    images = snapshot.images
    sets = UnionFind(len(images))
    first: dict[str, int] = {}
    for index, image in enumerate(images):
        keys = {f"source {name}" for name in snapshot.source_groups.get(image.image_id, ())}
        named = (("group", image.group), ("component", image.component), ("scene", snapshot.scenes.get(image.image_id, "")))
        keys |= {f"{kind} {name}" for kind, name in named if name}
        for key in keys:
            if first.setdefault(key, index) != index:
                sets.union(first[key], index)
    members = defaultdict(list)
    for image, root in zip(images, sets.roots().tolist(), strict=True):
        members[root].append(image)
    split_groups = {}
    for connected in members.values():
        oldest = min(connected, key=lambda image: (image.added, image.image_id))
        group_id = min((image.group for image in connected if image.group), default=oldest.image_id)
        split_groups.update(dict.fromkeys((image.image_id for image in connected), group_id))
    return split_groups
