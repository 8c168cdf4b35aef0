"""Freezing: the accepted images of the catalog become the next version, split for ever."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fototeca.collect.catalog import AFTER_LAST_VERSION, PERSON, RENAME, Catalog, ImageRow, replace_surrogates
from fototeca.core.console import notify
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.settings import LABEL_SEPARATOR, Task
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.clustering import BAD_COPY
from fototeca.curate.manifest import (
    SPLITS,
    Manifest,
    ManifestRow,
    SplitName,
    list_versions,
    manifest_bytes,
    next_version,
    read_manifest,
    write_manifest,
)
from fototeca.curate.review.queues import CONFLICT, DISAGREED, list_items
from fototeca.curate.snapshot.catalog_state import Origin, State, current_state, keep_groups
from fototeca.curate.snapshot.split_groups import find_units
from fototeca.curate.versions.decision_log import decisions_to_keep
from fototeca.curate.versions.splits import SplitGroup, assign, make_unit, uneven_shares, winner

DEFAULT_RATIOS = (70.0, 10.0, 20.0)
"""Percentages of train, val and test."""

MIN_UNITS = 3
"""Groups that a category needs, so that every split can have one."""


@dataclass(frozen=True)
class Frozen:
    """A version, whether this call made it or found nothing to change, and what it took images without a label for."""

    manifest: Manifest
    new: bool
    unlabelled: int
    """Accepted images left out for want of a label."""
    unseen: int
    """Multi-label: images that count as none of the categories, though no person has said so."""


@dataclass(frozen=True)
class Plan:
    """Rows with their splits, and what has to be told about them."""

    rows: tuple[ManifestRow, ...]
    moved: tuple[dict[str, str], ...]
    uneven: tuple[dict[str, Any], ...]


def freeze_version(workspace: Workspace, *, seed: int | None = None, ratios: str | None = None, note: str = "") -> Frozen:
    """Write the next version. When it would equal the last one and no person has decided anything since, which git is to keep,
    nothing is written and the last is returned.

    FototecaError when images carry categories that the configuration lacks, when there are too few to split, when an
    earlier version was edited, or when the disk is full; earlier versions stay as they were in every case.
    """
    asked = read_ratios(ratios) if ratios is not None else None
    with Catalog.open(workspace) as catalog:
        try:
            frozen = _freeze(workspace, catalog, seed, asked, note)
            items = list_items(catalog, workspace.settings.names, {})
        except (OSError, sqlite3.OperationalError) as error:
            versions = list_versions(workspace)
            kept = f"; {versions[-1]} is as it was" if versions else ""
            raise FototecaError(
                f"the version could not be written: {error}{kept}",
                "mend that, and freeze again",
                EXIT_OUTSIDE,
            ) from None
    _tell(frozen)
    if left := _without_copy([item.image for item in items]):
        lost = f"images whose copy was rejected as {BAD_COPY}, with another one set aside: {left}"
        notify(f"warning: {lost}; run: fototeca curate dedup, and freeze again")
    if unsettled := sum(item.image.status == "accepted" and not {CONFLICT, DISAGREED}.isdisjoint(item.queues) for item in items):
        found = f"images whose label is in conflict, found as two categories or called so by two people: {unsettled}"
        notify(f"warning: {found}; settle it: fototeca curate review, and freeze again")
    if note and not frozen.new:
        notify(f"the note is not kept: {frozen.manifest.version} is as it was")
    if not frozen.new and (seed not in (None, frozen.manifest.seed) or asked not in (None, tuple(frozen.manifest.ratios))):
        notify("another seed or other ratios are for images that come from now on: those of earlier versions keep their split")
    return frozen


def _freeze(
    workspace: Workspace, catalog: Catalog, seed: int | None, asked: tuple[float, float, float] | None, note: str
) -> Frozen:
    """The work of `freeze_version`.

    The groups are kept before the version is there: a kill in between must not leave a version that cannot be made again.
    They are kept once more with it, in case another freeze has come between and kept those of another moment.
    """
    with catalog.transaction():
        state = current_state(catalog)
        decisions = decisions_to_keep(catalog, workspace)
        looked = any(decision.who.startswith((PERSON, RENAME)) for decision in decisions)
        frozen = _draft(workspace, state, seed, asked, replace_surrogates(note), looked, catalog.moment())
        if frozen.new:
            keep_groups(catalog, frozen.manifest.version, state.images)
            later = datetime.fromisoformat(frozen.manifest.created) + timedelta(microseconds=1)
            catalog.set_fact(AFTER_LAST_VERSION, later.isoformat(timespec="microseconds"))
    if frozen.new:
        with catalog.transaction():
            keep_groups(catalog, frozen.manifest.version, state.images)
            write_manifest(frozen.manifest, decisions)
    return frozen


def _draft(
    workspace: Workspace,
    state: State,
    seed: int | None,
    asked: tuple[float, float, float] | None,
    note: str,
    looked: bool,
    moment: str,
) -> Frozen:
    """The version as it would be written, or the last one where it would equal that and nobody has `looked` since."""
    settings = workspace.settings
    versions = [read_manifest(workspace, name) for name in list_versions(workspace)]
    parent = versions[-1] if versions else None
    check_categories(state, settings.names, settings.task)
    chosen_seed = seed if seed is not None else parent.seed if parent else 0
    chosen_ratios = asked or (parent.ratios if parent else DEFAULT_RATIOS)
    plan = plan_rows(state, settings.task, settings.names, versions, chosen_ratios, chosen_seed)
    unlabelled = sum(image.status == "accepted" for image in state.images) - len(plan.rows)
    reviewed = {image.image_id for image in state.images if image.reviewed}
    unseen = sum(not row.labels and row.image_id not in reviewed for row in plan.rows)
    sha256 = hashlib.sha256(manifest_bytes(plan.rows)).hexdigest()
    if parent and not looked and (sha256, settings.names, settings.task) == (parent.sha256, parent.categories, parent.task):
        return Frozen(parent, False, unlabelled, unseen)
    version = next_version(workspace)
    manifest = Manifest(
        version=version,
        dataset_name=settings.name,
        task=settings.task,
        categories=settings.names,
        rows=plan.rows,
        sha256=sha256,
        seed=chosen_seed,
        ratios=chosen_ratios,
        threshold=state.threshold,
        parent=parent.version if parent else None,
        created=max(moment, state.newest),
        note=note,
        path=workspace.manifests / f"{version}.csv",
        last_decision=state.last_decision,
        moved=plan.moved,
        unsearched=sum(image.status == "accepted" and not image.component for image in state.images)
        if state.threshold is not None
        else 0,
        uneven=plan.uneven,
    )
    return Frozen(manifest, True, unlabelled, unseen)


def read_ratios(text: str) -> tuple[float, float, float]:
    """Percentages from `70/10/20`; FototecaError unless they are three numbers above 0 that sum to 100."""
    try:
        train, val, test = (float(part) for part in text.split("/"))
    except ValueError:
        train = val = test = 0.0
    if not (min(train, val, test) > 0 and abs(train + val + test - 100) <= 1e-6):  # not the other way round: for nan
        raise FototecaError(f"ratios {text!r} will not do", "give three percentages above 0 that sum to 100, such as 70/10/20")
    return train, val, test


def check_categories(state: State, names: Sequence[str], task: Task) -> None:
    """FototecaError when accepted images carry a category that the configuration lacks, or several where one is all."""
    unknown: dict[str, int] = defaultdict(int)
    for image in state.images:
        if image.status == "accepted":
            for label in [image.label] if task == "single" else image.label.split(LABEL_SEPARATOR):
                if label and label not in names:
                    unknown[label] += 1
    if unknown:
        carried = ", ".join(f"{count} carry {label!r}" for label, count in sorted(unknown.items()))
        raise FototecaError(
            f"accepted images have categories that fototeca.toml lacks: {carried}",
            "mend fototeca.toml (categories, task), or rename a category: fototeca curate label --from OLD --label NEW",
        )


def plan_rows(
    state: State,
    task: Task,
    names: Sequence[str],
    versions: Sequence[Manifest],
    ratios: Sequence[float],
    seed: int,
) -> Plan:
    """The rows of a version. `versions`: the earlier ones, oldest first; images keep the split they had there.

    FototecaError when a category has too few images to split.
    """
    chosen = [image for image in state.images if image.status == "accepted" and (image.label or task == "multi")]
    earlier: dict[str, SplitName] = {row.image_id: row.split for version in versions for row in version.rows}
    unit_of = find_units(state)
    pins: dict[str, list[SplitName]] = defaultdict(list)
    for image_id, unit_id in unit_of.items():
        if image_id in earlier:
            pins[unit_id].append(earlier[image_id])
    labels: dict[str, list[Sequence[str]]] = defaultdict(list)
    for image in chosen:
        labels[unit_of[image.image_id]].append(image.label.split(LABEL_SEPARATOR) if image.label else ())
    units = [make_unit(unit_id, found, winner(pins.get(unit_id, ()))) for unit_id, found in labels.items()]
    check_enough(units, names, sum(image.status == "accepted" for image in state.images) - len(chosen))
    shares = [ratio / 100 for ratio in ratios]
    splits = assign(units, shares, seed)
    rows = [make_row(image, splits[unit_of[image.image_id]], unit_of[image.image_id], state.origins) for image in chosen]
    rows.sort(key=lambda row: row.image_id)
    moved = tuple(
        {"image_id": row.image_id, "from": earlier[row.image_id], "to": row.split, "group": row.group}
        for row in rows
        if earlier.get(row.image_id, row.split) != row.split
    )
    return Plan(tuple(rows), moved, tuple(uneven_shares(units, splits, shares)))


def check_enough(units: Sequence[SplitGroup], names: Sequence[str], unlabelled: int) -> None:
    """FototecaError when a category has too few groups for every split to have one. `unlabelled`: images without a label."""
    groups, images = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for unit in units:
        for label, count in unit.labels:
            groups[label] += 1
            images[label] += count
    few = [name for name in names if groups[name] < MIN_UNITS]
    if few:
        label = f", label the {unlabelled} images that have no label" if unlabelled else ""
        named = ", ".join(f"{name} has {images[name]}" + f" in {groups[name]} groups" * (images[name] > 0) for name in few)
        raise FototecaError(
            f"too few accepted images to split: {named}",
            f"each category needs {MIN_UNITS} or more that are no near-duplicates: collect more{label}, or remove the category",
        )


def make_row(image: ImageRow, split: SplitName, group: str, origins: Mapping[str, Origin]) -> ManifestRow:
    """The image as a manifest writes it."""
    origin = origins.get(image.image_id, Origin())
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
        **origin.__dict__,
    )


def freeze_facts(frozen: Frozen, workspace: Workspace) -> dict[str, Any]:
    """What `freeze --json` prints."""
    manifest = frozen.manifest
    return {
        "version": manifest.version,
        "rows": len(manifest.rows),
        "splits": manifest.split_counts(),
        "path": workspace.relative(manifest.path),
        "new": frozen.new,
        "moved": list(manifest.moved),
        "unsearched": manifest.unsearched,
        "uneven": list(manifest.uneven),
    }


def freeze_table(frozen: Frozen) -> str:
    """What `freeze` prints: images per category and split, then whatever is not as asked."""
    manifest = frozen.manifest
    counts = manifest.label_counts() | {"all": manifest.split_counts()}
    width = max(len(name) for name in counts)
    lines = [f"{manifest.version}: {len(manifest.rows)} images  {manifest.path}"]
    lines.append(f"{'':{width}}" + "".join(f"{name:>8}" for name in SPLITS))
    lines += [f"{label:{width}}" + "".join(f"{found[name]:8}" for name in SPLITS) for label, found in counts.items()]
    lines += [f"moved: {row['image_id'][:12]} from {row['from']} to {row['to']}, its group merged" for row in manifest.moved]
    reasons = {row["label"]: row["reason"] for row in manifest.uneven}
    lines += [f"uneven: {label}: {reason}" for label, reason in reasons.items()]
    return "\n".join(lines)


def _without_copy(images: Sequence[ImageRow]) -> int:
    """The groups of which nothing is accepted since the copy kept was rejected for its quality, though another one could be."""
    statuses: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if image.group:
            statuses[image.group].add(image.status if image.rejected in ("", BAD_COPY) else "gone")
    return sum(found == {"rejected", "duplicate"} for found in statuses.values())


def _tell(frozen: Frozen) -> None:
    """Say on stderr what a person should know before training."""
    if frozen.unlabelled:
        notify(f"{frozen.unlabelled} accepted images have no label and are left out; run: fototeca curate review")
    if frozen.unseen:
        notify(f"{frozen.unseen} images without a label count as none of the categories, unreviewed; run: fototeca curate review")
    if not frozen.new:
        notify(f"nothing has changed since {frozen.manifest.version}: no new version was made")
    if frozen.manifest.threshold is None:
        notify("warning: near-duplicates were never looked for, so they may cross splits; run: fototeca curate dedup")
    elif late := frozen.manifest.unsearched:
        unseen = f"{late} images were not in the last search for near-duplicates"
        notify(f"warning: {unseen}, so copies of them may cross splits; run: fototeca curate dedup, and freeze again")
