"""A run's identity, resolved without building a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train import run_spec
from fototeca.train.config import TrainConfig
from fototeca.train.run_spec import RunSpec, resolve_run
from fototeca.train.trainer import train_run
from fototeca.train.training.optim import list_stages, unfreeze
from fototeca.vision.backbones import InitialWeights, build_model, model_names, model_skeleton

BASE: dict[str, Any] = {"manifest": "v001", "model": "cnn", "image_size": 32, "device": "cpu", "epochs": 1}


def resolve(workspace: Workspace, **settings: Any) -> RunSpec:  # noqa: ANN401
    """Resolve the settings on v001."""
    return resolve_run(workspace, TrainConfig(**{**BASE, **settings}), read_manifest(workspace, "v001"))


def forbid(name: str) -> Callable[..., Any]:
    """Return a function that fails when it is called."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError(f"{name} was called")

    return fail


def test_finished_runs_are_returned_without_building_a_model(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a network is built nor a tensor read, in all three regimes; images need not exist either."""
    scratch = train_run(small, TrainConfig(**BASE, regime="scratch"))
    weights = f"run:{scratch.id}"
    tuned = TrainConfig(**BASE, regime="finetune", weights=weights, unfreeze="1")
    configs = [TrainConfig(**BASE, regime="scratch"), TrainConfig(**BASE, regime="features", weights=weights), tuned]
    runs = [train_run(small, config) for config in configs]
    monkeypatch.setattr("fototeca.vision.backbones.build_model", forbid("build_model"))
    monkeypatch.setattr(InitialWeights, "build", forbid("build"))
    monkeypatch.setattr("fototeca.vision.state_dicts.load_file", forbid("load_file"))
    monkeypatch.setattr("torch.load", forbid("torch.load"))
    small.images.rename(small.root / "elsewhere")
    assert [train_run(small, config) for config in configs] == runs
    with pytest.raises(AssertionError, match="build was called"):
        train_run(small, TrainConfig(**BASE, regime="scratch", seed=1))


def test_decode_version_1_does_not_change_the_run_id(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """config.json records the version; only a version other than 1 makes another run."""
    spec = resolve(small, regime="scratch")
    assert spec.run.config["decode_version"] == 1
    monkeypatch.setattr(run_spec, "DECODE_VERSION", 2)
    newer = resolve(small, regime="scratch")
    assert newer.run.id != spec.run.id and newer.run.config["decode_version"] == 2


def test_runs_without_a_decode_version_have_version_1(small: Workspace) -> None:
    """A finished run whose config.json lacks the key is recognized."""
    config = TrainConfig(**BASE, regime="scratch")
    run = train_run(small, config)
    path = run.folder / "config.json"
    path.write_text(path.read_text().replace('  "decode_version": 1,\n', ""))
    before = (run.folder / "done.json").read_bytes()
    assert "decode_version" not in path.read_text()
    assert train_run(small, config).id == run.id and (run.folder / "done.json").read_bytes() == before


@pytest.mark.parametrize("model", ["resnet18", "regnet_y_400mf", "cnn-cbam", "vit_b_16"])
def test_skeletons_have_the_stages_of_the_model(model: str) -> None:
    """Stage and parameter names are those of the built network, and no parameter allocates memory."""
    skeleton, module = model_skeleton(model, 3), build_model(model, 3)[0]
    assert list_stages(skeleton) == list_stages(module)
    assert [name for name, _ in skeleton.named_parameters()] == [name for name, _ in module.named_parameters()]
    assert all(parameter.is_meta for parameter in skeleton.parameters())
    assert unfreeze(skeleton, "2") == unfreeze(module, "2")
    assert not torch.nn.Linear(1, 1).weight.is_meta, "the registration hook must be removed"


@pytest.mark.slow
def test_every_model_has_a_skeleton() -> None:
    """Stages can be named for all models."""
    assert all(list_stages(model_skeleton(name, 3)) for name in model_names())


def test_an_unknown_stage_is_an_error_before_building(small: Workspace) -> None:
    """The message lists the model's stages."""
    scratch = train_run(small, TrainConfig(**BASE, regime="scratch"))
    with pytest.raises(FototecaError, match=r"layers\.3"):
        resolve(small, regime="finetune", weights=f"run:{scratch.id}", unfreeze="layer9")
