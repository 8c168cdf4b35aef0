"""The command that a run tells of itself: given again, it is the same run."""

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
    """The run of these settings, if they go together."""
    try:
        return TrainConfig("v002", **settings).resolved()
    except FototecaError:
        return None


OFF = {"clip": st.none() | st.just(0.0), "weight_decay": st.none() | st.just(0.0)}
"""What may be told of settings that frozen features have no use for: nothing, or that they are off."""

LEFT_OUT = {
    "scratch": ("head", "augmented_copies", "unfreeze", "weights"),
    "finetune": ("head", "augmented_copies"),
    "features": ("unfreeze", *(name for name in NETWORK_SETTINGS if name not in OFF)),
}
"""What a regime refuses."""


def configs(regime: str) -> st.SearchStrategy[TrainConfig | None]:
    """Runs of a regime with any of its settings."""
    optional = {name: values for name, values in SETTINGS.items() if name not in ("model", *LEFT_OUT[regime])}
    optional |= OFF if regime == "features" else {}
    needed = {"model": SETTINGS["model"], "regime": st.just(regime)}
    return st.fixed_dictionaries(needed, optional=optional).map(allowed).filter(lambda config: config is not None)


def parsed(command: str, root: Path) -> TrainConfig:
    """What the command line makes of it; nothing is trained."""
    asked: list[TrainConfig] = []

    def noted(_: Workspace, config: TrainConfig, **__: object) -> None:
        asked.append(config)
        raise KeyboardInterrupt

    program, stage, *words = shlex.split(command)
    assert (program, stage) == ("fototeca", "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOTOTECA_WORKSPACE", str(root))
        patch.setattr("fototeca.train.trainer.train_run", noted)
        said = CliRunner().invoke(app, words)
    assert asked, said.output
    return asked[0]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a workspace."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "fototeca.toml").write_text("")
    return folder


@given(config=st.sampled_from(get_args(Regime)).flatmap(configs))
def test_the_command_of_a_run_is_the_run(empty: Path, config: TrainConfig) -> None:
    """Whatever its settings: read from its config.json, written as a command, and read by the command line."""
    kept = json.loads(json.dumps(config.identity()))
    assert parsed(train_command(kept), empty).resolved().identity() == config.identity()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("regime", ["scratch", "finetune"])
def test_an_optimizer_is_told_when_it_is_not_the_usual_one(empty: Path, regime: Regime, optimizer: Any) -> None:  # noqa: ANN401
    """Its own rate and decay are not, since they follow from it."""
    config = TrainConfig("v001", "cnn", regime, optimizer=optimizer).resolved()
    command = train_command(config.identity())
    assert ("--optimizer sgd" in command) is (optimizer == "sgd") and "--lr" not in command
    assert parsed(command, empty).resolved() == config


def test_the_command_names_what_is_not_usual() -> None:
    """Settings that differ from their defaults are told, those that change only the speed not; weights by their whole path."""
    chosen = {"unfreeze": "layer4", "weights": "/far/away/resnet18.pth", "freeze_bn": True, "mixup": 0.2, "seed": 3, "workers": 2}
    config = TrainConfig("v002", "resnet18", "finetune", **chosen).resolved()  # type: ignore[arg-type]
    assert "workers" in NON_IDENTITY_SETTINGS
    assert train_command(config.identity()) == (
        "fototeca train run --manifest v002 --model resnet18 --regime finetune --unfreeze layer4 --weights /far/away/resnet18.pth"
        " --freeze-bn --mixup 0.2 --seed 3"
    )


def test_a_file_of_weights_is_found_again_from_any_folder(
    small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by a relative path with a blank in it, it is told by its whole path: elsewhere the command is that run, too."""
    (tmp_path / "my weights").mkdir()
    torch.save(build_model("cnn", 3)[0].state_dict(), tmp_path / "my weights" / "first.pth")
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {"image_size": 32, "epochs": 2, "device": "cpu", "weights": "my weights/first.pth"}
    run = train_run(small, TrainConfig("v001", "cnn", "features", **settings))
    monkeypatch.chdir(small.root)
    again = parsed(run.command, small.root)
    assert train_run(small, again).id == run.id and len(list(small.runs.glob("*/config.json"))) == 1
