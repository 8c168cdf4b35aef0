"""What learns, how fast, and when it stops."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from train.config import TrainConfig
from train.optimiser import learning_rate, parameter_groups, stages, unfreeze
from train.run import train_run
from train.runs import load_model
from vision.backbones import build_model
from workspace import FototecaError, Workspace


def config(**settings: object) -> TrainConfig:
    """A small run with some settings changed."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return TrainConfig(**{"epochs": 2, **base, **settings})  # type: ignore[arg-type]  # a test's plain dict


def test_stages_further_from_the_head_learn_slower() -> None:
    """The head at the full rate, each stage before it at half of the next; norms and biases never decay."""
    module = build_model("resnet18", 3)[0]
    groups = parameter_groups(module, config(model="resnet18", layer_decay=0.5).resolved())
    rate = {id(parameter): group["scale"] for group in groups for parameter in group["params"]}
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert [rate[id(module.get_parameter(f"{name}.weight"))] for name in ("fc", "layer4.0.conv1", "layer3.0.conv1", "conv1")] == [
        1.0,
        0.5,
        0.25,
        0.5**6,
    ]
    assert decay[id(module.get_parameter("layer4.0.conv1.weight"))] == 0.05
    assert decay[id(module.get_parameter("layer4.0.bn1.weight"))] == decay[id(module.get_parameter("fc.bias"))] == 0.0


@pytest.mark.parametrize("model", ["resnet18", "regnet_y_400mf", "efficientnet_b0", "convnext_tiny", "squeezenet1_0", "cnn-cbam"])
def test_a_ladder_unfreezes_more_and_more(model: str) -> None:
    """head, the last stage, half, all: each lets more parameters learn, and the classifier always does."""
    counts = []
    for rung in ("head", "1", "half", "all"):
        module = build_model(model, 3)[0]
        unfreeze(module, rung)
        counts.append(sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad))
    assert counts == sorted(set(counts))
    assert counts[-1] == sum(parameter.numel() for parameter in build_model(model, 3)[0].parameters())
    assert stages(module)


def test_frozen_statistics_stay(small: Workspace) -> None:
    """With --freeze-bn fine-tuning changes weights but no running mean."""
    first = train_run(small, config())
    run = train_run(small, config(regime="finetune", weights=f"run:{first.id}", freeze_bn=True, epochs=1))
    before, after = (load_model(small, each).network.state_dict() for each in (first, run))
    assert all(torch.equal(before[name], after[name]) for name in before if "running" in name)
    assert not torch.equal(before["stem.0.weight"], after["stem.0.weight"])


def test_patience_ends_a_run_that_gets_no_better(small: Workspace) -> None:
    """At a rate of next to nothing it stops long before its twelve epochs, and is finished."""
    run = train_run(small, config(epochs=12, patience=2, lr=1e-9, augment="none"))
    assert run.done
    assert len(run.epochs()) <= 6
    assert train_run(small, config(epochs=12, patience=2, lr=1e-9, augment="none")).facts == run.facts


def test_schedules() -> None:
    """onecycle rises for a quarter and falls to nothing; cosine rises for a twentieth; constant stays; cycles repeat."""
    one = [learning_rate(config(lr=1.0), 100)(step) for step in range(100)]
    assert max(range(100), key=one.__getitem__) == 25 and one[0] < 0.05 and one[-1] < 0.01
    assert [learning_rate(config(lr=1.0, schedule="cosine"), 100)(step) for step in (5, 99)] == pytest.approx(
        [1.0, 0.0], abs=0.01
    )
    assert {learning_rate(config(lr=0.3, schedule="constant"), 9)(step) for step in range(9)} == {0.3}
    cycles = [learning_rate(config(lr=1.0, snapshots=4, epochs=4), 100)(step) for step in range(100)]
    assert cycles[:25] == cycles[25:50]


def test_a_run_can_be_started_over(small: Workspace) -> None:
    """--no-resume trains a finished run again, and the same comes out."""
    run = train_run(small, config())
    stamp, weights = (run.folder / "done.json").stat().st_mtime_ns, (run.folder / "model.safetensors").read_bytes()
    again = train_run(small, config(), resume=False)
    assert (again.folder / "done.json").stat().st_mtime_ns > stamp
    assert (again.folder / "model.safetensors").read_bytes() == weights


def test_half_precision_is_refused_on_a_cpu(small: Workspace) -> None:
    """It would silently become something else."""
    with pytest.raises(FototecaError, match="for GPUs"):
        train_run(small, config(precision="16"))


def test_a_compiled_network_learns_the_same(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """--compile changes the speed: the losses agree within 1e-3 where no dropout is drawn. Traced, without the C++ compiler."""
    monkeypatch.setattr("torch.nn.Dropout", lambda share: torch.nn.Identity())
    plain = train_run(small, config(epochs=1, augment="none"))
    losses = [row["loss"] for row in plain.steps()]
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    compiled = train_run(small, config(epochs=1, augment="none", compile=True), resume=False)
    assert compiled.id == plain.id
    assert [row["loss"] for row in compiled.steps()] == pytest.approx(losses, rel=1e-3)
