"""Runs of every kind that are stopped and given again: each ends as if nothing had been, and does nothing twice."""

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
from fototeca.train.runs.registry import read_tensors
from fototeca.train.trainer import train_run
from fototeca.train.training import loop
from fototeca.vision import features

NAMES = ("model.safetensors", "predictions-train.csv", "predictions-val.csv", "steps.csv")


def config(**settings: object) -> TrainConfig:
    """A small run with some settings changed."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return TrainConfig(**{"epochs": 3, **base, **settings})  # type: ignore[arg-type]  # a test's plain dict


def outcome(run: Run) -> dict[str, object]:
    """Weights, predictions, curves and facts, without what time it took."""
    return {
        "epochs": [{name: value for name, value in row.items() if "second" not in name} for row in run.epochs()],
        "facts": {name: value for name, value in run.facts.items() if name in ("best_epoch", "epochs_run", "val_accuracy")},
        "snapshots": [torch.load(path, weights_only=True) for path in sorted(run.folder.glob("snapshot-*.pt"))],
        **{name: (run.folder / name).read_bytes() for name in NAMES},
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Bit for bit."""
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
def test_a_network_goes_on(
    small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], step: int, epochs: int
) -> None:
    """Stopped at a step of a later epoch: the head is not fitted again, patience goes on counting, snapshots are the same."""
    if settings.get("regime") == "finetune":
        torch.save(read_tensors(train_run(small, config(epochs=1))), tmp_path / "plain.pth")  # its head is fitted anew
        settings["weights"] = str(tmp_path / "plain.pth")
    run = train_run(small, config(**settings))
    calm = outcome(run)
    assert len(run.epochs()) == epochs
    run.folder.rename(tmp_path / "calm")
    whole, calls = loop.TrainingLoop._step, []

    def dies(self: loop.TrainingLoop, *arguments: Any) -> Any:  # noqa: ANN401  (whatever it takes and gives)
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingLoop, "_step", dies)
        with pytest.raises(KeyboardInterrupt):
            train_run(small, config(**settings))
    monkeypatch.setattr("fototeca.train.feature_trainer.fit_head", None)  # a head that has learned already is not fitted
    assert same(outcome(train_run(small, config(**settings))), calm)


def test_the_time_of_all_epochs_counts(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves on by a second whenever it is looked at: what was spent before a stop is told with the rest."""
    clock = itertools.count(0.0)
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    whole = loop.TrainingLoop._save

    def stops(self: loop.TrainingLoop) -> None:
        whole(self)
        if self.progress.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingLoop, "_save", stops)
        with pytest.raises(KeyboardInterrupt):
            train_run(small, config())
    run = train_run(small, config())
    assert [row["seconds"] for row in run.epochs()] == [2, 2, 2]
    assert run.facts["seconds_training"] == 6 and run.facts["seconds"] >= 6


def test_features_go_on(small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after two batches of images: those are not asked about again, and the head is the same."""
    settings = {"regime": "features", "weights": f"run:{train_run(small, config(epochs=1)).id}", "epochs": 10}
    run = train_run(small, config(**settings))
    calm = outcome(run)
    run.folder.rename(tmp_path / "calm")
    shutil.rmtree(small.cache / "features")
    whole, asked = features.forward, list[int]()

    def dies(module: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        asked.append(len(inputs))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return whole(module, inputs)

    monkeypatch.setattr(features, "forward", dies)
    with pytest.raises(KeyboardInterrupt):
        train_run(small, config(**settings))
    assert same(outcome(train_run(small, config(**settings))), calm)
    assert asked == [32, 32, 8, 8]
