"""The learning rate test, on a known curve and on images."""

from __future__ import annotations

import csv

import pytest
from PIL import Image

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.lr_finder import find_lr, sparkline, suggest_lr
from fototeca.train.trainer import train_run


def test_suggested_rate_is_the_steepest_descent() -> None:
    """A step between two plateaus is found; a curve that only rises is an error."""
    rates = [10.0**power for power in range(-6, 1)]
    assert suggest_lr(rates, [2, 2, 1.9, 1.0, 0.2, 0.2, 3]) == 1e-3
    with pytest.raises(FototecaError, match="never falls"):
        suggest_lr(rates, [1, 2, 3, 4, 5, 6, 7])


def test_suggested_rate_trains_better_than_a_low_one(small: Workspace) -> None:
    """The suggestion is within the range, the files exist, and no run is written."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    curve = find_lr(small, TrainConfig(**base), steps=40)  # type: ignore[arg-type]  # a test's plain dict
    assert 1e-5 < curve.suggested < 0.5
    with curve.table.open(newline="") as file:
        assert len(list(csv.reader(file))) == len(curve.loss) + 1
    with Image.open(curve.plot) as plot:
        assert plot.size > (400, 200)
    assert not list(small.runs.glob("*"))
    first, second = (train_run(small, TrainConfig(**base, epochs=2, lr=rate)) for rate in (curve.suggested, 1e-6))  # type: ignore[arg-type]
    assert first.epochs()[-1]["train_loss"] < second.epochs()[-1]["train_loss"] - 0.1


def test_lr_find_rejects_features(small: Workspace) -> None:
    """The error names the regimes that have a learning rate test."""
    with pytest.raises(FototecaError, match="scratch or finetune"):
        find_lr(small, TrainConfig(manifest="v001", model="resnet18", regime="features"))


def test_sparkline() -> None:
    """The lowest and highest values have the lowest and highest blocks."""
    assert sparkline([0, 1, 2]) == "▁▄█"
