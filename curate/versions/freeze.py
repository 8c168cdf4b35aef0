"""Freeze the accepted images of the catalog as the next version."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from fototeca.collect.catalog import Catalog, Decision, replace_surrogates
from fototeca.core.console import notify
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.locks import lock_name
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import (
    Manifest,
    list_versions,
    manifest_bytes,
    next_version,
    read_manifest,
    read_metadata,
    staged_manifest,
)
from fototeca.curate.review.apart import regroup_apart
from fototeca.curate.review.queues import list_review_items
from fototeca.curate.scenes.find import compare_scenes, form_scenes
from fototeca.curate.scenes.flattery import report_scenes
from fototeca.curate.snapshot.catalog_state import CatalogSnapshot, read_snapshot, store_groups
from fototeca.curate.versions.decision_log import list_unstored_decisions
from fototeca.curate.versions.freeze_result import FreezeResult, warn_of_contents
from fototeca.curate.versions.plan import check_categories, count_left_out, plan_rows
from fototeca.curate.versions.ratios import DEFAULT_RATIOS, Ratios, read_ratios
from fototeca.vision.image import DECODE_VERSION

MAX_PLANS = 3
"""Plans of one freeze at most, each made because people decided while the one before was made."""

GroupBy = Literal["scene", "none"]
"""Reasons to share a split besides near-duplicates and groups of sources."""


@dataclass(frozen=True)
class _Options:
    """Checked options of a freeze; None: as in the last version."""

    seed: int | None
    ratios: Ratios | None
    note: str
    categories: tuple[str, ...]
    group_by: GroupBy | None


def freeze_version(
    workspace: Workspace,
    *,
    seed: int | None = None,
    ratios: str | None = None,
    note: str = "",
    leave_out: Sequence[str] = (),
    group_by: GroupBy | None = None,
) -> FreezeResult:
    """Write the next version from the accepted images.

    `seed`, `ratios` (such as "70/10/20"): for images that no version contains; by default those of the last version, or 0 and
    70/10/20. `leave_out`: categories that this version shall not have. `group_by`: with "scene" the images of a burst and alike
    photographs of one place share a split; by default as in the last version. If the result equals the last version and no
    person has decided anything since, nothing is written and the last version is returned.

    Raises:
        FototecaError: images carry categories that the configuration lacks, a category has too few images to split, `leave_out`
            or `group_by` is unknown, an earlier version was edited, or the disk is full. Earlier versions stay as they were in
            every case.

    Example:
        >>> freeze_version(Workspace.find(), note="after the first review").manifest.version
        'v001'
    """
    requested = read_ratios(ratios) if ratios is not None else None
    if group_by not in (None, *get_args(GroupBy)):
        raise FototecaError(f"no grouping {group_by!r}", "--group-by takes scene or none")
    options = _Options(seed, requested, replace_surrogates(note), _remaining_categories(workspace, leave_out), group_by)
    with Catalog.open(workspace) as catalog:
        try:
            regroup_apart(workspace, catalog)
            if _groups_by_scene(workspace, options):
                compare_scenes(workspace, catalog)
            result = _freeze(workspace, catalog, options)
            if result.new and result.manifest.leaks:
                result = replace(result, file_names=catalog.provenance.file_names())
            items = list_review_items(catalog, workspace.settings.names, {})
        except (OSError, sqlite3.OperationalError) as error:
            versions = list_versions(workspace)
            intact = f"; {versions[-1]} is as it was" if versions else ""
            raise ExternalError(
                f"the version could not be written: {error}{intact}",
                "fix that, and freeze again",
            ) from None
        report_scenes(workspace, catalog, result.manifest, new=result.new)
    warn_of_contents(result, items)
    if note and not result.new:
        notify(f"the note was not stored: {result.manifest.version} is unchanged")
    if not result.new and (seed not in (None, result.manifest.seed) or requested not in (None, tuple(result.manifest.ratios))):
        notify("another seed or other ratios apply to new images only: images of earlier versions keep their split")
    return result


@dataclass(frozen=True)
class _Plan:
    """A planned version, the state of the catalog that it was planned on, and the decisions for its file."""

    result: FreezeResult
    snapshot: CatalogSnapshot
    decisions: Sequence[Decision]


def _freeze(workspace: Workspace, catalog: Catalog, options: _Options) -> FreezeResult:
    """Plan the version on a snapshot, without a lock on the catalog, and publish it; if people decided meanwhile, plan again.

    After `MAX_PLANS` plans, the version is that of its moment, and later decisions belong to the next one.
    """
    with lock_name(workspace, "freeze", "another process is freezing a version: waiting for it"):
        for remaining in reversed(range(MAX_PLANS)):
            plan = _plan(workspace, catalog, options)
            if not plan.result.new or _publish(catalog, plan, is_last=not remaining):
                return plan.result
    raise FototecaError("images were erased while the version was planned: nothing was written", "freeze again")


def _plan(workspace: Workspace, catalog: Catalog, options: _Options) -> _Plan:
    with catalog.snapshot() as (reader, moment):
        snapshot = read_snapshot(reader)
        if _groups_by_scene(workspace, options):
            snapshot = replace(snapshot, scenes=form_scenes(reader, snapshot).scene_of)
        decisions = list_unstored_decisions(reader, workspace)
    has_decisions = any(decision.actor_kind == "person" for decision in decisions)
    return _Plan(_draft(workspace, snapshot, options, has_decisions, moment), snapshot, decisions)


def _publish(catalog: Catalog, plan: _Plan, *, is_last: bool) -> bool:
    """Write the version; return False, and write none, if its plan is outdated. `is_last`: only erasures make it so.

    The groups are stored first, so that a version that exists can always be rebuilt.
    """
    manifest, snapshot = plan.result.manifest, plan.snapshot
    image_ids = {row.image_id for row in manifest.rows}
    store_groups(catalog, manifest.version, snapshot)
    with staged_manifest(manifest, plan.decisions) as publish, catalog.transaction():
        if not is_last and catalog.decisions.last_id() != snapshot.last_decision:
            return False
        if catalog.erasures.ids() & image_ids:
            return False
        publish()
    return True


def _draft(workspace: Workspace, snapshot: CatalogSnapshot, options: _Options, has_decisions: bool, moment: str) -> FreezeResult:
    """Return the version to write, or the last one where it would be equal and people have decided nothing since."""
    settings = workspace.settings
    versions = [read_manifest(workspace, name) for name in list_versions(workspace)]
    parent = versions[-1] if versions else None
    check_categories(snapshot, settings.names, settings.task)
    seed = options.seed if options.seed is not None else parent.seed if parent else 0
    ratios = options.ratios or (parent.ratios if parent else DEFAULT_RATIOS)
    accepted = [image for image in snapshot.images if image.status == "accepted"]
    left_out = count_left_out(accepted, settings.names, options.categories)
    plan = plan_rows(snapshot, settings.task, options.categories, versions, ratios, seed, left_out=tuple(left_out))
    reviewed = {image.image_id for image in accepted if image.reviewed}
    negatives = sum(not row.labels and row.image_id not in reviewed for row in plan.rows)
    unlabeled = sum(not image.label for image in accepted) if settings.task == "single" else 0
    sha256 = hashlib.sha256(manifest_bytes(plan.rows)).hexdigest()
    group_by = "scene" if _groups_by_scene(workspace, options) else ""
    identity = (sha256, options.categories, settings.task, DECODE_VERSION, group_by)
    if parent and not has_decisions and identity == _identity(parent):
        return FreezeResult(parent, False, unlabeled, negatives, left_out)
    version = next_version(workspace)
    manifest = Manifest(
        version=version,
        dataset_name=settings.name,
        task=settings.task,
        categories=options.categories,
        rows=plan.rows,
        sha256=sha256,
        seed=seed,
        ratios=ratios,
        threshold=snapshot.threshold,
        parent=parent.version if parent else None,
        created=moment,
        note=options.note,
        path=workspace.manifests / f"{version}.csv",
        last_decision=snapshot.last_decision,
        moved=plan.moved,
        unsearched=sum(not image.component for image in accepted) if snapshot.threshold is not None else 0,
        uneven=plan.uneven,
        leaks=plan.source_splits.leaks,
        source_splits=plan.source_splits.encode(row.image_id for row in plan.rows),
        missing_splits={label: list(splits) for label, splits in plan.source_splits.missing.items()},
        group_by=group_by,
        decode_version=DECODE_VERSION,
    )
    return FreezeResult(manifest, True, unlabeled, negatives, left_out)


def _identity(manifest: Manifest) -> tuple[object, ...]:
    """Return the values that make another version necessary where they differ."""
    return manifest.sha256, manifest.categories, manifest.task, manifest.decode_version, manifest.group_by


def _groups_by_scene(workspace: Workspace, options: _Options) -> bool:
    """Return True if scenes share a split: as asked, else as in the last version."""
    if options.group_by is not None:
        return options.group_by == "scene"
    versions = list_versions(workspace)
    return bool(versions) and read_metadata(workspace, versions[-1]).get("group_by") == "scene"


def _remaining_categories(workspace: Workspace, leave_out: Sequence[str]) -> tuple[str, ...]:
    """Return the categories without those to leave out. FototecaError if one of these is unknown or none is left."""
    names = workspace.settings.names
    unwanted = {workspace.settings.check(name) for name in leave_out}
    if not (remaining := tuple(name for name in names if name not in unwanted)):
        raise FototecaError("every category is left out", "leave out fewer")
    return remaining
