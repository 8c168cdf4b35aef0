"""Metrics equal scikit-learn, torchmetrics or scipy; intervals account for duplicate groups."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as reference
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
    MultilabelAveragePrecision,
    MultilabelConfusionMatrix,
)

from fototeca.analysis.evaluation.bootstrap import (
    NUM_RANKED_RESAMPLES,
    _average_precisions,
    bootstrap_average_precision,
    draw_resamples,
)
from fototeca.analysis.evaluation.calibration import fit_temperature, scale_probabilities
from fototeca.analysis.evaluation.compare import McNemar, holm_correction, mcnemar_test, paired_difference
from fototeca.analysis.evaluation.metrics import (
    average_precisions,
    binary_confusions,
    binary_log_loss,
    brier_score,
    class_scores,
    compute_reliability,
    confusion_matrix,
    exact_matches,
    indicator_matrix,
    log_loss,
    macro_mean,
    row_fractions,
    top_k_accuracy,
)
from fototeca.vision.intervals import (
    accuracy_interval,
    combine_intervals,
    design_effect,
    group_index,
    paired_interval,
    wilson_interval,
)

NAMES = ("a", "b", "c", "d")


def guesses(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true class numbers, correlated probabilities (N, 4), and predicted class numbers."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 4, n)
    logits = rng.normal(0, 1.2, (n, 4))
    logits[np.arange(n), true] += 1.3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return true, probabilities, probabilities.argmax(axis=1)


def as_rows(numbers: np.ndarray) -> np.ndarray:
    """Class numbers as an indicator matrix."""
    return indicator_matrix([NAMES[number] for number in numbers], NAMES)


@pytest.mark.parametrize("seed", range(3))
def test_single_label_metrics_equal_scikit_learn(seed: int) -> None:
    """Precision, recall, F1, balanced accuracy, confusion, top-k, log loss, Brier score."""
    true, probabilities, said = guesses(seed)
    rows, predicted = as_rows(true), as_rows(said)
    scores = class_scores(rows, predicted)
    expected = reference.precision_recall_fscore_support(true, said, labels=range(4), zero_division=0)
    for mine, theirs in zip((scores.precision, scores.recall, scores.f1, scores.n), expected, strict=True):
        np.testing.assert_allclose(mine, theirs)
    assert macro_mean(scores.recall, scores.n > 0) == pytest.approx(reference.balanced_accuracy_score(true, said))
    assert exact_matches(rows, predicted).mean() == pytest.approx(reference.accuracy_score(true, said))
    np.testing.assert_array_equal(confusion_matrix(rows, predicted), reference.confusion_matrix(true, said))
    assert top_k_accuracy(rows, probabilities, 2) == pytest.approx(reference.top_k_accuracy_score(true, probabilities, k=2))
    assert log_loss(rows, probabilities) == pytest.approx(reference.log_loss(true, probabilities))
    assert brier_score(rows, probabilities) == pytest.approx(
        reference.brier_score_loss(true, probabilities, labels=range(4), scale_by_half=False)
    )


@pytest.mark.parametrize("seed", range(3))
def test_single_label_metrics_equal_torchmetrics(seed: int) -> None:
    """Accuracy, balanced accuracy, precision, recall, F1 by class and on average, top-k."""
    true, probabilities, said = guesses(seed)
    rows, predicted = as_rows(true), as_rows(said)
    scores, every = class_scores(rows, predicted), np.ones(4, dtype=bool)
    target, given = torch.tensor(true), torch.tensor(probabilities)
    theirs = (MulticlassPrecision, MulticlassRecall, MulticlassF1Score)
    for mine, make in zip((scores.precision, scores.recall, scores.f1), theirs, strict=True):
        np.testing.assert_allclose(mine, make(4, average="none")(given, target).numpy(), atol=1e-6)
        assert macro_mean(mine, every) == pytest.approx(float(make(4, average="macro")(given, target)), abs=1e-6)
    accuracy = MulticlassAccuracy(4, average="micro")(given, target)
    assert exact_matches(rows, predicted).mean() == pytest.approx(float(accuracy), abs=1e-6)
    assert macro_mean(scores.recall, every) == pytest.approx(float(MulticlassAccuracy(4)(given, target)), abs=1e-6)
    np.testing.assert_array_equal(confusion_matrix(rows, predicted), MulticlassConfusionMatrix(4)(given, target).numpy())
    for k in (1, 2, 3):
        within = MulticlassAccuracy(4, top_k=k, average="micro")(given, target)
        assert top_k_accuracy(rows, probabilities, k) == pytest.approx(float(within), abs=1e-6)
        assert top_k_accuracy(rows, probabilities, k) == pytest.approx(reference.top_k_accuracy_score(true, probabilities, k=k))


def test_row_fractions_equal_scikit_learn() -> None:
    """A class without images has a row of zeros."""
    true, _, said = guesses(6)
    true = np.where(true == 3, 0, true)
    found = row_fractions(confusion_matrix(as_rows(true), as_rows(said)))
    np.testing.assert_allclose(found, reference.confusion_matrix(true, said, labels=range(4), normalize="true"))


def test_multi_label_metrics_equal_scikit_learn_and_torchmetrics() -> None:
    """Binary log loss; average precision by class, macro and micro; a class without a positive is left out of means."""
    rng = np.random.default_rng(7)
    true, scores = rng.random((120, 4)) < 0.3, np.round(rng.uniform(0.01, 0.99, (120, 4)), 3)
    each = [reference.log_loss(true[:, c], scores[:, c], labels=[False, True]) for c in range(4)]
    assert binary_log_loss(true, scores) == pytest.approx(np.mean(each))
    target, given = torch.tensor(true.astype(int)), torch.tensor(scores)
    by_class, mean, micro = average_precisions(true, scores)
    np.testing.assert_allclose(by_class, MultilabelAveragePrecision(4, average="none")(given, target).numpy(), atol=1e-6)
    assert mean == pytest.approx(float(MultilabelAveragePrecision(4, average="macro")(given, target)), abs=1e-6)
    assert micro == pytest.approx(float(MultilabelAveragePrecision(4, average="micro")(given, target)), abs=1e-6)
    np.testing.assert_array_equal(binary_confusions(true, scores >= 0.5), MultilabelConfusionMatrix(4)(given, target).numpy())
    true[:, 2] = False
    by_class, mean, _ = average_precisions(true, scores)
    assert np.isnan(by_class[2])
    assert mean == pytest.approx(reference.average_precision_score(true[:, [0, 1, 3]], scores[:, [0, 1, 3]], average="macro"))


def test_binary_confusions_equal_scikit_learn() -> None:
    """One 2 × 2 matrix per category, for images with several or no labels."""
    rng = np.random.default_rng(3)
    true, said = rng.random((90, 4)) < 0.3, rng.random((90, 4)) < 0.4
    np.testing.assert_array_equal(binary_confusions(true, said), reference.multilabel_confusion_matrix(true, said))


def test_average_precision_equals_scikit_learn() -> None:
    """Per class, macro and micro, ties included."""
    rng = np.random.default_rng(1)
    true, scores = rng.random((150, 4)) < 0.3, np.round(rng.random((150, 4)), 2)
    each, mean, micro = average_precisions(true, scores)
    np.testing.assert_allclose(each, [reference.average_precision_score(true[:, c], scores[:, c]) for c in range(4)])
    assert mean == pytest.approx(reference.average_precision_score(true, scores, average="macro"))
    assert micro == pytest.approx(reference.average_precision_score(true, scores, average="micro"))


def test_calibration_error_equals_torchmetrics() -> None:
    """Fifteen equal bins, weighted by count."""
    true, probabilities, said = guesses(4, 400)
    found = compute_reliability(probabilities.max(axis=1), said == true)
    theirs = MulticlassCalibrationError(4, n_bins=15, norm="l1")(torch.tensor(probabilities), torch.tensor(true))
    assert found.error == pytest.approx(float(theirs), abs=1e-6)


def test_temperature_corrects_overconfidence() -> None:
    """Logits scaled by three give a temperature of about three, and a lower calibration error."""
    true, probabilities, _ = guesses(5, 3000)
    sharp = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    honest, hot = (fit_temperature(as_rows(true), values) for values in (probabilities, sharp))
    assert hot / honest == pytest.approx(3, rel=0.02)
    np.testing.assert_allclose(scale_probabilities(sharp, 3.0), probabilities, atol=1e-9)
    right = sharp.argmax(axis=1) == true
    before, after = (compute_reliability(values.max(axis=1), right).error for values in (sharp, scale_probabilities(sharp, hot)))
    assert after < before / 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_equals_scipy(hits: int, extra: int) -> None:
    """Wilson's interval without continuity correction."""
    n = hits + extra
    theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson_interval(hits, n), (theirs.low, theirs.high), atol=1e-9)


def test_duplicate_groups_widen_intervals() -> None:
    """Groups of three identical images count as one image each."""
    rng = np.random.default_rng(0)
    once = rng.random(60) < 0.8
    alone = accuracy_interval(once, group_index([""] * 60))
    right, groups = np.repeat(once, 3), group_index([f"g{k}" for k in range(60) for _ in range(3)])
    assert design_effect(right, groups) == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(accuracy_interval(right, groups), alone, atol=0.01)


def test_duplicate_groups_never_narrow_intervals() -> None:
    """Groups with one correct and one wrong image are more balanced than chance; the design effect is at least 1."""
    right, groups = np.tile([True, False], 30), group_index([f"g{k // 2:02}" for k in range(60)])
    assert design_effect(right, groups) == 1
    assert accuracy_interval(right, groups) == wilson_interval(30, 60)


def test_mcnemar_holm_and_paired_difference() -> None:
    """McNemar's exact p equals the binomial test, also for duplicate groups; Holm's values are those of his procedure."""
    rng = np.random.default_rng(2)
    a, b = rng.random(80) < 0.9, rng.random(80) < 0.7
    alone = group_index([""] * 80)
    found = mcnemar_test(a, b, alone)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert found.p == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)
    assert holm_correction([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    burst = mcnemar_test(np.repeat(a, 3), np.repeat(b, 3), np.repeat(alone, 3))
    assert burst == McNemar(3 * only_a, 3 * only_b, found.p), "a duplicate group is one observation"
    many = np.arange(40_000) < 20_100
    assert mcnemar_test(many, ~many, group_index([""] * 40_000)).p == pytest.approx(binomtest(20_100, 40_000).pvalue)
    difference = paired_difference(a, b, group_index([""] * 80))
    assert difference.interval[0] < difference.difference == pytest.approx(a.mean() - b.mean())
    assert difference.difference < difference.interval[1]
    thrice = paired_difference(*(np.repeat(side, 3) for side in (a, b, alone)))
    assert thrice.interval == pytest.approx(difference.interval, abs=0.01)


@pytest.mark.parametrize(
    ("counts", "interval"),
    [((36, 12, 2, 0), (0.0569, 0.3404)), ((50, 0, 0, 0), (-0.0713, 0.0713))],
)
def test_paired_interval_equals_published_values(counts: tuple[int, int, int, int], interval: tuple[float, float]) -> None:
    """Newcombe (1998), method 10; counts are both right, only the first, only the second, neither."""
    a, b = np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)
    assert paired_interval(a, b, group_index([""] * sum(counts))) == pytest.approx(interval, abs=1e-3)


def test_combined_interval_of_a_difference_is_newcombes() -> None:
    """Newcombe (1998), method 10 for independent proportions: 56/70 minus 48/80 is 0.0524 to 0.3339."""
    ends = wilson_interval(56, 70), wilson_interval(48, 80)
    assert combine_intervals([1, -1], [0.8, 0.6], ends) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_average_precision_intervals_resample_whole_groups() -> None:
    """Resampled values equal scikit-learn; threefold duplicates do not narrow the interval."""
    rng = np.random.default_rng(4)
    true = rng.random((90, 3)) < [0.5, 0.3, 0.1]
    scores = np.round(np.clip(true * 0.3 + rng.random((90, 3)) * 0.7, 0, 1), 2)  # with ties
    alone = group_index([""] * 90)
    found = bootstrap_average_precision(true, scores, alone)
    weights = draw_resamples(alone, NUM_RANKED_RESAMPLES)
    with warnings.catch_warnings(action="ignore"):
        theirs = np.array(
            [
                [reference.average_precision_score(true[:, c], scores[:, c], sample_weight=w) for c in range(3)]
                for w in weights[:60]
            ]
        )
        whole = [reference.average_precision_score(true, scores, average="micro", sample_weight=w) for w in weights[:60]]
    theirs[np.stack([(weights[:60] @ true[:, c]) == 0 for c in range(3)], axis=1)] = np.nan
    ours = np.stack(
        [_average_precisions(true[:, c], scores[:, c], weights[:60].astype(float), np.arange(90)) for c in range(3)], axis=1
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    micro = _average_precisions(true.ravel(), scores.ravel(), weights[:60].astype(float), np.repeat(np.arange(90), 3))
    np.testing.assert_allclose(micro, whole, atol=1e-9)
    thrice = bootstrap_average_precision(np.repeat(true, 3, axis=0), np.repeat(scores, 3, axis=0), np.repeat(alone, 3))
    assert thrice["macro"] == pytest.approx(found["macro"]) and thrice["micro"] == pytest.approx(found["micro"])


def test_scaling_limits_probabilities_rounded_to_one() -> None:
    """Probabilities are stored in 32 bits: a logit above 17 is read as 17, and scales like that of an export."""
    kept = np.array([[1 / (1 + np.exp(-18.0)), 1 / (1 + np.exp(18.0))]], dtype=np.float32).astype(np.float64)
    np.testing.assert_allclose(
        scale_probabilities(kept, 4.0, multi=True), [[1 / (1 + np.exp(-4.5)), 1 / (1 + np.exp(4.5))]], atol=5e-3
    )
