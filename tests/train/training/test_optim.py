"""Trainable stages, learning rates, schedules, precision and early stopping."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.runs import load_model
from fototeca.train.runs.load import read_tensors
from fototeca.train.trainer import train_run
from fototeca.train.training.device import make_fabric
from fototeca.train.training.optim import (
    list_stages,
    make_optimizer,
    make_schedule,
    parameter_groups,
    set_lr,
    train_mode,
    unfreeze,
)
from fototeca.vision.backbones import build_model
from fototeca.vision.nets import SmallNet


def config(**settings: object) -> TrainConfig:
    """Return a small configuration with some settings changed."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return TrainConfig(**{"epochs": 2, **base, **settings})  # type: ignore[arg-type]  # a test's plain dict


def test_layer_decay_lowers_the_rate_per_stage() -> None:
    """The head has the full rate, each stage half of the next; norms and biases have no weight decay."""
    module = build_model("resnet18", 3)[0]
    groups = parameter_groups(module, config(model="resnet18", layer_decay=0.5).resolved())
    rate = {id(parameter): group["scale"] for group in groups for parameter in group["params"]}
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert [rate[id(module.get_parameter(f"{name}.weight"))] for name in ("fc", "layer4.0.conv1", "layer3.0.conv1", "conv1")] == [
        1.0,
        0.5,
        0.25,
        0.5**5,
    ]
    assert rate[id(module.get_parameter("bn1.weight"))] == 0.5**5
    assert decay[id(module.get_parameter("layer4.0.conv1.weight"))] == 0.05
    assert decay[id(module.get_parameter("layer4.0.bn1.weight"))] == decay[id(module.get_parameter("fc.bias"))] == 0.0


LADDER = [
    *("resnet18", "regnet_y_400mf", "efficientnet_b0", "convnext_tiny", "squeezenet1_0", "cnn-cbam"),
    *("vit_b_16", "swin_t", "densenet121", "mnasnet0_5"),
]


@pytest.mark.parametrize("model", LADDER)
def test_unfreeze_levels_are_nested(model: str) -> None:
    """head, last stage, half, all: each trains more parameters; the last stage has layers, all has everything."""
    with torch.device("cpu" if "regnet" in model else "meta"):  # shapes are all that counts; RegNet reckons its own with tensors
        module = build_model(model, 3)[0]
    whole = dict(module.named_parameters())
    rungs = []
    for rung in ("head", "1", "half", "all"):
        module.requires_grad_(True)
        unfreeze(module, rung)
        rungs.append({name for name, parameter in whole.items() if parameter.requires_grad})
    assert rungs[0] < rungs[1] < rungs[2] < rungs[3] == set(whole)
    assert any(whole[name].dim() > 1 for name in rungs[1] - rungs[0])
    assert {name for _, leaves in list_stages(module) for name in leaves} | rungs[0] == set(whole)


@pytest.mark.parametrize(("model", "loose"), [("vit_b_16", ("class_token", "encoder.pos_embedding")), ("swin_t", ())])
def test_tokens_and_positions_have_the_first_stages_rate(model: str, loose: tuple[str, ...]) -> None:
    """Only layer weights decay."""
    with torch.device("meta"):
        module = build_model(model, 3)[0]
    groups = parameter_groups(module, config(model=model, layer_decay=0.5).resolved())
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    scales = [of[id(module.get_parameter(name))]["scale"] for name in loose]
    assert scales == [min(group["scale"] for group in groups)] * len(loose)
    for name, parameter in module.named_parameters():
        plain = parameter.dim() == 1 or name in loose or "bias" in name
        assert (of[id(parameter)]["weight_decay"] == 0) == plain, name


def test_cbam_is_always_trainable() -> None:
    """In a ResNet with frozen stages all CBAM layers train and update their statistics."""
    module = build_model("resnet18-cbam", 3)[0]
    unfreeze(module, "layer4")
    train_mode(module, False)
    learning = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert learning == {name for name, _ in module.named_parameters() if name.startswith(("layer4.", "fc.")) or ".cbam." in name}
    assert module.get_submodule("layer1.0.cbam.spatial.norm").training and not module.get_submodule("layer1.0.bn1").training


def test_freeze_bn_keeps_running_means(small: Workspace) -> None:
    """Fine-tuning with --freeze-bn changes weights but no running mean."""
    first = train_run(small, config())
    run = train_run(small, config(regime="finetune", weights=f"run:{first.id}", freeze_bn=True, epochs=1))
    before, after = (load_model(small, each).network.state_dict() for each in (first, run))
    assert all(torch.equal(before[name], after[name]) for name in before if "running" in name)
    assert not torch.equal(before["stem.0.weight"], after["stem.0.weight"])


def test_patience_stops_a_run_without_improvement(small: Workspace) -> None:
    """At a negligible rate the run ends before its twelve epochs and is finished."""
    run = train_run(small, config(epochs=12, patience=2, lr=1e-9, augment="none"))
    assert run.done
    assert len(run.epochs()) <= 6
    assert train_run(small, config(epochs=12, patience=2, lr=1e-9, augment="none")).metrics == run.metrics


def test_scheduled_rate_is_scaled_per_group() -> None:
    """The head gets the whole rate, each stage half of the next."""
    module = build_model("cnn", 3)[0]
    settings = config(layer_decay=0.5).resolved()
    optimizer = make_optimizer(module, settings)
    set_lr(optimizer, 0.2)
    rate = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    names = ("head.weight", "layers.3.body.0.weight", "layers.2.body.0.weight", "stem.0.weight")
    assert [rate[id(module.get_parameter(name))] for name in names] == pytest.approx([0.2, 0.1, 0.05, 0.2 * 0.5**5])


def test_schedules() -> None:
    """onecycle rises for a quarter, cosine for a twentieth, constant stays, and snapshot cycles repeat."""
    one = [make_schedule(config(lr=1.0), 100)(step) for step in range(100)]
    assert max(range(100), key=one.__getitem__) == 25 and one[0] < 0.05 and one[-1] < 0.01
    assert [make_schedule(config(lr=1.0, schedule="cosine"), 100)(step) for step in (5, 99)] == pytest.approx(
        [1.0, 0.0], abs=0.01
    )
    assert {make_schedule(config(lr=0.3, schedule="constant"), 9)(step) for step in range(9)} == {0.3}
    cycles = [make_schedule(config(lr=1.0, snapshots=4, epochs=4), 100)(step) for step in range(100)]
    assert cycles[:25] == cycles[25:50]


def test_no_resume_trains_again_with_equal_weights(small: Workspace) -> None:
    """resume=False trains a finished run again with the same result."""
    run = train_run(small, config())
    modified, weights = (run.folder / "done.json").stat().st_mtime_ns, (run.folder / "model.safetensors").read_bytes()
    again = train_run(small, config(), resume=False)
    assert (again.folder / "done.json").stat().st_mtime_ns > modified
    assert (again.folder / "model.safetensors").read_bytes() == weights


def test_half_precision_is_rejected_on_a_cpu(small: Workspace) -> None:
    """Fabric would silently use bf16."""
    with pytest.raises(FototecaError, match="for GPUs"):
        train_run(small, config(precision="16"))


@pytest.mark.parametrize("units", [True, False])
def test_bf16_warns_on_cpus_without_bf16_units(
    units: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no warning on CPUs with them."""
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: units)
    make_fabric(config(precision="bf16"))
    assert ("no bf16 units" in capsys.readouterr().err) is not units


@pytest.mark.parametrize(("precision", "kind"), [("32", torch.float32), ("bf16", torch.bfloat16)])
def test_network_computes_in_the_configured_precision(
    small: Workspace, monkeypatch: pytest.MonkeyPatch, precision: str, kind: torch.dtype
) -> None:
    """bf16 in training and prediction, with weights saved in 32 bits."""
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    whole = SmallNet.forward

    def record(self: SmallNet, x: torch.Tensor) -> torch.Tensor:
        logits = whole(self, x)
        if torch.any(x):  # not of the empty images that sizes are tried with
            seen[self.training].add(logits.dtype)
        return logits

    monkeypatch.setattr(SmallNet, "forward", record)
    run = train_run(small, config(epochs=1, precision=precision))
    assert seen == {True: {kind}, False: {kind}}
    assert {value.dtype for value in read_tensors(run).values()} == {torch.float32, torch.int64}


def test_compiled_network_has_equal_losses(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses agree within 1e-3 without dropout; the graph is traced, not compiled to C++."""
    monkeypatch.setattr("torch.nn.Dropout", lambda share: torch.nn.Identity())
    plain = train_run(small, config(epochs=1, augment="none"))
    losses = [row["loss"] for row in plain.steps()]
    whole, compilations = torch.compile, list[int]()

    def traced(module: torch.nn.Module, **_: object) -> Any:  # noqa: ANN401  (whatever torch gives)
        def counted(graph: torch.fx.GraphModule, _: object) -> Any:  # noqa: ANN401  (torch's own signature)
            compilations.append(1)
            return graph.forward

        return whole(module, backend=counted)

    monkeypatch.setattr(torch, "compile", traced)
    compiled = train_run(small, config(epochs=1, augment="none", compile=True), resume=False)
    assert compiled.id == plain.id and compilations
    assert [row["loss"] for row in compiled.steps()] == pytest.approx(losses, rel=1e-3)


@pytest.mark.parametrize(
    ("regime", "optimizer", "norm"), [("finetune", "sgd", 1), ("finetune", "adamw", 0), ("scratch", "sgd", 0)]
)
def test_clip_default_is_1_for_sgd_fine_tuning_only(regime: str, optimizer: str, norm: float) -> None:
    """Other values, also none, can be set."""
    settings = {"regime": regime, "optimizer": optimizer}
    assert config(**settings).resolved().clip == norm
    assert [config(**settings, clip=chosen).resolved().clip for chosen in (0.0, 0.3)] == [0.0, 0.3]
