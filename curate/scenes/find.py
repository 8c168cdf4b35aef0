"""Find scenes: bursts by EXIF time, and photographs whose local features agree. The comparisons are kept in the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from tqdm import tqdm

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.signatures import VERSION as SIGNATURE_VERSION
from fototeca.curate.duplicates.signatures import load_signatures, stack_signatures
from fototeca.curate.scenes.components import Tie, join_ties
from fototeca.curate.scenes.layout import describe_layout
from fototeca.curate.snapshot.catalog_state import CatalogSnapshot
from fototeca.curate.snapshot.split_groups import find_split_groups
from fototeca.vision.feature_math import FloatArray, nearest_by_cosine

VERSION = 1
"""Raised when the counts of agreeing matches change their meaning; stored ones are then recomputed."""

NEIGHBORS = 8
"""Nearest images by colors and layout with which each image is compared."""

MIN_SIMILARITY = 0.75
"""Cosine of colors and layout below which images are not compared: 95 of 100 unrelated grocery photographs are below 0.77."""

MIN_AGREEING = 8
"""Local matches that agree on one affine map, in images of one scene: the smallest tried number that none of 1,432 pairs of alike
photographs of different days reached."""

BURST_SECONDS = 10.0
"""Longest time between two images of a burst."""

BURST_SIMILARITY = 0.6
"""Cosine of colors and layout that images of a burst have."""

_BURST_REACH = 4
"""Following images in the order of their times with which each image is compared."""

_BATCH = 2000


@dataclass(frozen=True)
class Scenes:
    """Scene of each image that is in one, by image id, and the size of the largest that had to be divided (0: none)."""

    scene_of: Mapping[str, str]
    oversized: int = 0


def compare_scenes(workspace: Workspace, catalog: Catalog) -> None:
    """Compare accepted images that may show one scene and store the counts; only new pairs are compared.

    Memory is bounded: thumbnails and descriptors of colors (about 4 KB per image) are held, keypoints are memory-mapped.
    """
    from fototeca.curate.scenes.local_matches import KeypointCache, count_agreeing  # loads OpenCV

    images = [image for image in catalog.images.all() if image.status == "accepted"]
    signatures = load_signatures(workspace, catalog, images)
    if len(signatures) < 2:
        return
    known = catalog.scenes.pairs(VERSION)
    proposed = _propose_pairs(signatures.ids, describe_layout(signatures.thumbnails))
    new = [pair for pair in proposed if pair not in known]
    paths = {image.image_id: workspace.root / image.path for image in images}
    keypoints = KeypointCache(workspace)
    keypoints.ensure([(image_id, paths[image_id]) for image_id in sorted({one for pair in new for one in pair})])
    with tqdm(total=len(new), desc="comparing scenes", unit="pair", delay=2.0, disable=None) as bar:
        for start in range(0, len(new), _BATCH):
            part = new[start : start + _BATCH]
            rows = []
            for a, b in part:
                rows.append((a, b, count_agreeing(keypoints[a], keypoints[b])))
                bar.update()
            catalog.scenes.add_pairs(VERSION, rows)


def form_scenes(catalog: Catalog, snapshot: CatalogSnapshot) -> Scenes:
    """Join the accepted images of a snapshot into scenes by what the catalog knows; no file is read."""
    images = [image for image in snapshot.images if image.status == "accepted"]
    index = {image.image_id: number for number, image in enumerate(images)}
    pairs = catalog.scenes.pairs(VERSION).items()
    ties = [Tie(index[a], index[b], count) for (a, b), count in pairs if count >= MIN_AGREEING and a in index and b in index]
    ties += _find_bursts(catalog, images)
    if not ties:
        return Scenes({})
    groups = find_split_groups(snapshot)
    labels = [image.label.split(LABEL_SEPARATOR) if image.label else [] for image in images]
    joined = join_ties(ties, labels, [groups[image.image_id] for image in images])
    linked = {number for tie in ties for number in (tie.a, tie.b)}
    scene_of = {}
    for scene in joined.scenes:
        if linked & set(scene):
            name = min(images[number].image_id for number in scene)
            scene_of.update({images[number].image_id: name for number in scene})
    return Scenes(scene_of, joined.oversized)


def _propose_pairs(image_ids: Sequence[str], layout: FloatArray) -> list[tuple[str, str]]:
    """Return the pairs of each image with its nearest images, the smaller id first, sorted."""
    nearest, similarities = nearest_by_cosine(layout, NEIGHBORS, np.arange(len(layout)))
    rows, columns = np.nonzero(similarities >= MIN_SIMILARITY)
    others = nearest[rows, columns]
    pairs = ((image_ids[a], image_ids[b]) for a, b in zip(rows.tolist(), others.tolist(), strict=True))
    return sorted({(min(pair), max(pair)) for pair in pairs})


def _find_bursts(catalog: Catalog, images: Sequence[ImageRow]) -> Iterator[Tie]:
    """Yield pairs of alike images that were taken within seconds; images without a stored thumbnail are left out."""
    taken = {number: datetime.fromisoformat(image.taken) for number, image in enumerate(images) if image.taken}
    stored = catalog.duplicate_cache.signatures(SIGNATURE_VERSION, [images[number].image_id for number in taken])
    order = sorted(
        (number for number in taken if images[number].image_id in stored), key=lambda number: (_wall_clock(taken[number]), number)
    )
    if not order:
        return
    ids = [images[number].image_id for number in order]
    layout = describe_layout(stack_signatures(ids, [stored[image_id] for image_id in ids]).thumbnails)
    for place, number in enumerate(order):
        for other in range(place + 1, min(place + 1 + _BURST_REACH, len(order))):
            similarity = float(layout[place] @ layout[other])
            if _is_within_seconds(taken[number], taken[order[other]]) and similarity >= BURST_SIMILARITY:
                yield Tie(number, order[other], 1e6 + similarity)  # before any tie of local matches


def _wall_clock(taken: datetime) -> datetime:
    return taken.replace(tzinfo=None)


def _is_within_seconds(first: datetime, second: datetime) -> bool:
    """Return True if two times are within BURST_SECONDS; clocks are compared where only one of them has an offset."""
    if (first.tzinfo is None) != (second.tzinfo is None):
        first, second = _wall_clock(first), _wall_clock(second)
    return abs(second - first) <= timedelta(seconds=BURST_SECONDS)
