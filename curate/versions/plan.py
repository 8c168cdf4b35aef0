"""Plan the rows of a version: choose images, group them and assign splits."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fototeca.collect.catalog import ImageRow
from fototeca.core.counting import count_of
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR, Task
from fototeca.curate.manifest import Manifest, ManifestRow, SplitName
from fototeca.curate.snapshot.catalog_state import CatalogSnapshot, ImageSource
from fototeca.curate.snapshot.split_groups import find_split_groups
from fototeca.curate.versions.source_splits import SourceSplits, resolve_source_splits
from fototeca.curate.versions.splits import SplitGroup, assign_splits, find_uneven_shares, make_split_group, merge_splits

MIN_GROUPS = 3
"""Groups that a category needs, so that every split can have one."""


@dataclass(frozen=True)
class VersionPlan:
    """Rows with their splits, and the exceptions that the version lists."""

    rows: tuple[ManifestRow, ...]
    moved: tuple[dict[str, str], ...]
    """Images whose split changes because groups merged: image_id, from, to, group."""
    uneven: tuple[dict[str, Any], ...]
    """Shares that deviate from the ratios: see `find_uneven_shares`."""
    source_splits: SourceSplits
    """Splits that came with the sources."""


def plan_rows(
    snapshot: CatalogSnapshot,
    task: Task,
    names: Sequence[str],
    versions: Sequence[Manifest],
    ratios: Sequence[float],
    seed: int,
    stored: Mapping[str, SplitName] | None = None,
    left_out: Sequence[str] = (),
) -> VersionPlan:
    """Plan the rows of a version.

    `names`: the categories; images of others are left out. `versions`: the earlier versions, oldest first; their images keep
    the split they had. `ratios`: percentages of train, val and test. `stored`: for a rebuild, the splits that the version
    stored; only images that neither the earlier versions nor `stored` contain get the split of their source, or one from the
    optimizer. `left_out`: the other categories, for the hint of the error.

    Raises:
        FototecaError: a category has too few images to split.
    """
    chosen = select_images(snapshot, task, names)
    earlier: dict[str, SplitName] = {row.image_id: row.split for version in versions for row in version.rows}
    group_of = find_split_groups(snapshot)
    pinned = _merge_by_group(stored or {}, group_of) | _merge_by_group(earlier, group_of)
    given = resolve_source_splits(snapshot.images, snapshot.source_splits, group_of, earlier.keys(), pinned)
    groups = _make_groups(chosen, group_of, pinned, given)
    unlabeled = sum(image.status == "accepted" and not image.label for image in snapshot.images)
    check_group_counts(groups, names, unlabeled, left_out)
    shares = [ratio / 100 for ratio in ratios]
    splits = assign_splits(groups, shares, seed)
    rows = [make_row(image, splits[group_of[image.image_id]], group_of[image.image_id], snapshot.sources) for image in chosen]
    rows.sort(key=lambda row: row.image_id)
    moved = tuple(
        {"image_id": row.image_id, "from": earlier[row.image_id], "to": row.split, "group": row.group}
        for row in rows
        if earlier.get(row.image_id, row.split) != row.split
    )
    return VersionPlan(tuple(rows), moved, tuple(find_uneven_shares(groups, splits, shares)), given)


def _make_groups(
    images: Sequence[ImageRow], group_of: Mapping[str, str], pinned: Mapping[str, SplitName], given: SourceSplits
) -> list[SplitGroup]:
    """Return the groups of images, with the splits that earlier versions and sources leave them."""
    labels: dict[str, list[Sequence[str]]] = defaultdict(list)
    for image in images:
        labels[group_of[image.image_id]].append(image.label.split(LABEL_SEPARATOR) if image.label else ())
    return [
        make_split_group(
            group_id, members, pinned.get(group_id), given.allowed(group_id, {label for image in members for label in image})
        )
        for group_id, members in labels.items()
    ]


def _merge_by_group(splits: Mapping[str, SplitName], group_of: Mapping[str, str]) -> dict[str, SplitName]:
    """Return one split per group from the splits of its images."""
    by_group: dict[str, list[SplitName]] = defaultdict(list)
    for image_id, split in splits.items():
        if image_id in group_of:
            by_group[group_of[image_id]].append(split)
    merged = ((group_id, merge_splits(members)) for group_id, members in by_group.items())
    return {group_id: split for group_id, split in merged if split}


def select_images(snapshot: CatalogSnapshot, task: Task, names: Sequence[str]) -> list[ImageRow]:
    """Return the accepted images that a version of the categories `names` contains.

    Single-label tasks leave out images without a label or of other categories. Multi-label tasks keep them: labels that are not
    in `names` are removed.
    """
    accepted = [image for image in snapshot.images if image.status == "accepted"]
    if task == "single":
        return [image for image in accepted if image.label in names]
    labels = [LABEL_SEPARATOR.join(label for label in image.label.split(LABEL_SEPARATOR) if label in names) for image in accepted]
    return [replace(image, label=label) for image, label in zip(accepted, labels, strict=True)]


def count_left_out(images: Sequence[ImageRow], names: Sequence[str], kept: Sequence[str]) -> dict[str, int]:
    """Count the images of each of the categories `names` that a version of the categories `kept` leaves out."""
    counts = {name: 0 for name in names if name not in kept}
    for image in images:
        for label in image.label.split(LABEL_SEPARATOR):
            if label in counts:
                counts[label] += 1
    return counts


def check_categories(snapshot: CatalogSnapshot, names: Sequence[str], task: Task) -> None:
    """Check that accepted images carry configured categories, and one each where the task is single.

    Raises:
        FototecaError: a label is not one of `names`.
    """
    unknown: dict[str, int] = defaultdict(int)
    for image in snapshot.images:
        if image.status == "accepted":
            for label in [image.label] if task == "single" else image.label.split(LABEL_SEPARATOR):
                if label and label not in names:
                    unknown[label] += 1
    if unknown:
        counts = ", ".join(f"{count} carry {label!r}" for label, count in sorted(unknown.items()))
        raise FototecaError(
            f"accepted images have categories that fototeca.toml lacks: {counts}",
            "fix fototeca.toml (categories, task), or rename a category: fototeca curate label --from OLD --label NEW",
        )


def check_group_counts(groups: Sequence[SplitGroup], names: Sequence[str], unlabeled: int, left_out: Sequence[str]) -> None:
    """Check that every category has enough groups for each split to have one.

    `unlabeled`: accepted images without a label, and `left_out`: categories that are left out already; the hint mentions both.

    Raises:
        FototecaError: a category has fewer than `MIN_GROUPS` groups.
    """
    num_groups, num_images = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for group in groups:
        for label, count in group.labels:
            num_groups[label] += 1
            num_images[label] += count
    if few := [name for name in names if num_groups[name] < MIN_GROUPS]:
        label_hint = f", label the {count_of(unlabeled, 'image')} without label" if unlabeled else ""
        counts = ", ".join(
            f"{name} has {num_images[name]}" + f" in {count_of(num_groups[name], 'group')}" * (num_images[name] > 0)
            for name in few
        )
        options = "".join(f" --leave-out {shlex.quote(name)}" for name in (*left_out, *few))
        without = f"freeze without it: fototeca curate freeze{options}" if len(few) < len(names) else "remove the category"
        raise FototecaError(
            f"too few accepted images to split: {counts}",
            f"each category needs {MIN_GROUPS} or more that are not near-duplicates: collect more{label_hint}, or {without}",
        )


def make_row(image: ImageRow, split: SplitName, group: str, sources: Mapping[str, ImageSource]) -> ManifestRow:
    """Return the manifest row of an image."""
    source = sources.get(image.image_id, ImageSource())
    return ManifestRow(
        image_id=image.image_id,
        path=image.path,
        label=image.label,
        split=split,
        group=group,
        width=image.width,
        height=image.height,
        phash=image.phash,
        reviewed=image.reviewed,
        **source.__dict__,
    )
