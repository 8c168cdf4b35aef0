"""Out-of-distribution warnings: score, threshold and false alarm rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fototeca.analysis.cli_tables import prediction_table
from fototeca.analysis.features.extract import normalize_rows, read_features
from fototeca.analysis.features.ood import OODDetector, false_alarm_rate, fit_threshold
from fototeca.analysis.predict.predict import predict_paths
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow, read_manifest
from fototeca.train.ensemble import make_ensemble
from fototeca.train.runs import load_model, read_run
from fototeca.vision.intervals import group_index
from tests.servers import jpeg

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


def test_duplicate_of_a_training_image_is_known(
    studied: Studied, first_image: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a threshold below every score only a duplicate of a training image is known."""
    workspace, runs = studied
    monkeypatch.setattr("fototeca.analysis.features.ood.fit_threshold", lambda train, val, groups: OODDetector(train, -1.0, 1.0))
    facts = predict_paths(workspace, runs[0], [str(first_image(split)) for split in ("train", "test")])
    assert [fact.unknown for fact in facts] == [False, True]


def chessboard(path: Path) -> str:
    """Write an image in blue and black, unlike the training images."""
    board = np.indices((96, 96)).sum(axis=0) // 4 % 2
    pixels = np.stack([np.zeros_like(board), np.zeros_like(board), 255 * board], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def test_unlike_image_is_unknown(studied: Studied, first_image: Callable[[str], Path], tmp_path: Path) -> None:
    """A validation image is known, a blue chessboard is not; the table shows the false alarm rate."""
    workspace, runs = studied
    known, strange = predict_paths(workspace, runs[0], [str(first_image("val")), chessboard(tmp_path / "strange.png")])
    assert (known.unknown, strange.unknown) == (False, True)
    assert strange.ood_score > strange.unknown_threshold >= known.ood_score
    assert 0 < strange.false_alarm_rate < 1
    told = prediction_table([replace(known, path="a", near_duplicate=None), replace(strange, path="b")], 1)
    assert f"{strange.false_alarm_rate:.1%} of images of the dataset's categories are wrongly reported" in told
    flagged = [line.split()[0] for line in told.splitlines()[1:3] if line.endswith("unlike the training images")]
    assert flagged == ["b"]


def test_false_alarm_rate_leaves_groups_out() -> None:
    """Each group is compared with the threshold of the others: the largest of ten scores is a false alarm."""
    scores = np.linspace(0.1, 1.0, 10)
    assert false_alarm_rate(scores, np.arange(10)) == pytest.approx(0.1)
    twins = np.array([*range(9), 8])
    assert false_alarm_rate(scores, twins) == pytest.approx(0.2)
    assert false_alarm_rate(scores, np.zeros(10, dtype=np.int64)) == 1
    rng = np.random.default_rng(0)
    train, val = (rng.normal(size=(n, 6)).astype(np.float32) + 2 for n in (200, 400))
    found = fit_threshold(train / np.linalg.norm(train, axis=1, keepdims=True), val, group_index([""] * 400))
    assert float(np.mean(found.scores(val) > found.threshold)) <= 0.05
    assert found.false_alarm_rate == pytest.approx(0.05, abs=0.01)


def test_ensemble_scores_concatenated_features(copied: Studied, first_image: Callable[[str], Path], tmp_path: Path) -> None:
    """The score of an ensemble uses the members' features with equal weight."""
    workspace, runs = copied
    joined, strange = make_ensemble(workspace, runs).id, chessboard(tmp_path / "strange.png")
    facts = predict_paths(workspace, joined, [str(first_image("val")), strange])
    assert [fact.unknown for fact in facts] == [False, True]
    assert facts[1].ood_score > facts[1].unknown_threshold >= facts[0].ood_score
    assert 0 < facts[1].false_alarm_rate < 1
    rate = facts[1].false_alarm_rate
    assert f"{rate:.1%} of images of the dataset's categories are wrongly reported" in prediction_table(facts, 1)
    manifest, parts, asked = read_manifest(workspace, "v001"), [], []
    with Image.open(strange) as image:
        for name in runs:
            run = read_run(workspace, name)
            features = read_features(workspace, run, manifest.split("train"))
            assert features is not None
            parts.append(normalize_rows(features[1]))
            asked.append(normalize_rows(load_model(workspace, run).features([image.convert("RGB")])))
    squares = [((one - new) ** 2).sum(axis=1) for one, new in zip(parts, asked, strict=True)]
    assert facts[1].ood_score == pytest.approx(np.sort(np.mean(squares, axis=0))[4] ** 0.5, abs=1e-3)


def test_no_threshold_without_validation(
    copied: Studied, tmp_path: Path, frozen_with: Callable[[Workspace, Callable[[ManifestRow], bool]], None]
) -> None:
    """Without a validation split score, threshold and rate are None."""
    workspace, runs = copied
    frozen_with(workspace, lambda row: row.split != "val")
    (tmp_path / "new.jpg").write_bytes(jpeg(1))
    facts = predict_paths(workspace, runs[0], [str(tmp_path / "new.jpg")])
    assert [facts[0].unknown, facts[0].ood_score, facts[0].false_alarm_rate] == [False, None, None]
    assert "are wrongly reported" not in prediction_table(facts, 1)
