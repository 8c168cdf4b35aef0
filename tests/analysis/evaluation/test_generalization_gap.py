"""Causes of the generalization gap, on predictions with a known answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fototeca.analysis.evaluation import generalization_gap as gap
from fototeca.analysis.evaluation.generalization_gap import (
    SelectionEffect,
    UnseenSources,
    class_mix_effect,
    compute_category_shift,
    count_groups_across_splits,
    count_unseen_sources,
    explain_generalization_gap,
    sampling_error,
    selection_effect,
)
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.evaluation.quality_shift import QualityShift
from fototeca.analysis.i18n import Texts
from fototeca.analysis.report.test_section import _gap_reasons
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow
from fototeca.train.runs import Run

FIRST = ManifestRow("", "", "", "val", "", 9, 9, "0" * 16, "drawn", "", "", "", "MIT", True)


def results(labels: Sequence[str], said: Sequence[str], split: str = "val", groups: Sequence[str] = ()) -> SplitPredictions:
    """Return predictions; multi-label if a label contains a bar."""
    task = "multi" if any("|" in label for label in (*labels, *said)) else "single"
    run = Run("r", Path("r"), {"task": task, "categories": ["a", "b"], "model": "m", "regime": "scratch", "manifest": "v001"})
    rows = tuple(
        replace(FIRST, image_id=f"{split}{k}", label=label, split=split, group=groups[k] if groups else "")  # type: ignore[arg-type]
        for k, label in enumerate(labels)
    )
    probabilities = np.array([[0.9 if name in words.split("|") else 0.1 for name in "ab"] for words in said])
    return SplitPredictions(run, split, ("a", "b"), task == "multi", rows, tuple(labels), tuple(said), probabilities)


def manifest(rows: Sequence[ManifestRow], threshold: int | None = 10) -> Manifest:
    """Return a manifest of these rows."""
    return Manifest(
        "v001", "d", "single", ("a", "b"), tuple(rows), "0", 0, (70, 10, 20), threshold, None, "", "", Path("v001.csv")
    )


def test_class_mix_effect_of_label_frequencies() -> None:
    """a is always correct, b half the time: from 50% to 75% of a accuracy rises by 1/8."""
    val = results(["a"] * 4 + ["b"] * 4, ["a"] * 4 + ["b", "b", "a", "a"])
    test = results(["a"] * 6 + ["b"] * 2, ["a"] * 8, "test")
    assert class_mix_effect(val, test).to_json() == pytest.approx({"effect": 0.125, "unseen": 0, "distance": 0.25})


def test_class_mix_effect_ignores_labels_unseen_in_validation() -> None:
    """b does not occur in validation: it has no effect, and its share is `unseen`."""
    val = results(["a"] * 4, ["a", "a", "a", "b"])
    found = class_mix_effect(val, results(["a", "a", "b", "b"], ["a"] * 4, "test"))
    assert found.to_json() == pytest.approx({"effect": 0, "unseen": 0.5, "distance": 0.5})


def test_class_mix_effect_of_label_sets() -> None:
    """An image is correct if all its labels are: a|b is always wrong, a and no label always correct."""
    val = results(["a", "a", "a|b", "a|b"], ["a", "a", "a", "b"])
    test = results(["a", "a|b", "a|b", "a|b"], ["a", "a", "a", "a"], "test")
    assert class_mix_effect(val, test).effect == pytest.approx(-0.25)


def test_sampling_error_grows_with_duplicate_groups() -> None:
    """Standard error of two independent shares after Agresti and Caffo, larger for duplicate groups."""
    val = results(["a"] * 40, ["a"] * 30 + ["b"] * 10)
    test = results(["a"] * 80, ["a"] * 60 + ["b"] * 20, "test")
    found = sampling_error(val, test)
    shares = [(hits + 2) / (n + 4) for hits, n in ((30, 40), (60, 80))]
    expected = sum(share * (1 - share) / (n + 4) for share, n in zip(shares, (40, 80), strict=True)) ** 0.5
    assert found.standard_error == pytest.approx(expected, rel=0.02)
    assert found.interval[0] < 0 < found.interval[1]
    assert found.p == pytest.approx(1)
    grouped = results(["a"] * 40, ["a"] * 30 + ["b"] * 10, groups=[f"g{k // 5}" for k in range(40)])
    assert sampling_error(grouped, test).standard_error > 1.3 * found.standard_error


def test_selection_effect() -> None:
    """0 for one candidate, clear for the best of eight equal ones, independent of the order of rows."""
    rng = np.random.default_rng(0)
    labels = ["a"] * 100
    rivals = [results(labels, ["a" if hit else "b" for hit in rng.random(100) < 0.7]) for _ in range(8)]
    assert selection_effect(rivals[0], rivals[:1]).optimism == 0
    best, *_, worst = sorted(rivals, key=lambda one: -float(one.correct.mean()))
    assert selection_effect(worst, rivals) == SelectionEffect(8, chosen=False, optimism=0.0), "it was not chosen"
    found = selection_effect(best, rivals)
    assert found.candidates == 8 and 0.01 < found.optimism < 0.1
    turned = [one if one is best else one.take(list(range(100))[::-1]) for one in rivals]
    assert selection_effect(best, turned) == found
    with pytest.raises(FototecaError, match="evaluated on different images"):
        selection_effect(rivals[0], [rivals[0], rivals[1].take(range(99))])


def test_source_shift_and_groups_across_splits(tmp_path: Path) -> None:
    """An equal mix of sources is not significant, another one is; groups count only after dedup."""
    assert compute_category_shift(["x", "y"] * 30, ["x", "y"] * 30).p > 0.9
    moved = compute_category_shift(["x"] * 30, ["y"] * 30)
    assert moved.distance == 1 and moved.p < 0.01
    rows = [replace(FIRST, group="g", split="train"), replace(FIRST, group="g", split="test"), replace(FIRST, group="h")]
    assert count_groups_across_splits(manifest(rows)) == 1
    assert count_groups_across_splits(manifest(rows, None)) is None
    val, test = results(["a", "b"] * 5, ["a"] * 10), results(["a", "b"] * 5, ["a", "b"] * 5, "test")
    whole = explain_generalization_gap(Workspace(tmp_path), manifest(rows), val, test, [val])
    assert whole.difference == pytest.approx(0.5)
    assert whole.quality == {}
    assert whole.calibration.test_ece == pytest.approx(0.1)
    assert whole.calibration.ece_difference == pytest.approx(0.1 - whole.calibration.val_ece)


def test_shift_p_values_have_holm_correction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holm's correction covers sources and quality measures together."""
    measured = {name: QualityShift(0.0, 0.0, 0.0, p) for name, p in (("sharpness", 0.004), ("border", 0.9))}
    monkeypatch.setattr(gap, "quality_shift", lambda *_: measured)
    val, test = results(["a", "b"] * 5, ["a"] * 10), results(["a", "b"] * 5, ["a", "b"] * 5, "test")
    found = explain_generalization_gap(Workspace(tmp_path), manifest([FIRST]), val, test, [val])
    assert found.shift_tests == 3
    assert found.quality["sharpness"].p_holm == pytest.approx(0.012)
    assert found.sources.p_holm == found.quality["border"].p_holm == 1
    for lang in ("en", "es"):
        words = Texts.load(lang)
        told = _gap_reasons(words, found.to_json())
        assert words.probability(0.012) in told["quality"] and words.percent(0.1) in told["calibration"]


def test_unseen_sources_are_named_with_their_accuracy(tmp_path: Path) -> None:
    """Names, image counts of both splits, and accuracy on them and elsewhere; the report says so if there are none."""
    val, test = results(["a"] * 4, ["a"] * 4), results(["a"] * 4, ["a", "b", "a", "a"], "test")
    new = replace(test, rows=tuple(replace(row, source="phone") if k < 2 else row for k, row in enumerate(test.rows)))
    rows = [replace(FIRST, split="train"), replace(FIRST, split="train", source="gone")]
    found = count_unseen_sources(manifest(rows), val, new)
    assert found == UnseenSources(("phone",), val=0, test=2, test_accuracy=0.5, test_accuracy_elsewhere=1)
    assert count_unseen_sources(manifest(rows), val, test).names == ()
    words = Texts.load("en")
    told = [
        _gap_reasons(words, explain_generalization_gap(Workspace(tmp_path), manifest(rows), val, one, [val]).to_json())
        for one in (new, test)
    ]
    assert "phone" in told[0]["unseen_sources"] and "50.0% on these images" in told[0]["unseen_sources"]
    assert told[1]["unseen_sources"] == words("generalization_gap.no_unseen")
