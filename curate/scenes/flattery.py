"""Estimate how much splits that scenes cross flatter a validation, and report scenes for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.console import notify
from fototeca.core.counting import count_of
from fototeca.core.workspace import Workspace
from fototeca.curate.label_issues.backbone import PREFERRED
from fototeca.curate.manifest import Manifest
from fototeca.curate.scenes.find import Scenes, form_scenes
from fototeca.curate.snapshot.catalog_state import CatalogSnapshot, read_snapshot
from fototeca.curate.snapshot.split_groups import find_split_groups
from fototeca.vision.feature_math import FloatArray, nearest_by_cosine

COLORS = "colors and layout, since no weights are on disk"
"""Features of the estimate without a backbone."""


@dataclass(frozen=True)
class Flattery:
    """Shares of images whose nearest image outside their group has the same label; `features`: what nearest is measured on."""

    features: str
    by_group: float
    """Nearest among all images but near-duplicates."""
    by_scene: float
    """Nearest among the images of other scenes."""


def estimate_flattery(workspace: Workspace, catalog: Catalog, snapshot: CatalogSnapshot) -> Flattery | None:
    """Classify every labeled image by its nearest one, with and without the images of its scene; None for too few images.

    Features are those of the best backbone with weights on disk, else colors and layout.
    """
    labeled = [image for image in snapshot.images if image.status == "accepted" and image.label]
    name, images, features = _read_features(workspace, catalog, labeled)
    if len(images) < 3:
        return None
    by_scene = find_split_groups(snapshot)
    by_group = find_split_groups(replace(snapshot, scenes={}))
    shares = [_share_of_agreeing(images, features, groups) for groups in (by_group, by_scene)]
    return Flattery(name, *shares)


def _read_features(
    workspace: Workspace, catalog: Catalog, images: Sequence[ImageRow]
) -> tuple[str, Sequence[ImageRow], FloatArray]:
    """Return the name of the features, the images that can be read, and their features (N, D)."""
    from fototeca.vision.weights import best_weights

    on_disk = next(((model, weights) for model in PREFERRED if (weights := best_weights(model))), None)
    if on_disk is None:
        from fototeca.curate.duplicates.signatures import load_signatures
        from fototeca.curate.scenes.layout import describe_layout

        signatures = load_signatures(workspace, catalog, images)
        known = set(signatures.ids)
        return COLORS, [image for image in images if image.image_id in known], describe_layout(signatures.thumbnails)
    from fototeca.curate.label_issues.find import select_readable
    from fototeca.vision.backbones import load_backbone
    from fototeca.vision.features import extract_features

    backbone = load_backbone(*on_disk)
    readable = select_readable(workspace, images, backbone)
    items = [(image.image_id, workspace.root / image.path) for image in readable]
    return f"features of {backbone.name}", readable, extract_features(workspace, items, backbone)


def _share_of_agreeing(images: Sequence[ImageRow], features: FloatArray, groups: Mapping[str, str]) -> float:
    """Return the share of images whose nearest image of another group has the same label."""
    codes = np.unique([groups[image.image_id] for image in images], return_inverse=True)[1].astype(np.int64)
    nearest = nearest_by_cosine(features, 1, codes)[0][:, 0].tolist()
    return float(
        np.mean([place >= 0 and images[place].label == image.label for image, place in zip(images, nearest, strict=True)])
    )


def report_scenes(workspace: Workspace, catalog: Catalog, manifest: Manifest, *, new: bool) -> None:
    """Report the scenes of a version: those that share a split if it groups by scene and is new, else those that cross splits."""
    if manifest.group_by != "scene":
        _warn_of_crossing_scenes(catalog, manifest)
    elif new:
        snapshot = read_snapshot(catalog)
        _report_grouped_scenes(workspace, catalog, form_scenes(catalog, snapshot), snapshot)


def _report_grouped_scenes(workspace: Workspace, catalog: Catalog, scenes: Scenes, snapshot: CatalogSnapshot) -> None:
    """Report the scenes that share a split, and by how much an accuracy without them would be flattered."""
    count = len(set(scenes.scene_of.values()))
    notify(f"{count_of(len(scenes.scene_of), 'image')} in {count_of(count, 'scene')}; a scene shares a split")
    if scenes.oversized:
        notify(
            f"fixed camera or one template: {scenes.oversized} images look like one scene, which was divided so that it can be"
            " split; if they have sessions or objects of their own, collect with --group-by"
        )
    if count and (flattery := estimate_flattery(workspace, catalog, replace(snapshot, scenes=scenes.scene_of))):
        notify(
            f"without scenes a validation is flattered: the nearest image has the same label for {flattery.by_group:.0%} of the"
            f" images, outside their scene for {flattery.by_scene:.0%} (by {flattery.features})"
        )


def _warn_of_crossing_scenes(catalog: Catalog, manifest: Manifest) -> None:
    """Warn where images of one known scene are in several splits. Reads no file."""
    scene_of = form_scenes(catalog, read_snapshot(catalog)).scene_of
    splits: dict[str, set[str]] = defaultdict(set)
    sizes: dict[str, int] = defaultdict(int)
    for row in manifest.rows:
        if scene := scene_of.get(row.image_id):
            splits[scene].add(row.split)
            sizes[scene] += 1
    crossing = [scene for scene, names in splits.items() if len(names) > 1]
    if crossing:
        images = sum(sizes[scene] for scene in crossing)
        notify(
            f"warning: scenes (bursts, alike photographs) in several splits: {len(crossing)} with {images} images, which flatters"
            " validation and test; to keep scenes together: fototeca curate freeze --group-by scene"
        )
