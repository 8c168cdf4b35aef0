"""The command that trains a run again, and the settings that it writes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.train.cli import app
from fototeca.train.config import (
    NETWORK_SETTINGS,
    NON_IDENTITY_SETTINGS,
    Augment,
    Balance,
    Head,
    Precision,
    Regime,
    Schedule,
    TrainConfig,
    train_command,
)
from fototeca.train.trainer import train_run
from fototeca.vision.backbones import build_model

share = st.floats(0, 0.99)
positive = st.floats(1e-9, 100)

SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["cnn", "resnet18", "vit_b_16"]),
    "head": st.sampled_from(get_args(Head)),
    "unfreeze": st.sampled_from(["all", "half", "head", "2", "layer4", "features.3"]),
    "weights": st.sampled_from([None, "DEFAULT", "IMAGENET1K_V1", "run:cnn-scratch-v001-7d1e02", "/far/a way/it's $HOME.pth"]),
    "epochs": st.none() | st.integers(1, 99),
    "batch_size": st.integers(1, 512),
    "image_size": st.none() | st.integers(16, 512),
    "optimizer": st.sampled_from(["sgd", "adamw"]),
    "lr": st.none() | positive,
    "weight_decay": st.none() | positive,
    "schedule": st.sampled_from(get_args(Schedule)),
    "layer_decay": share,
    "freeze_bn": st.booleans(),
    "augment": st.none() | st.sampled_from(get_args(Augment)),
    "augmented_copies": st.integers(0, 3),
    **dict.fromkeys(("mixup", "cutmix", "clip"), st.floats(0, 10)),
    **dict.fromkeys(("random_erasing", "label_smoothing", "ema"), share),
    "balance": st.sampled_from(get_args(Balance)),
    "accumulate": st.integers(1, 9),
    "patience": st.integers(0, 9),
    "snapshots": st.integers(0, 3),
    "precision": st.sampled_from(get_args(Precision)),
    "seed": st.integers(0, 2**32 - 1),
    "workers": st.integers(0, 3),
}


def allowed(settings: dict[str, Any]) -> TrainConfig | None:
    """Return the resolved configuration, or None if the settings do not fit together."""
    try:
        return TrainConfig("v002", **settings).resolved()
    except FototecaError:
        return None


OFF = {"clip": st.none() | st.just(0.0), "weight_decay": st.none() | st.just(0.0)}
"""Values of settings without effect over frozen features that are accepted: None, or off."""

LEFT_OUT = {
    "scratch": ("head", "augmented_copies", "unfreeze", "weights"),
    "finetune": ("head", "augmented_copies"),
    "features": ("unfreeze", *(name for name in NETWORK_SETTINGS if name not in OFF)),
}
"""Settings that a regime rejects."""


def configs(regime: str) -> st.SearchStrategy[TrainConfig | None]:
    """Return a strategy for the configurations of a regime."""
    optional = {name: values for name, values in SETTINGS.items() if name not in ("model", *LEFT_OUT[regime])}
    optional |= OFF if regime == "features" else {}
    needed = {"model": SETTINGS["model"], "regime": st.just(regime)}
    return st.fixed_dictionaries(needed, optional=optional).map(allowed).filter(lambda config: config is not None)


def parsed(command: str, root: Path) -> TrainConfig:
    """Return the configuration that the command line parses from a command; nothing is trained."""
    parsed_configs: list[TrainConfig] = []

    def record(_: Workspace, config: TrainConfig, **__: object) -> None:
        parsed_configs.append(config)
        raise KeyboardInterrupt

    program, stage, *words = shlex.split(command)
    assert (program, stage) == ("fototeca", "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOTOTECA_WORKSPACE", str(root))
        patch.setattr("fototeca.train.trainer.train_run", record)
        result = CliRunner().invoke(app, words)
    assert parsed_configs, result.output
    return parsed_configs[0]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like a workspace."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "fototeca.toml").write_text("")
    return folder


@given(config=st.sampled_from(get_args(Regime)).flatmap(configs))
def test_train_command_reproduces_the_configuration(empty: Path, config: TrainConfig) -> None:
    """Parsing the command built from config.json gives the same configuration."""
    document = json.loads(json.dumps(config.identity()))
    assert parsed(train_command(document), empty).resolved().identity() == config.identity()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("regime", ["scratch", "finetune"])
def test_train_command_names_a_non_default_optimizer(empty: Path, regime: Regime, optimizer: Any) -> None:  # noqa: ANN401
    """Its default rate and decay are omitted, since they follow from it."""
    config = TrainConfig("v001", "cnn", regime, optimizer=optimizer).resolved()
    command = train_command(config.identity())
    assert ("--optimizer sgd" in command) is (optimizer == "sgd") and "--lr" not in command
    assert parsed(command, empty).resolved() == config


def test_train_command_names_non_default_settings() -> None:
    """Settings that only change the speed are omitted; weights have an absolute path."""
    chosen = {"unfreeze": "layer4", "weights": "/far/away/resnet18.pth", "freeze_bn": True, "mixup": 0.2, "seed": 3, "workers": 2}
    config = TrainConfig("v002", "resnet18", "finetune", **chosen).resolved()  # type: ignore[arg-type]
    assert "workers" in NON_IDENTITY_SETTINGS
    assert train_command(config.identity()) == (
        "fototeca train run --manifest v002 --model resnet18 --regime finetune --unfreeze layer4 --weights /far/away/resnet18.pth"
        " --freeze-bn --mixup 0.2 --seed 3"
    )


def test_train_command_works_from_any_folder(small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path with a space becomes absolute, and the command names the same run."""
    (tmp_path / "my weights").mkdir()
    torch.save(build_model("cnn", 3)[0].state_dict(), tmp_path / "my weights" / "first.pth")
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {"image_size": 32, "epochs": 2, "device": "cpu", "weights": "my weights/first.pth"}
    run = train_run(small, TrainConfig("v001", "cnn", "features", **settings))
    monkeypatch.chdir(small.root)
    again = parsed(run.command, small.root)
    assert train_run(small, again).id == run.id and len(list(small.runs.glob("*/config.json"))) == 1
