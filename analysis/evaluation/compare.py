"""`compare`: paired tests between runs on the same validation images, and the runs statistically tied with the best one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fototeca.analysis.evaluation.metrics import BoolArray, IntArray, class_scores, macro_mean
from fototeca.analysis.evaluation.predictions import SplitPredictions, find_run, read_split_predictions
from fototeca.analysis.evaluation.results import Interval
from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.vision.intervals import CONFIDENCE_LEVEL, accuracy_interval, paired_interval


@dataclass(frozen=True)
class RunScore(Result):
    """Accuracy with its interval and macro F1 of one run."""

    run: str
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float


@dataclass(frozen=True)
class McNemar(Result):
    """McNemar's test of runs a and b: the images that only one of them predicts correctly, and the two-sided p."""

    only_a: int
    only_b: int
    p: float


@dataclass(frozen=True)
class PairedDifference(Result):
    """Accuracy of a minus accuracy of b on the same images, with its interval (Newcombe's for paired proportions)."""

    difference: float
    interval: Interval


@dataclass(frozen=True)
class RunPair(Result):
    """Comparison of the best run `a` with run `b`; `p_holm` is p after Holm's correction for all runs but the best."""

    a: str
    b: str
    difference: float
    interval: Interval
    only_a: int
    only_b: int
    p: float
    p_holm: float


@dataclass(frozen=True)
class Comparison(Result):
    """All runs, best first, the best run with each other, and the runs not significantly worse than it (itself included)."""

    split: str
    n: int
    runs: tuple[RunScore, ...]
    pairs: tuple[RunPair, ...]
    best: str
    tied_with_best: tuple[str, ...]


def compare_runs(workspace: Workspace, run_ids: Sequence[str]) -> Comparison:
    """Compare runs of one manifest on validation. FototecaError for fewer than two runs, or runs with different images."""
    runs = [find_run(workspace, run_id) for run_id in dict.fromkeys(run_ids)]
    if len(runs) < 2:
        raise FototecaError("one run cannot be compared", "name two or more: fototeca train list")
    versions = sorted({run.manifest_version for run in runs})
    if len(versions) > 1:
        raise FototecaError(
            f"the runs were trained on different manifests: {', '.join(versions)}", "compare runs of one manifest"
        )
    manifest = read_manifest(workspace, versions[0])
    return compare_predictions([read_split_predictions(workspace, run, "val", manifest) for run in runs])


def compare_predictions(several: Sequence[SplitPredictions]) -> Comparison:
    """Compare the predictions of runs on one split: accuracies, McNemar's test against the best run, and ties with it."""
    several = [align_predictions(results, several[0]) for results in several]
    several = sorted(several, key=lambda results: (-float(results.correct.mean()), results.run.id))
    first, *others = several
    best = first.run.id
    tests = [mcnemar_test(first.correct, other.correct, first.groups) for other in others]
    pairs = tuple(
        _compare_pair(first, other, test, p_holm)
        for other, test, p_holm in zip(others, tests, holm_correction([test.p for test in tests]), strict=True)
    )
    worse = {pair.b for pair in pairs if pair.p_holm < 1 - CONFIDENCE_LEVEL}
    return Comparison(
        split=several[0].split,
        n=len(several[0]),
        runs=tuple(_score_run(results) for results in several),
        pairs=pairs,
        best=best,
        tied_with_best=tuple(results.run.id for results in several if results.run.id not in worse),
    )


def _score_run(results: SplitPredictions) -> RunScore:
    scores = class_scores(results.true, results.predicted)
    return RunScore(
        run=results.run.id,
        accuracy=float(results.correct.mean()),
        accuracy_interval=accuracy_interval(results.correct, results.groups),
        macro_f1=macro_mean(scores.f1, results.true.any(axis=0) | results.predicted.any(axis=0)),
    )


def _compare_pair(a: SplitPredictions, b: SplitPredictions, test: McNemar, p_holm: float) -> RunPair:
    paired = paired_difference(a.correct, b.correct, a.groups)
    return RunPair(a.run.id, b.run.id, paired.difference, paired.interval, test.only_a, test.only_b, test.p, p_holm)


def align_predictions(results: SplitPredictions, first: SplitPredictions) -> SplitPredictions:
    """Return the predictions in the order of the images of `first`. FototecaError if the images differ."""
    ids = [row.image_id for row in results.rows]
    wanted = [row.image_id for row in first.rows]
    if ids == wanted:
        return results
    if sorted(ids) != sorted(wanted):
        raise FototecaError(
            f"runs {results.run.id} and {first.run.id} were evaluated on different images", "train both again on one manifest"
        )
    index = {image_id: place for place, image_id in enumerate(ids)}
    return results.take([index[image_id] for image_id in wanted])


def mcnemar_test(a: BoolArray, b: BoolArray, groups: IntArray) -> McNemar:
    """Return McNemar's exact test (1947) of two runs; `a` and `b` (N,) are True where the run is correct.

    Each duplicate group counts as one observation, won by the run with more correct images in it; under the null hypothesis both
    are equally likely to win. `only_a` and `only_b` count images.
    """
    from scipy.stats import binomtest

    lead = np.bincount(groups, weights=a.astype(np.float64) - b.astype(np.float64))
    wins_a, wins_b = int((lead > 0).sum()), int((lead < 0).sum())
    p = float(binomtest(wins_a, wins_a + wins_b).pvalue) if wins_a + wins_b else 1.0
    return McNemar(int((a & ~b).sum()), int((b & ~a).sum()), p)


def holm_correction(values: Sequence[float]) -> list[float]:
    """Return p-values after Holm's step-down correction (1979), in the given order."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    adjusted, running = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = running
    return adjusted


def paired_difference(a: BoolArray, b: BoolArray, groups: IntArray) -> PairedDifference:
    """Return the difference of two accuracies on the same images, with its interval; see `paired_interval`."""
    return PairedDifference(float(a.mean() - b.mean()), paired_interval(a, b, groups))
