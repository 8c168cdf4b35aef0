"""Whether two sets of images differ in what `curate check` measured of their images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fototeca.collect.catalog import Catalog
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow


def quality_shift(
    workspace: Workspace, first: Sequence[ManifestRow], second: Sequence[ManifestRow]
) -> dict[str, dict[str, float]]:
    """Per measure the mean of each set, and Kolmogorov and Smirnov's distance with its p; empty when nothing was measured."""
    if not workspace.catalog.exists():
        return {}
    from scipy.stats import ks_2samp

    with Catalog.open(workspace) as catalog:
        rows = catalog.connection.execute("SELECT image_id, measure, value FROM quality").fetchall()
    values: dict[str, dict[str, float]] = {}
    for row in rows:
        values.setdefault(row["measure"], {})[row["image_id"]] = row["value"]
    shifts = {}
    for measure, by_id in sorted(values.items()):
        sides = [[by_id[row.image_id] for row in side if row.image_id in by_id] for side in (first, second)]
        if min(map(len, sides)) > 1:
            found = ks_2samp(*sides)
            shifts[measure] = {
                "first": float(np.mean(sides[0])),
                "second": float(np.mean(sides[1])),
                "distance": float(found.statistic),
                "p": float(found.pvalue),
            }
    return shifts
