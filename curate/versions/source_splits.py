"""Splits that came with a source: which groups keep them, and which groups of a source leak from one split into another.

A frozen split wins over a source's. Among images never frozen, the split of a group is the source's; where its images are in
several splits, test wins over val over train. A category for which sources give no val or test gets them from its train images.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from fototeca.collect.catalog import ImageRow
from fototeca.core.counting import count_of
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.curate.manifest import SPLITS, Manifest, SplitName, encode_splits
from fototeca.curate.versions.splits import merge_splits

_MAX_LISTED = 3
"""Groups or categories that a line names."""

_NOT_KEPT = "taken for a missing split, frozen before, or of a group that leaks"


@dataclass(frozen=True)
class SourceSplits:
    """Splits that sources give, resolved by group."""

    by_group: Mapping[str, SplitName] = field(default_factory=dict)
    """Split of each group without frozen images."""

    by_image: Mapping[str, SplitName] = field(default_factory=dict)
    """Split of each image as its source gives it, frozen images included; test before val before train."""

    leaks: tuple[dict[str, Any], ...] = ()
    """Groups in several splits: group, splits, split (the resulting one), frozen (an image was frozen), image_ids."""

    missing: Mapping[str, tuple[SplitName, ...]] = field(default_factory=dict)
    """Of val and test, those that no source leaves a category, leaks resolved; categories that lack none are absent."""

    def encode(self, image_ids: Iterable[str]) -> str:
        """Return one character for each image in the order of their ids: 0 train, 1 val, 2 test, - none; "" if all have none."""
        if not self.by_image:
            return ""
        splits = (self.by_image.get(image_id) for image_id in sorted(image_ids))
        return "".join(str(SPLITS.index(split)) if split else "-" for split in splits)

    def allowed(self, group_id: str, labels: Collection[str]) -> tuple[SplitName, ...]:
        """Return the splits that a group may be assigned to: its source's, or for train also those that its labels lack."""
        split = self.by_group.get(group_id)
        if split != "train":
            return (split,) if split else SPLITS
        lacking = [set(self.missing.get(label, ())) for label in labels]
        return tuple(name for name in SPLITS if name == split or (lacking and all(name in names for names in lacking)))


def resolve_source_splits(
    images: Sequence[ImageRow],
    given: Mapping[str, Collection[str]],
    group_of: Mapping[str, str],
    frozen_images: Collection[str],
    frozen_groups: Mapping[str, SplitName],
) -> SourceSplits:
    """Resolve the splits of sources by group.

    Args:
        images: images of the catalog; rejected ones do not count.
        given: splits that sources give, by image.
        group_of: split group of each image.
        frozen_images: images of earlier versions.
        frozen_groups: split of the groups with an image in an earlier version.
    """
    members: dict[str, list[ImageRow]] = defaultdict(list)
    for image in images:
        if image.status != "rejected" and given.get(image.image_id):
            members[group_of[image.image_id]].append(image)
    by_group: dict[str, SplitName] = {}
    leaks = []
    for group_id, images_of_group in sorted(members.items()):
        splits = {name for image in images_of_group for name in given[image.image_id]}
        frozen = frozen_groups.get(group_id)
        never_frozen = {
            name for image in images_of_group if image.image_id not in frozen_images for name in given[image.image_id]
        }
        split = frozen or _merge(splits)
        if frozen is None:
            by_group[group_id] = split
        if len(splits) > 1 or never_frozen - {split}:
            leaks.append(
                {
                    "group": group_id,
                    "splits": [name for name in SPLITS if name in splits],
                    "split": split,
                    "frozen": frozen is not None,
                    "image_ids": sorted(image.image_id for image in images_of_group),
                }
            )
    counted = [image for image in images if image.status == "accepted" and given.get(image.image_id)]
    by_image = {image.image_id: _merge(given[image.image_id]) for image in counted}
    resolved = {**by_group, **frozen_groups}
    missing = _find_missing(counted, {image.image_id: resolved[group_of[image.image_id]] for image in counted})
    return SourceSplits(by_group, by_image, tuple(leaks), missing)


def _merge(splits: Collection[str]) -> SplitName:
    """Return the first of test, val and train that is among `splits`, which are not empty."""
    return cast("SplitName", merge_splits(cast("Collection[SplitName]", splits)))


def _find_missing(images: Sequence[ImageRow], splits: Mapping[str, SplitName]) -> dict[str, tuple[SplitName, ...]]:
    """Return for each category the splits other than train that none of its images has, leaks resolved.

    `images`: those for which a source gives a split. `splits`: the split of their group.
    """
    present: dict[str, set[str]] = defaultdict(set)
    for image in images:
        for label in image.label.split(LABEL_SEPARATOR):
            present[label].add(splits[image.image_id])
    lacking = {label: tuple(name for name in SPLITS if name not in {"train", *names}) for label, names in present.items()}
    return {label: names for label, names in sorted(lacking.items()) if names and label}


def source_split_lines(manifest: Manifest, file_names: Mapping[str, str]) -> list[str]:
    """Return the lines that state for people which splits of sources a version keeps, and which it does not.

    Args:
        manifest: a version that was just frozen.
        file_names: original names of images, by id.
    """
    lines = []
    given, used = manifest.source_splits, encode_splits(manifest.rows)
    if given.strip("-"):
        kept = Counter(split for split, own in zip(given, used, strict=True) if split == own)
        counts = ", ".join(f"{kept[str(index)]} {name}" for index, name in enumerate(SPLITS))
        lines.append(f"splits of the sources kept: {counts} images")
        moved = sum(split not in ("-", own) for split, own in zip(given, used, strict=True))
        if moved:
            lines.append(count_of(moved, "image is", "images are") + f" in another split than the source gives: {_NOT_KEPT}")
    for split in SPLITS[1:]:
        if labels := [label for label, missing in manifest.missing_splits.items() if split in missing]:
            listed = ", ".join(labels[:_MAX_LISTED]) + (f" and {len(labels) - _MAX_LISTED} more" * (len(labels) > _MAX_LISTED))
            lines.append(f"the sources give no {split} images of {listed}: they are taken from train")
    for frozen in (False, True):
        if leaks := [leak for leak in manifest.leaks if leak["frozen"] == frozen]:
            lines.append(_describe_leaks(leaks, frozen, file_names))
    return lines


def _describe_leaks(leaks: Sequence[Mapping[str, Any]], frozen: bool, file_names: Mapping[str, str]) -> str:
    """Return a line about groups in several splits, with the first of them."""
    listed = []
    for leak in leaks[:_MAX_LISTED]:
        ids = leak["image_ids"]
        names = " = ".join(file_names.get(image_id) or image_id[:12] for image_id in ids[:2])
        listed.append(f"{names}{' = …' if len(ids) > 2 else ''} ({'+'.join(leak['splits'])} -> {leak['split']})")
    more = f" and {len(leaks) - _MAX_LISTED} more" * (len(leaks) > _MAX_LISTED)
    rule = "images of it are frozen, so the frozen split stays" if frozen else "test wins over val over train"
    groups = count_of(len(leaks), "group is", "groups are")
    return f"leaks: {groups} in several splits of the source ({rule}): {', '.join(listed)}{more}"
