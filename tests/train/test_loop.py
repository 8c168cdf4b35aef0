"""What the loop's options do, each against a few lines of plain PyTorch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from train import loop
from train.config import TrainConfig
from train.run import train_run
from train.runs import Run, load_model
from workspace import FototecaError, Workspace

Weights = dict[str, torch.Tensor]


def config(**settings: object) -> TrainConfig:
    """A small run with some settings changed."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return TrainConfig(**{"epochs": 1, **base, **settings})  # type: ignore[arg-type]  # a test's plain dict


def losses(run: Run) -> list[float]:
    """Of every step."""
    return [row["loss"] for row in run.steps()]


def after_each_step(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """The weights after each step of the runs that follow, as they are made."""
    seen: list[Weights] = []
    whole = loop.Loop._step

    def step(self: loop.Loop, *arguments: Any) -> Any:  # noqa: ANN401  (whatever it gives)
        given = whole(self, *arguments)
        seen.append({name: value.detach().clone() for name, value in self.plain.state_dict().items()})
        return given

    monkeypatch.setattr(loop.Loop, "_step", step)
    return seen


def test_averaged_weights_are_the_moving_mean_of_all_steps(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """--ema 0.8: the kept network is 0.8 of the mean before and 0.2 of the weights, step by step from the first one's."""
    seen = after_each_step(monkeypatch)
    kept = load_model(small, train_run(small, config(ema=0.8))).network.state_dict()
    mean = {name: value.double() for name, value in seen[0].items()}
    for weights in seen[1:]:
        mean = {name: 0.8 * value + 0.2 * weights[name].double() for name, value in mean.items()}
    for name, value in mean.items():
        if "num_batches" not in name:
            assert torch.allclose(kept[name].double(), value, atol=1e-5), name


def test_gradients_are_clipped_to_the_norm(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """--clip 0.01: the gradients that each step is given have that norm together; without it they are longer."""
    norms: list[float] = []

    class Noting(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:  # noqa: ANN401  (torch's own signature)
            parts = [p.grad.norm() for group in self.param_groups for p in group["params"] if p.grad is not None]
            norms.append(float(torch.stack(parts).norm()))
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "SGD", Noting)
    train_run(small, config(clip=0.01, optimizer="sgd"))
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3)
    norms.clear()
    train_run(small, config(optimizer="sgd"))
    assert min(norms) > 0.02


def test_accumulated_batches_are_one_large_one(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches of 8 a step learn what one of 16 does: losses within 1e-4, batch norm's statistics kept, without dropout."""
    monkeypatch.setattr("torch.nn.Dropout", lambda share: nn.Identity())
    first = train_run(small, config())
    settings = {"regime": "finetune", "weights": f"run:{first.id}", "freeze_bn": True, "lr": 1e-3, "optimizer": "sgd"}
    large, halves = (
        train_run(small, config(**settings, **parts)) for parts in ({"batch_size": 16}, {"batch_size": 8, "accumulate": 2})
    )
    assert losses(halves) == pytest.approx(losses(large), abs=1e-4)


@pytest.mark.parametrize("option", ["mixup", "cutmix"])
def test_mixed_pictures_have_mixed_labels(small: Workspace, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """Targets are shares that add up to one, most of them of two classes; with neither option they are classes."""
    seen: list[torch.Tensor] = []
    whole = loop.loss_of

    def noted(logits: torch.Tensor, wanted: torch.Tensor, **options: Any) -> torch.Tensor:  # noqa: ANN401  (loss_of's options)
        if logits.requires_grad:
            seen.append(wanted)
        return whole(logits, wanted, **options)

    monkeypatch.setattr(loop, "loss_of", noted)
    train_run(small, config(**{option: 1.0}))
    shares = torch.cat(seen)
    assert shares.shape[1] == 3 and torch.allclose(shares.sum(1), torch.ones(len(shares)))
    assert ((shares > 0).sum(1) == 2).float().mean() > 0.3
    seen.clear()
    train_run(small, config())
    assert all(wanted.dim() == 1 for wanted in seen)


def test_when_the_loss_is_no_number_the_last_epoch_is_kept(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second epoch: it is said which checkpoint there is, and with sound numbers again the run goes on to the same end."""
    calm = train_run(small, config(epochs=3))
    weights = (calm.folder / "model.safetensors").read_bytes()
    whole, calls = loop.Loop._step, []

    def poisoned(self: loop.Loop, *arguments: Any) -> tuple[float, int]:  # noqa: ANN401  (whatever it takes)
        calls.append(1)
        loss, hits = whole(self, *arguments)
        return (math.nan if len(calls) == 6 else loss), hits

    monkeypatch.setattr(loop.Loop, "_step", poisoned)
    said = r"step \d+ \(epoch 2\); the checkpoint of epoch 1 is kept.*try --lr 0.0004 or --clip 1"
    with pytest.raises(FototecaError, match=said):
        train_run(small, config(epochs=3), resume=False)
    monkeypatch.undo()
    assert (train_run(small, config(epochs=3)).folder / "model.safetensors").read_bytes() == weights
