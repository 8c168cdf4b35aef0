"""Options of the training loop, each compared with a few lines of plain PyTorch."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import image_path, read_manifest
from fototeca.train import feature_trainer
from fototeca.train.config import TrainConfig
from fototeca.train.network_trainer import PROBE_EPOCHS
from fototeca.train.runs import Run, load_model
from fototeca.train.runs.load import read_tensors
from fototeca.train.runs.weights_io import save_model
from fototeca.train.trainer import train_run
from fototeca.train.training import loop
from fototeca.vision.backbones import classifier_of

Weights = dict[str, torch.Tensor]
LossCall = tuple[torch.Tensor, torch.Tensor, dict[str, Any]]


def config(**settings: object) -> TrainConfig:
    """Return a small configuration with some settings changed."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return TrainConfig(**{"epochs": 1, **base, **settings})  # type: ignore[arg-type]  # a test's plain dict


def losses(run: Run) -> list[float]:
    """Of every step."""
    return [row["loss"] for row in run.steps()]


def after_each_step(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """Record the weights after each step of later runs."""
    seen: list[Weights] = []
    original = loop.TrainingLoop._step

    def step(self: loop.TrainingLoop, *arguments: Any) -> Any:  # noqa: ANN401
        given = original(self, *arguments)
        seen.append({name: value.detach().clone() for name, value in self.plain.state_dict().items()})
        return given

    monkeypatch.setattr(loop.TrainingLoop, "_step", step)
    return seen


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_ema_is_the_moving_average_of_all_steps(small: Workspace, monkeypatch: pytest.MonkeyPatch, decay: float) -> None:
    """After t steps the lower of D and (1 + t) / (10 + t) of the average is retained."""
    seen = after_each_step(monkeypatch)
    kept = load_model(small, train_run(small, config(ema=decay, batch_size=8))).network.state_dict()
    assert len(seen) >= 7
    mean = {name: value.double() for name, value in seen[0].items()}
    for number, weights in enumerate(seen[1:], start=1):
        share = min(decay, (1 + number) / (10 + number))
        mean = {name: share * value + (1 - share) * weights[name].double() for name, value in mean.items()}
    for name, value in mean.items():
        if "num_batches" not in name:
            assert torch.allclose(kept[name].double(), value, atol=1e-5), name


def test_ema_0_999_learns_in_few_steps(small: Workspace) -> None:
    """With a few dozen steps the averaged weights are accurate; decay 1 is rejected."""
    assert train_run(small, config(ema=0.999, epochs=8)).metrics.val_accuracy >= 0.8
    with pytest.raises(FototecaError, match="--ema 1 would never update the average; choose less than 1"):
        config(ema=1.0)


def test_gradients_are_clipped_to_the_norm(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """With clip 0.01 the gradients of each step have that norm; without it they are larger."""
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


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_accumulated_batches_are_one_large_one(uneven: Workspace, monkeypatch: pytest.MonkeyPatch, balance: str) -> None:
    """Two batches of 8 a step learn what one of 16 does, also where rare classes weigh more: losses within a thousandth.

    Without the statistics of batch norm and without dropout, which are each batch's own.
    """
    monkeypatch.setattr("torch.nn.Dropout", lambda share: nn.Identity())
    settings = {"freeze_bn": True, "balance": balance, "epochs": 2}
    large, halves = (
        train_run(uneven, config(**settings, **parts)) for parts in ({"batch_size": 16}, {"batch_size": 8, "accumulate": 2})
    )
    assert min(losses(large)) > 0.1
    assert losses(halves) == pytest.approx(losses(large), rel=1e-3)


@pytest.fixture
def recorded_losses(monkeypatch: pytest.MonkeyPatch) -> list[LossCall]:
    """Record logits, labels and options of every training loss."""
    seen: list[LossCall] = []
    original = loop.compute_loss

    def record(logits: torch.Tensor, targets: torch.Tensor, **options: Any) -> torch.Tensor:  # noqa: ANN401
        if logits.requires_grad:
            seen.append((logits.detach(), targets, options))
        return original(logits, targets, **options)

    monkeypatch.setattr(loop, "compute_loss", record)
    return seen


@pytest.mark.parametrize("option", ["mixup", "cutmix"])
def test_mixed_images_have_mixed_labels(small: Workspace, recorded_losses: list[LossCall], option: str) -> None:
    """Labels are fractions that sum to 1, most of two classes; without mixing they are class indices."""
    train_run(small, config(**{option: 1.0}))
    shares = torch.cat([targets for _, targets, _ in recorded_losses])
    assert shares.shape[1] == 3 and torch.allclose(shares.sum(1), torch.ones(len(shares)))
    assert ((shares > 0).sum(1) == 2).float().mean() > 0.3
    recorded_losses.clear()
    train_run(small, config())
    assert all(targets.dim() == 1 for _, targets, _ in recorded_losses)


@pytest.mark.parametrize("options", [{}, {"mixup": 1.0}, {"cutmix": 1.0}], ids=["plain", "mixup", "cutmix"])
def test_train_accuracy_counts_predictions_during_training(
    small: Workspace, recorded_losses: list[LossCall], options: dict[str, float]
) -> None:
    """A mixed image is correct if its larger part's class is predicted."""
    (row,) = train_run(small, config(**options)).epochs()
    predicted = torch.cat([logits.argmax(dim=1) for logits, *_ in recorded_losses])
    most = torch.cat([targets.argmax(dim=1) if options else targets for _, targets, _ in recorded_losses])
    assert row["train_accuracy"] == pytest.approx(float((predicted == most).float().mean()))


@pytest.mark.parametrize("option", ["mixup", "cutmix"])
@pytest.mark.parametrize("kind", ["small", "several"])
def test_mixed_labels_are_smoothed_and_weighted(
    option: str, kind: str, request: pytest.FixtureRequest, recorded_losses: list[LossCall]
) -> None:
    """Each class of a mixed image counts with its share and its weight, smoothed; single- and multi-label."""
    run = train_run(request.getfixturevalue(kind), config(**{option: 1.0}, label_smoothing=0.2, balance="weights"))
    for written, (logits, shares, options) in zip(losses(run), recorded_losses, strict=True):
        weights = options["weights"]
        assert weights.shape == (logits.shape[1],) and shares.shape == logits.shape
        assert ((shares > 0.01) & (shares < 0.99)).any()
        one = torch.ones(())
        pairs = [  # each image and class as if it were the only label, weighted by its share
            (share, scores, c) for scores, row in zip(logits, shares, strict=True) for c, share in enumerate(row)
        ]
        if kind == "several":
            bce = nn.functional.binary_cross_entropy_with_logits
            own = torch.stack(
                [s * weights[c] * bce(x[c], one * 0.9) + (1 - s) * bce(x[c], one * 0.1) for s, x, c in pairs]
            ).mean()
        else:
            smoothed = nn.CrossEntropyLoss(label_smoothing=0.2)
            own = torch.stack([s * weights[c] * smoothed(x, torch.tensor(c)) for s, x, c in pairs]).sum() / len(logits)
        assert written == pytest.approx(own.item(), rel=1e-5)


def test_weights_of_the_best_epoch_are_saved(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The epoch with the highest accuracy, then the lowest loss; the predictions are of its weights."""
    verdicts = iter([(0.9, 0.5), (0.8, 0.7), (0.7, 0.7), (0.1, 0.6)])
    ends: list[Weights] = []

    def fake_evaluate(*_: object) -> tuple[float, float]:
        return next(verdicts)

    def record_weights(self: loop.TrainingLoop) -> None:
        ends.append({name: value.clone() for name, value in self.plain.state_dict().items()})

    monkeypatch.setattr(loop, "evaluate", fake_evaluate)
    monkeypatch.setattr(loop.TrainingLoop, "_save", record_weights)
    run = train_run(small, config(epochs=4))
    kept = load_model(small, run).network.state_dict()
    agree = [all(torch.equal(value, kept[name]) for name, value in weights.items()) for weights in ends]
    assert agree == [False, False, True, False]
    assert (run.metrics.best_epoch, run.metrics.epochs_run) == (3, 4)
    rows = read_manifest(small, "v001").split("val")
    probabilities = load_model(small, run).probabilities([image_path(small, row) for row in rows])
    assert np.abs(probabilities - run.predictions("val").probabilities).max() < 1e-5


def plain_weights(workspace: Workspace, folder: Path) -> Path:
    """Write the weights of a run to a file without metadata."""
    torch.save(read_tensors(train_run(workspace, config())), folder / "plain.pth")
    return folder / "plain.pth"


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the kinds of heads that are fitted."""
    seen: list[str] = []
    original = feature_trainer.fit_head

    def record(kind: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        seen.append(kind)
        return original(kind, *arguments, **options)

    monkeypatch.setattr(feature_trainer, "fit_head", record)
    return seen


def test_fine_tuning_inherits_a_matching_classifier(small: Workspace, tmp_path: Path, fits: list[str]) -> None:
    """A run started from another with the same categories fits no head; at learning rate 0 it predicts the same."""
    rung = {"regime": "finetune", "epochs": 2}
    head = train_run(small, config(**rung, unfreeze="head", lr=0.05, weights=str(plain_weights(small, tmp_path))))
    assert fits == ["linear"]
    for start in (f"run:{head.id}", str(head.folder / "model.safetensors")):
        for unfreeze in ("1", "all"):
            run = train_run(small, config(**rung, unfreeze=unfreeze, lr=0.0, freeze_bn=True, weights=start))
            layers = [classifier_of(load_model(small, each).network)[1] for each in (head, run)]
            assert torch.equal(layers[0].weight, layers[1].weight) and torch.equal(layers[0].bias, layers[1].bias)
            assert run.predictions("val").probabilities == pytest.approx(head.predictions("val").probabilities, abs=1e-5)
    assert fits == ["linear"] and run.config["classifier"] == "inherited" and "classifier" not in head.config


@pytest.mark.parametrize("change", ["order", "names", "task", "trees", "twin"])
def test_fine_tuning_fits_a_head_if_the_classifier_does_not_match(small: Workspace, fits: list[str], change: str) -> None:
    """Other categories, order or task, trees, or weights without CBAM: the classifier is not inherited."""
    first, second = ("resnet18", "resnet18-cbam") if change == "twin" else ("cnn", "cnn")
    run = train_run(small, config(model=first))
    if change == "trees":
        run = train_run(small, config(regime="features", head="boosting", epochs=None, weights=f"run:{run.id}"))
    elif change != "twin":
        other = {
            "order": {"categories": ["red", "green", "blue"]},
            "names": {"categories": ["a", "b", "c"]},
            "task": {"task": "multi"},
        }
        changed = Run(run.id, run.folder, {**run.config, **other[change]})
        model = load_model(small, run)
        save_model(changed, model.network, model.preprocessing, {})
    fits.clear()
    tuned = train_run(small, config(model=second, regime="finetune", weights=f"run:{run.id}"))
    assert fits == ["linear"] and "classifier" not in tuned.config


def test_fine_tuning_starts_from_a_fitted_linear_head(small: Workspace, tmp_path: Path) -> None:
    """At learning rate 0 its predictions equal those of the linear head over the same features."""
    start = {"weights": str(plain_weights(small, tmp_path))}
    alone = train_run(small, config(regime="features", epochs=PROBE_EPOCHS, **start))
    tuned = train_run(small, config(regime="finetune", lr=0.0, freeze_bn=True, **start))
    heads = [classifier_of(load_model(small, run).network)[1] for run in (alone, tuned)]
    assert torch.equal(heads[0].weight, heads[1].weight) and torch.equal(heads[0].bias, heads[1].bias)
    assert tuned.predictions("val").probabilities == pytest.approx(alone.predictions("val").probabilities, abs=1e-4)


def test_nan_loss_aborts_and_the_run_can_resume(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the available checkpoint; the resumed run has the same weights as an uninterrupted one."""
    calm = train_run(small, config(epochs=3))
    weights = (calm.folder / "model.safetensors").read_bytes()
    original, calls = loop.TrainingLoop._step, []

    def return_nan(self: loop.TrainingLoop, *arguments: Any) -> loop.StepResult:  # noqa: ANN401
        calls.append(1)
        result = original(self, *arguments)
        return replace(result, loss=math.nan) if len(calls) == 6 else result

    monkeypatch.setattr(loop.TrainingLoop, "_step", return_nan)
    message = r"step \d+ \(epoch 2\); the checkpoint of epoch 1 is available.*try --lr 0.0004 or --clip 1"
    with pytest.raises(FototecaError, match=message):
        train_run(small, config(epochs=3), resume=False)
    monkeypatch.undo()
    assert (train_run(small, config(epochs=3)).folder / "model.safetensors").read_bytes() == weights


def test_divergence_in_the_last_step_of_an_epoch_is_detected(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The validation loss detects it, and the previous checkpoint remains."""
    settings = {"optimizer": "sgd", "lr": 1e-3, "schedule": "constant", "epochs": 2, "batch_size": 64}
    calm = train_run(small, config(**settings))
    weights = (calm.folder / "model.safetensors").read_bytes()
    monkeypatch.setattr(loop, "make_schedule", lambda *_: lambda step: 1e38 if step == 1 else 1e-3)  # one step an epoch
    with pytest.raises(FototecaError, match=r"step 2 \(epoch 2\); the checkpoint of epoch 1 is available.*try --lr 0.0001"):
        train_run(small, config(**settings), resume=False)
    assert len(losses(calm)) == 2 and np.isfinite(losses(calm)).all() and not calm.done
    monkeypatch.undo()
    assert (train_run(small, config(**settings)).folder / "model.safetensors").read_bytes() == weights
    for clip in (0.0, 1.0):  # a NaN norm cannot be clipped; the error is the same
        with pytest.raises(FototecaError, match=r"step \d \(epoch 1\); no epoch was finished"):
            train_run(small, config(optimizer="sgd", lr=1e30, batch_size=64, clip=clip))
