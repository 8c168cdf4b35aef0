"""Choose the images of a duplicate group that stay in the dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from fototeca.collect.catalog import ImageRow
from fototeca.curate.duplicates.clustering import BAD_COPY
from fototeca.curate.labels.categories import differing_labels


def choose_representatives(
    ranked: Sequence[ImageRow], digests: Mapping[str, bytes], held_out: Collection[str], keep_near: bool
) -> set[str]:
    """Return the ids of the images that are not set aside.

    These are the best image, images held out for test, with `keep_near` the best of each set of equal pixels, and where labels
    contradict each other the best of each label: which of them is right, a person decides. Images with the pixels of a better
    one are set aside under any label, and so are all others of a group whose best image was rejected for its content.

    Args:
        ranked: the members, best first.
        digests: digest of the pixels by image id.
        held_out: ids of images in the test split of an earlier version.
        keep_near: set aside equal pixels only.
    """
    labels = set(differing_labels(image.label for image in ranked if not image.rejected))
    excluded = ranked[0].rejected not in ("", BAD_COPY)
    chosen: set[str] = set()
    pixels: set[bytes] = set()
    represented: set[str] = set()
    for image in ranked:
        digest = digests[image.image_id]
        new_label = image.label in labels - represented and not excluded and not image.rejected
        if not chosen or image.image_id in held_out or (digest not in pixels and (keep_near or new_label)):
            chosen.add(image.image_id)
            represented.update([image.label] if not image.rejected else [])
        pixels.add(digest)
    return chosen
