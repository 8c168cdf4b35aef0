"""`compare`: which runs differ, and which cannot be told apart from the best, judged on the same validation images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from fototeca.analysis.evaluation.bootstrap import draw_resamples, percentile_interval
from fototeca.analysis.evaluation.metrics import BoolArray, FloatArray, IntArray, class_scores, macro_mean
from fototeca.analysis.evaluation.predictions import SplitPredictions, find_run, read_split_predictions
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.vision.intervals import CONFIDENCE_LEVEL, accuracy_interval


def compare_runs(workspace: Workspace, run_ids: Sequence[str]) -> dict[str, Any]:
    """Compare runs of one manifest on validation. FototecaError when there are fewer than two, or their images differ."""
    runs = [find_run(workspace, run_id) for run_id in dict.fromkeys(run_ids)]
    if len(runs) < 2:
        raise FototecaError("one run cannot be compared", "name two or more: fototeca train list")
    versions = sorted({run.manifest_version for run in runs})
    if len(versions) > 1:
        raise FototecaError(f"the runs are of different manifests: {', '.join(versions)}", "compare runs of one manifest")
    manifest = read_manifest(workspace, versions[0])
    return compare_predictions([read_split_predictions(workspace, run, "val", manifest) for run in runs])


def compare_predictions(several: Sequence[SplitPredictions]) -> dict[str, Any]:
    """Every run's accuracy with its interval, every pair's test, and the runs that cannot be told apart from the best."""
    several = [align_predictions(results, several[0]) for results in several]
    order = sorted(range(len(several)), key=lambda index: (-float(several[index].correct.mean()), several[index].run.id))
    several = [several[index] for index in order]
    draws = draw_resamples(several[0].groups).astype(np.float64)
    pairs = [_pair(a, b, draws) for a, b in combinations(several, 2)]
    for pair, adjusted in zip(pairs, holm_correction([pair["p"] for pair in pairs]), strict=True):
        pair["p_holm"] = adjusted
    best = several[0].run.id
    apart = {pair["b"] for pair in pairs if pair["a"] == best and pair["p_holm"] < 1 - CONFIDENCE_LEVEL}
    return {
        "split": several[0].split,
        "n": len(several[0]),
        "runs": [_summary(results) for results in several],
        "pairs": pairs,
        "best": best,
        "like_best": [results.run.id for results in several if results.run.id not in apart],
    }


def _summary(results: SplitPredictions) -> dict[str, Any]:
    scores = class_scores(results.true, results.predicted)
    return {
        "run": results.run.id,
        "accuracy": float(results.correct.mean()),
        "accuracy_interval": list(accuracy_interval(results.correct, results.groups)),
        "macro_f1": macro_mean(scores.f1, results.true.any(axis=0) | results.predicted.any(axis=0)),
    }


def _pair(a: SplitPredictions, b: SplitPredictions, draws: FloatArray) -> dict[str, Any]:
    test = mcnemar_test(a.correct, b.correct, a.groups)
    return {"a": a.run.id, "b": b.run.id, **paired_difference(a.correct, b.correct, a.groups, draws), **test}


def align_predictions(results: SplitPredictions, first: SplitPredictions) -> SplitPredictions:
    """The results in the order of the first ones' images. FototecaError when they are of other images."""
    ids = [row.image_id for row in results.rows]
    wanted = [row.image_id for row in first.rows]
    if ids == wanted:
        return results
    if sorted(ids) != sorted(wanted):
        raise FototecaError(
            f"runs {results.run.id} and {first.run.id} were judged on different images", "train both again on one manifest"
        )
    place = {image_id: index for index, image_id in enumerate(ids)}
    return results.take([place[image_id] for image_id in wanted])


def mcnemar_test(a: BoolArray, b: BoolArray, groups: IntArray) -> dict[str, Any]:
    """McNemar's exact test (1947) of two runs on the same images: `only_a` and `only_b` right, and the two-sided p.

    Under the null hypothesis each image that only one has right is a fair coin; the near-duplicates of one group are one coin,
    which falls to the run that has more of them right.
    """
    ahead = np.bincount(groups, weights=a.astype(np.float64) - b.astype(np.float64))
    for_a, for_b = int((ahead > 0).sum()), int((ahead < 0).sum())
    n = for_a + for_b
    ways = tail = 1  # of k coins among n, and of up to k
    for k in range(1, min(for_a, for_b) + 1):
        ways = ways * (n - k + 1) // k
        tail += ways
    return {"only_a": int((a & ~b).sum()), "only_b": int((b & ~a).sum()), "p": min(1.0, 2 * tail / 2**n)}


def holm_correction(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) of several p-values, in their order."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    adjusted, running = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = running
    return adjusted


def paired_difference(a: BoolArray, b: BoolArray, groups: IntArray, draws: FloatArray | None = None) -> dict[str, Any]:
    """The difference of two accuracies on the same images, with its interval when groups are drawn together. `draws`: what
    `resamples` gives of the groups, where it is at hand."""
    weights = draw_resamples(groups).astype(np.float64) if draws is None else draws
    gap = a.astype(np.float64) - b.astype(np.float64)
    return {"difference": float(gap.mean()), "interval": list(percentile_interval(weights @ gap / weights.sum(axis=1)))}
