"""Compare two sets of images by the quality measures that `curate quality` stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fototeca.analysis.evaluation.results import SparseResult
from fototeca.collect.catalog import Catalog
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow


@dataclass(frozen=True)
class QualityShift(SparseResult):
    """Means of one quality measure in two sets, and the Kolmogorov-Smirnov distance of the distributions with its p."""

    first: float
    second: float
    distance: float
    p: float
    p_holm: float | None = None
    """p after Holm's correction, if several shifts are tested together."""


def quality_shift(workspace: Workspace, first: Sequence[ManifestRow], second: Sequence[ManifestRow]) -> dict[str, QualityShift]:
    """Return the shift of each quality measure between two sets; empty if nothing was measured."""
    if not workspace.catalog.exists():
        return {}
    from scipy.stats import ks_2samp

    with Catalog.open(workspace) as catalog:
        scores = catalog.quality.all()
    values: dict[str, dict[str, float]] = {}
    for image_id, by_measure in scores.items():
        for measure, value in by_measure.items():
            values.setdefault(measure, {})[image_id] = value
    shifts = {}
    for measure, by_id in sorted(values.items()):
        sides = [[by_id[row.image_id] for row in side if row.image_id in by_id] for side in (first, second)]
        if min(map(len, sides)) > 1:
            test = ks_2samp(*sides)
            means = [float(np.mean(side)) for side in sides]
            shifts[measure] = QualityShift(means[0], means[1], float(test.statistic), float(test.pvalue))
    return shifts
