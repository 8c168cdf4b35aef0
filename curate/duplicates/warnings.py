"""Warnings after a search for duplicates: groups that span categories, and categories that lose many images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from fototeca.collect.catalog import ImageRow
from fototeca.core.settings import LABEL_SEPARATOR, Settings
from fototeca.curate.labels.categories import differing_labels

MAX_SHARE = 0.2
"""Share of a category above which images set aside are reported."""

MAX_GROUPS = 3
"""Groups that a warning lists."""


def dedup_warnings(images: Sequence[ImageRow], settings: Settings) -> list[str]:
    """Return a line for each fact about the images that a person should know before freezing.

    `images`: every image after the search. Rejected images and images without a label do not count.
    """
    counted = [image for image in images if not image.rejected and image.label]
    return [*_spanning_groups(counted), *_lost_images(counted, settings)]


def camera_warnings(sizes: Sequence[int]) -> list[str]:
    """Return a line about sets of images that look alike but for small places.

    `sizes`: their numbers of images, the largest first.
    """
    if not sizes:
        return []
    listed = ", ".join(str(size) for size in sizes[:MAX_GROUPS])
    more = f" and {len(sizes) - MAX_GROUPS} more sets" if len(sizes) > MAX_GROUPS else ""
    return [
        f"warning: fixed camera or one template: {listed} images{more} look alike but for small places; they are not copies,"
        " and splits do not keep them together; to keep takes or sessions together: fototeca collect folder --group-by"
    ]


def _spanning_groups(images: Iterable[ImageRow]) -> list[str]:
    groups: dict[str, list[ImageRow]] = defaultdict(list)
    for image in images:
        if image.group:
            groups[image.group].append(image)
    spanning = {name: members for name, members in groups.items() if differing_labels(image.label for image in members)}
    if not spanning:
        return []
    largest = sorted(spanning, key=lambda name: (-len(spanning[name]), name))
    listed = "; ".join(_describe_group(spanning[name]) for name in largest[:MAX_GROUPS])
    more = f"; and {len(spanning) - MAX_GROUPS} more" if len(spanning) > MAX_GROUPS else ""
    number = "1 group of copies spans" if len(spanning) == 1 else f"{len(spanning)} groups of copies span"
    return [
        f"warning: label conflict: {number} several categories: {listed}{more};"
        " give copies one label: fototeca curate review --web; or declare them no copies: fototeca curate apart IMAGE_ID IMAGE_ID"
    ]


def _describe_group(members: Sequence[ImageRow]) -> str:
    """Return an image of each label, with the number of images of that label."""
    counts = Counter(image.label for image in members)
    first = {image.label: image.image_id[:12] for image in reversed(members)}
    return ", ".join(f"{label} {count} ({first[label]})" for label, count in sorted(counts.items()))


def _lost_images(images: Iterable[ImageRow], settings: Settings) -> list[str]:
    """Return the warnings about categories of which much is set aside, or too little is left."""
    found: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    for image in images:
        names = image.label.split(LABEL_SEPARATOR)
        found.update(names)
        accepted.update(names if image.status == "accepted" else ())
    lines = []
    for name in settings.names:
        lost = found[name] - accepted[name]
        if lost > MAX_SHARE * found[name]:
            lines.append(
                f"warning: {lost} of {found[name]} images of {name} ({lost / found[name]:.0%}) are set aside as copies;"
                " check them: fototeca curate groups; declare images no copies: fototeca curate apart IMAGE_ID IMAGE_ID"
            )
        if found[name] >= settings.target > accepted[name]:
            lines.append(
                f"warning: {name} falls below its target of {settings.target}: {accepted[name]} images are left of {found[name]}"
            )
    return lines
