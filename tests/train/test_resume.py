"""Interrupted runs of every kind resume without repeating work."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run
from fototeca.train.runs.load import read_tensors
from fototeca.train.trainer import train_run
from fototeca.train.training import loop
from fototeca.vision import features

NAMES = ("model.safetensors", "predictions-train.csv", "predictions-val.csv", "steps.csv")


def config(**settings: object) -> TrainConfig:
    """Return a small configuration with some settings changed."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return TrainConfig(**{"epochs": 3, **base, **settings})  # type: ignore[arg-type]  # a test's plain dict


def outcome(run: Run) -> dict[str, object]:
    """Return weights, predictions and curves, without times."""
    return {
        "epochs": [{name: value for name, value in row.items() if "second" not in name} for row in run.epochs()],
        "metrics": {
            name: value for name, value in run.metrics.to_json().items() if name in ("best_epoch", "epochs_run", "val_accuracy")
        },
        "snapshots": [torch.load(path, weights_only=True) for path in sorted(run.folder.glob("snapshot-*.pt"))],
        **{name: (run.folder / name).read_bytes() for name in NAMES},
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return True if both are equal bit for bit."""
    pairs = zip(one.pop("snapshots"), other.pop("snapshots"), strict=True)
    return one == other and all(torch.equal(first[name], second[name]) for first, second in pairs for name in first)


@pytest.mark.parametrize(
    ("settings", "step", "epochs"),
    [
        ({"regime": "finetune", "unfreeze": "1", "layer_decay": 0.8, "epochs": 2}, 6, 2),
        ({"epochs": 9, "patience": 2, "lr": 1e-9, "augment": "none"}, 10, 3),
        ({"epochs": 4, "snapshots": 2}, 11, 4),
    ],
    ids=["finetune", "patience", "snapshots"],
)
def test_network_resumes_from_its_checkpoint(
    small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], step: int, epochs: int
) -> None:
    """Stopped in a later epoch: no head is fitted again, patience continues, snapshots are equal."""
    if settings.get("regime") == "finetune":
        torch.save(read_tensors(train_run(small, config(epochs=1))), tmp_path / "plain.pth")  # its head is fitted anew
        settings["weights"] = str(tmp_path / "plain.pth")
    run = train_run(small, config(**settings))
    uninterrupted = outcome(run)
    assert len(run.epochs()) == epochs
    run.folder.rename(tmp_path / "calm")
    original, calls = loop.TrainingLoop._step, []

    def interrupt(self: loop.TrainingLoop, *arguments: Any) -> Any:  # noqa: ANN401  (whatever it takes and gives)
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingLoop, "_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_run(small, config(**settings))
    monkeypatch.setattr("fototeca.train.feature_trainer.fit_head", None)  # a head that has learned already is not fitted
    assert same(outcome(train_run(small, config(**settings))), uninterrupted)


def test_duration_includes_interrupted_epochs(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock of one second per reading, the time before the interruption is included."""
    clock = itertools.count(0.0)
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    original = loop.TrainingLoop._save

    def interrupt(self: loop.TrainingLoop) -> None:
        original(self)
        if self.progress.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingLoop, "_save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_run(small, config())
    run = train_run(small, config())
    assert [row["seconds"] for row in run.epochs()] == [2, 2, 2]
    assert run.metrics.seconds_training == 6 and run.metrics.seconds >= 6


def test_feature_extraction_resumes(small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches computed before the interruption are not computed again, and the head is equal."""
    settings = {"regime": "features", "weights": f"run:{train_run(small, config(epochs=1)).id}", "epochs": 10}
    run = train_run(small, config(**settings))
    uninterrupted = outcome(run)
    run.folder.rename(tmp_path / "calm")
    shutil.rmtree(small.cache / "features")
    original, batch_sizes = features.forward, list[int]()

    def interrupt(module: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        batch_sizes.append(len(inputs))
        if len(batch_sizes) == 3:
            raise KeyboardInterrupt
        return original(module, inputs)

    monkeypatch.setattr(features, "forward", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_run(small, config(**settings))
    assert same(outcome(train_run(small, config(**settings))), uninterrupted)
    assert batch_sizes == [32, 32, 8, 8]
