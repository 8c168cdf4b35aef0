"""Freeze the accepted images of the catalog as the next version."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from fototeca.collect.catalog import AFTER_LAST_VERSION, Catalog, ImageRow, replace_surrogates
from fototeca.core.console import notify
from fototeca.core.counting import count_of
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.clustering import BAD_COPY
from fototeca.curate.manifest import (
    SPLITS,
    Manifest,
    list_versions,
    manifest_bytes,
    next_version,
    read_manifest,
    read_metadata,
    write_manifest,
)
from fototeca.curate.review.apart import regroup_apart
from fototeca.curate.review.queues import CONFLICT, DISAGREED, list_review_items
from fototeca.curate.scenes.find import compare_scenes, form_scenes
from fototeca.curate.scenes.flattery import report_scenes
from fototeca.curate.snapshot.catalog_state import CatalogSnapshot, read_snapshot, store_groups
from fototeca.curate.versions.decision_log import list_unstored_decisions
from fototeca.curate.versions.plan import check_categories, count_left_out, plan_rows
from fototeca.curate.versions.ratios import DEFAULT_RATIOS, Ratios, read_ratios
from fototeca.curate.versions.source_splits import source_split_lines
from fototeca.vision.image import DECODE_VERSION

GroupBy = Literal["scene", "none"]
"""Reasons to share a split besides near-duplicates and groups of sources."""


@dataclass(frozen=True)
class FreezeResult(Result):
    """The version that a freeze made, or the last one where nothing had changed."""

    manifest: Manifest
    new: bool
    """True if this call wrote the version."""
    unlabeled: int
    """Accepted images left out because they have no label."""
    unreviewed_negatives: int
    """Multi-label: images without a label, which count as negatives of all categories although no person reviewed them."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Accepted images of each category that the version was asked to leave out."""
    file_names: Mapping[str, str] = field(default_factory=dict)
    """Original names of the images, by id, where groups leak from one split of their source into another."""

    def to_json(self) -> dict[str, Any]:
        """Return the output of `freeze --json`: version, row counts, path, and the exceptions that the version lists."""
        manifest = self.manifest
        return {
            "version": manifest.version,
            "rows": len(manifest.rows),
            "splits": manifest.split_counts(),
            "path": f"{manifest.path.parent.name}/{manifest.path.name}",
            "new": self.new,
            "moved": list(manifest.moved),
            "unsearched": manifest.unsearched,
            "uneven": list(manifest.uneven),
            "leaks": list(manifest.leaks),
            "left_out": dict(self.left_out),
        }


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
    _warn(result)
    if lost := _count_groups_without_copy([item.image for item in items]):
        notify(
            f"warning: {count_of(lost, 'duplicate group has', 'duplicate groups have')} no accepted image, because the copy was"
            f" rejected as {BAD_COPY} and the others are set aside; run: fototeca curate dedup, and freeze again"
        )
    if conflicts := sum(item.image.status == "accepted" and not {CONFLICT, DISAGREED}.isdisjoint(item.queues) for item in items):
        notify(
            f"warning: {count_of(conflicts, 'image has', 'images have')} conflicting labels from sources or reviewers;"
            " to resolve them: fototeca curate review, and freeze again"
        )
    if note and not result.new:
        notify(f"the note was not stored: {result.manifest.version} is unchanged")
    if not result.new and (seed not in (None, result.manifest.seed) or requested not in (None, tuple(result.manifest.ratios))):
        notify("another seed or other ratios apply to new images only: images of earlier versions keep their split")
    return result


def _freeze(workspace: Workspace, catalog: Catalog, options: _Options) -> FreezeResult:
    """Draft the version and write it.

    The groups are stored before the version is written, so that a version that exists can always be rebuilt.
    They are stored again after it, in case a concurrent freeze has stored other groups meanwhile.
    """
    with catalog.transaction():
        snapshot = read_snapshot(catalog)
        if _groups_by_scene(workspace, options):
            snapshot = replace(snapshot, scenes=form_scenes(catalog, snapshot).scene_of)
        decisions = list_unstored_decisions(catalog, workspace)
        has_decisions = any(decision.actor_kind == "person" for decision in decisions)
        moment = catalog.metadata.next_time()
        result = _draft(workspace, snapshot, options, has_decisions, moment)
        if result.new:
            store_groups(catalog, result.manifest.version, snapshot)
            later = datetime.fromisoformat(result.manifest.created) + timedelta(microseconds=1)
            catalog.metadata.set(AFTER_LAST_VERSION, later.isoformat(timespec="microseconds"))
    if result.new:
        with catalog.transaction():
            store_groups(catalog, result.manifest.version, snapshot)
            write_manifest(result.manifest, decisions)
    return result


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
        created=max(moment, snapshot.newest),
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


def freeze_table(result: FreezeResult) -> str:
    """Format a freeze for people: images per category and split, then the exceptions."""
    manifest = result.manifest
    counts = manifest.label_counts() | {"all": manifest.split_counts()}
    width = max(len(name) for name in counts)
    lines = [f"{manifest.version}: {count_of(len(manifest.rows), 'image')}  {manifest.path}"]
    lines.append(f"{'':{width}}" + "".join(f"{name:>8}" for name in SPLITS))
    lines += [f"{label:{width}}" + "".join(f"{row[name]:8}" for name in SPLITS) for label, row in counts.items()]
    lines += [
        f"moved: {row['image_id'][:12]} from {row['from']} to {row['to']} because its group merged" for row in manifest.moved
    ]
    reasons = {row["label"]: row["reason"] for row in manifest.uneven}
    lines += [f"uneven: {label}: {reason}" for label, reason in reasons.items()]
    lines += [f"left out: {label}: {count_of(count, 'image')}" for label, count in result.left_out.items()]
    return "\n".join([*lines, *(source_split_lines(manifest, result.file_names) if result.new else ())])


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


def _count_groups_without_copy(images: Sequence[ImageRow]) -> int:
    """Count groups without an accepted image whose representative was rejected for its quality while others are set aside."""
    statuses: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if image.group:
            statuses[image.group].add(image.status if image.rejected in ("", BAD_COPY) else "excluded")
    return sum(members == {"rejected", "duplicate"} for members in statuses.values())


def _warn(result: FreezeResult) -> None:
    """Report on stderr what a person should know before training."""
    if result.unlabeled:
        notify(
            count_of(result.unlabeled, "accepted image has no label and is", "accepted images have no label and are")
            + " left out; run: fototeca curate review"
        )
    if result.unreviewed_negatives:
        notify(
            count_of(result.unreviewed_negatives, "image without a label counts", "images without a label count")
            + " as negative of all categories, unreviewed; run: fototeca curate review"
        )
    if not result.new:
        notify(f"nothing has changed since {result.manifest.version}: no new version was made")
    if result.manifest.threshold is None:
        notify("warning: no search for near-duplicates has run, so copies may cross splits; run: fototeca curate dedup")
    elif late := result.manifest.unsearched:
        notify(
            f"warning: {count_of(late, 'image was', 'images were')} not in the last search for near-duplicates, so copies may"
            " cross splits; run: fototeca curate dedup, and freeze again"
        )
