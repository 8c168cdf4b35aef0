"""Which images must share a split: near-duplicates, also across groups that were cut, and augmented copies of one original."""

from __future__ import annotations

from collections import defaultdict

from fototeca.curate.snapshot.catalog_state import State


def find_units(state: State) -> dict[str, str]:
    """The unit of every image, set-aside and rejected ones included.

    A unit bears the id of its near-duplicate group (the smallest, where verified pairs or an original tie several groups
    together); of copies of an original that are in no group, the id of the image that was there first; alone, its own id.
    """
    parents = {image.image_id: image.image_id for image in state.images}

    def root(image_id: str) -> str:
        while parents[image_id] != image_id:
            parents[image_id] = parents[parents[image_id]]
            image_id = parents[image_id]
        return image_id

    first: dict[str, str] = {}
    for image in state.images:
        ties = {f"original {name}" for name in state.originals.get(image.image_id, ())}
        ties |= {f"{kind} {name}" for kind, name in (("group", image.group), ("component", image.component)) if name}
        for tie in ties:
            parents[root(image.image_id)] = root(first.setdefault(tie, image.image_id))
    members = defaultdict(list)
    for image in state.images:
        members[root(image.image_id)].append(image)
    found = {}
    for images in members.values():
        groups = [image.group for image in images if image.group]
        oldest = min(images, key=lambda image: (image.added, image.image_id))
        found.update(dict.fromkeys((image.image_id for image in images), min(groups, default=oldest.image_id)))
    return found
