"""Metrics of `evaluate` and `compare` against scikit-learn, duplicate groups in intervals, and test-time augmentation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from sklearn import metrics as reference
from torchmetrics.classification import MulticlassCalibrationError

from fototeca.analysis.cli_tables import evaluation_table
from fototeca.analysis.evaluation import tta
from fototeca.analysis.evaluation.bootstrap import bootstrap_macro_f1, draw_resamples
from fototeca.analysis.evaluation.calibration import fit_temperature
from fototeca.analysis.evaluation.compare import compare_predictions
from fototeca.analysis.evaluation.evaluate import compute_metrics
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.evaluation.tta import tta_probabilities
from fototeca.curate.manifest import ManifestRow
from fototeca.train.runs import Run
from fototeca.train.runs.registry import FloatArray
from fototeca.vision.intervals import group_index, wilson_interval

NAMES = ("a", "b", "c")
ROW = ManifestRow("", "", "", "val", "", 9, 9, "0" * 16, "drawn", "", "", "", "MIT", True)


def made(name: str, true: np.ndarray, probabilities: np.ndarray, *, multi: bool = False) -> SplitPredictions:
    """Return predictions of labels `true` (N, 3) with probabilities (N, 3): the most probable category, or all from 0.5."""
    said = probabilities >= 0.5 if multi else np.eye(3, dtype=bool)[probabilities.argmax(axis=1)]
    labels, told = (
        tuple("|".join(n for n, there in zip(NAMES, row, strict=True) if there) for row in side) for side in (true, said)
    )
    run = Run(name, Path(name), {"task": "multi" if multi else "single", "categories": NAMES})
    rows = tuple(replace(ROW, image_id=f"i{k:03}", label=label) for k, label in enumerate(labels))
    return SplitPredictions(run, "val", NAMES, multi, rows, labels, told, probabilities)


def single(seed: int = 0, n: int = 90, skill: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    """Return true classes (N, 3) and probabilities correlated with them."""
    rng = np.random.default_rng(seed)
    true = np.eye(3, dtype=bool)[np.arange(n) % 3]
    said = np.exp(rng.normal(size=(n, 3)) + skill * true)
    return true, said / said.sum(axis=1, keepdims=True)


def test_single_label_metrics_equal_scikit_learn() -> None:
    """All fields of `compute_metrics`."""
    true, probabilities = single()
    facts = compute_metrics(made("r", true, probabilities), None).to_json()
    labels, said = true.argmax(axis=1), probabilities.argmax(axis=1)
    assert facts["accuracy"] == pytest.approx(reference.accuracy_score(labels, said))
    assert facts["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, said))
    assert facts["macro_f1"] == pytest.approx(reference.f1_score(labels, said, average="macro"))
    assert facts["log_loss"] == pytest.approx(reference.log_loss(labels, probabilities))
    assert facts["top_k"]["2"] == pytest.approx(reference.top_k_accuracy_score(labels, probabilities, k=2))
    assert facts["confusion"]["counts"] == reference.confusion_matrix(labels, said).tolist()
    assert facts["brier"] == pytest.approx(
        reference.brier_score_loss(labels, probabilities, labels=range(3), scale_by_half=False)
    )
    by_class = reference.precision_recall_fscore_support(labels, said)
    for name, values in zip(("precision", "recall", "f1", "n"), by_class, strict=True):
        assert [facts["per_class"][category][name] for category in NAMES] == pytest.approx(values)
    means = reference.precision_recall_fscore_support(labels, said, average="macro")
    assert [facts[f"macro_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(means[:3])
    for name in ("balanced_accuracy", "macro_f1"):
        low, high = facts["intervals"][name]
        assert low < facts[name] < high


def test_multi_label_metrics_equal_scikit_learn() -> None:
    """Micro, macro and calibration over all probabilities; balanced accuracy is single-label only."""
    rng = np.random.default_rng(1)
    true = rng.random((80, 3)) < 0.4
    probabilities = np.clip(0.5 + 0.25 * (true - 0.5) + rng.normal(0, 0.2, (80, 3)), 0.01, 0.99)
    evaluation = compute_metrics(made("r", true, probabilities, multi=True), None)
    table, facts = evaluation_table(evaluation), evaluation.to_json()
    said = probabilities >= 0.5
    assert facts["micro_f1"] == pytest.approx(reference.f1_score(true, said, average="micro"))
    assert facts["macro_f1"] == pytest.approx(reference.f1_score(true, said, average="macro"))
    assert facts["accuracy"] == pytest.approx(reference.accuracy_score(true, said))
    each = [reference.log_loss(true[:, c], probabilities[:, c]) for c in range(3)]
    assert facts["log_loss"] == pytest.approx(np.mean(each))
    assert facts["average_precision"]["micro"] == pytest.approx(
        reference.average_precision_score(true, probabilities, average="micro")
    )
    sure = probabilities.ravel()
    hit, bins = true.ravel(), np.minimum((sure * 15).astype(int), 14)
    expected = sum(abs(hit[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins))
    assert facts["calibration"]["ece"] == pytest.approx(expected)
    assert "balanced_accuracy" not in facts and "balanced_accuracy" not in facts["intervals"]
    assert "balanced accuracy" not in table and "macro F1" in table


def test_calibration_error_before_and_after_scaling() -> None:
    """Overconfident probabilities: both errors equal torchmetrics, and scaling at least halves the error."""
    true, probabilities = single(n=900)
    sharp = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    temperature = fit_temperature(true, sharp)
    facts = compute_metrics(made("r", true, sharp), temperature).calibration.to_json()
    tempered = sharp ** (1 / temperature)
    before, after = (
        MulticlassCalibrationError(3, n_bins=15, norm="l1")(torch.tensor(given), torch.tensor(true.argmax(axis=1)))
        for given in (sharp, tempered / tempered.sum(axis=1, keepdims=True))
    )
    assert (facts["ece"], facts["ece_scaled"]) == (pytest.approx(float(before), abs=1e-6), pytest.approx(float(after), abs=1e-6))
    assert facts["temperature"] == temperature and facts["ece_scaled"] < facts["ece"] / 2


def test_intervals_use_the_effective_number_of_images() -> None:
    """With every image tripled, the accuracy and recall intervals equal those of the unique images."""
    true, probabilities = single(n=60)
    copies = made("r", *(np.repeat(side, 3, axis=0) for side in (true, probabilities)))
    rows = tuple(replace(row, group=f"g{k // 3:02}") for k, row in enumerate(copies.rows))
    cases = (made("r", true, probabilities), 1, 0), (copies, 3, 0), (replace(copies, rows=rows), 1, 1)
    for results, times, less in cases:
        facts = compute_metrics(results, None).to_json()
        figures = [(facts["accuracy"], 60, facts["accuracy_interval"])]
        figures += [(row["recall"], 20, row["recall_interval"]) for row in facts["per_class"].values()]
        for share, n, interval in figures:
            assert 0 < share < 1
            assert interval == pytest.approx(wilson_interval(share * (n * times - less), n * times - less))


def test_resamples_keep_duplicate_groups_together() -> None:
    """Threefold duplicates in one group give the same bootstrap intervals as single images."""
    draws = draw_resamples(group_index(["g", "g", "h", "", ""]), count=50)
    assert (draws[:, 0] == draws[:, 1]).all() and (draws[:, [0, 2, 3, 4]].sum(axis=1) == 4).all()
    assert (draws[:, 0] != draws[:, 2]).any()
    true, probabilities = single(n=30)
    said = np.eye(3, dtype=bool)[probabilities.argmax(axis=1)]
    once = bootstrap_macro_f1(true, said, group_index([f"{k:02}" for k in range(30)]))
    copies = [np.repeat(side, 3, axis=0) for side in (true, said)]
    together = bootstrap_macro_f1(*copies, group_index([f"{k // 3:02}" for k in range(90)]))
    apart = bootstrap_macro_f1(*copies, group_index([""] * 90))
    assert together == pytest.approx(once)
    assert apart[1] - apart[0] < 0.8 * (once[1] - once[0])


def test_compare_aligns_images() -> None:
    """The order of rows does not matter; an equal run is tied with the best, a clearly worse one is not."""
    true, _ = single()
    good, same, bad = (
        made(name, true, single(seed, skill=skill)[1]) for name, seed, skill in (("a", 1, 3), ("b", 2, 3), ("c", 3, 0))
    )
    found = compare_predictions([bad, same, good])
    assert {run.run for run in found.runs[:2]} == {"a", "b"} == set(found.tied_with_best)
    mixed = same.take(np.random.default_rng(0).permutation(len(same)).tolist())
    assert compare_predictions([bad, mixed, good]) == found


def test_ties_are_decided_after_holm_correction() -> None:
    """Six errors more give p = 0.03 in one test, which is not significant among two; only pairs with the best are tested."""
    true, _ = single()
    runs = []
    for name, wrong in (("a", 0), ("b", 0), ("c", 6)):
        said = np.where(np.arange(len(true))[:, None] < wrong, np.roll(true, 1, axis=1), true)
        runs.append(made(name, true, np.where(said, 0.8, 0.1)))
    found = compare_predictions(runs)
    assert [(pair.a, pair.b, pair.p) for pair in found.pairs] == [("a", "b", 1), ("a", "c", pytest.approx(2 / 2**6))]
    assert found.tied_with_best == ("a", "b", "c")


def test_more_runs_do_not_hide_a_clearly_worse_one() -> None:
    """Among eight runs, one that loses 14 images and wins 2 (p = 0.004) is worse than the best."""
    true, _ = single(n=90)
    wrong = {"best": [0, 1], "worse": range(2, 16)} | {f"equal{k}": [0, 1, 20 + k] for k in range(6)}
    runs = []
    for name, images in wrong.items():
        said = np.where(np.isin(np.arange(90), list(images))[:, None], np.roll(true, 1, axis=1), true)
        runs.append(made(name, true, np.where(said, 0.8, 0.1)))
    found = compare_predictions(runs)
    assert len(found.pairs) == 7 and found.pairs[-1].p == pytest.approx(0.0042, abs=1e-4)
    assert set(wrong) - set(found.tied_with_best) == {"worse"}


@pytest.mark.parametrize("groups", [["", "", "", ""], ["g", "g", "h", "h"]])
def test_intervals_of_four_right_images_are_wide(groups: list[str]) -> None:
    """Perfect predictions of few images: no interval collapses to 100%, single-label, multi-label and of a difference."""
    true = np.eye(3, dtype=bool)[[0, 1, 0, 1]]
    results = made("r", true, np.where(true, 0.9, 0.1))
    results = replace(results, rows=tuple(replace(row, group=name) for row, name in zip(results.rows, groups, strict=True)))
    for evaluation in (compute_metrics(results, None), compute_metrics(replace(results, multi=True), None)):
        assert len(evaluation.intervals) >= 2
        for low, high in (evaluation.accuracy_interval, *evaluation.intervals.values()):
            assert low < 0.8 and high == 1
    other = replace(results, run=replace(results.run, id="s"))
    low, high = compare_predictions([results, other]).pairs[0].interval
    assert low < -0.2 and high > 0.2


def test_tta_batches_are_bounded_in_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches hold at most MAX_BATCH_PIXELS or one image, are never empty, and cover all images."""
    monkeypatch.setattr(tta, "MAX_BATCH_PIXELS", 250)
    row = ManifestRow("", "", "", "val", "", 10, 10, "0" * 16, "drawn", "", "", "", "MIT", True)
    rows = [replace(row, image_id=str(k), width=10 if k < 7 else 90) for k in range(9)] + [row] * 40
    found = list(tta.batch_rows(rows))
    assert [one for part in found for one in part] == rows
    assert [len(part) for part in found[:6]] == [2, 2, 2, 1, 1, 1] and max(map(len, found)) == 2
    monkeypatch.setattr(tta, "MAX_BATCH_PIXELS", 10**9)
    assert [len(part) for part in tta.batch_rows(rows)] == [32, 17]


def test_tta_averages_four_views() -> None:
    """The image, its mirror image and the zoomed center of both."""
    picture = Image.linear_gradient("L").rotate(90).convert("RGB")  # dark on one side, so that a mirror image differs

    class Brightness:
        """Predicts the brightness of the left half."""

        mirror = True

        def probabilities(self, images: list[Image.Image]) -> FloatArray:
            """(N, 2)."""
            left = [np.asarray(image.convert("L"))[:, : image.width // 2].mean() / 255 for image in images]
            return np.array([[value, 1 - value] for value in left], dtype=np.float32)

    cut = picture.crop((19, 19, 237, 237))
    expected = Brightness().probabilities([picture, ImageOps.mirror(picture), cut, ImageOps.mirror(cut)]).mean(axis=0)
    said = tta_probabilities(Brightness(), [picture, Image.new("RGB", (20, 20))])  # type: ignore[arg-type]
    np.testing.assert_allclose(said, [expected, [0, 1]], atol=1e-6)
    assert abs(said[0, 0] - Brightness().probabilities([picture])[0, 0]) > 0.1
