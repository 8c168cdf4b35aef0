"""Checkpoints as other programs write them."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model
from torchvision.models.mnasnet import MNASNet, _stack

from fototeca.core.errors import FototecaError
from fototeca.vision.backbones import build_model
from fototeca.vision.loading import load_own

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def network() -> State:
    """The state dict of a small ShuffleNet of 7 classes."""
    torch.manual_seed(7)
    return get_model("shufflenet_v2_x0_5", num_classes=7).state_dict()


def prefixed(prefix: str, state: State) -> State:
    """Return a state dict as a wrapper of the network has it."""
    return OrderedDict((f"{prefix}{name}", value) for name, value in state.items())


def zeros(state: State) -> State:
    """Return other weights of the same network."""
    return OrderedDict((name, torch.zeros_like(value)) for name, value in state.items())


def numbered(state: State) -> State:
    """Return the names of fastai's vision learners: children by their number, and a head."""
    children = [name for name, _ in get_model("shufflenet_v2_x0_5").named_children()]
    body = {name.partition(".")[::2]: value for name, value in state.items() if not name.startswith("fc.")}
    return {f"0.{children.index(child)}.{rest}": value for (child, rest), value in body.items()} | {
        "1.8.weight": torch.ones(2, 3)
    }


WRITERS: dict[str, Callable[[State], object]] = {
    "bare": lambda state: state,
    "fp16": lambda state: {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
    "module": lambda state: prefixed("module.", state),
    "compiled": lambda state: prefixed("_orig_mod.", state),
    "compiled in ddp": lambda state: {"model": prefixed("module._orig_mod.", state)},
    "compiled stage": lambda state: {name.replace("stage2.", "stage2._orig_mod."): value for name, value in state.items()},
    "backbone": lambda state: prefixed("backbone.", state),
    "nested": lambda state: prefixed("module.model.backbone.", state),
    "lightning": lambda state: {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {**prefixed("model.", state), "criterion.weight": torch.ones(7)},
        "callbacks": {"ModelCheckpoint": {"best_model_path": Path("x.ckpt"), "best_model_score": torch.ones(())}},
        "hyper_parameters": {"folder": Path("data"), "options": argparse.Namespace(lr=0.1)},
    },
    "timm": lambda state: {
        "epoch": 1,
        "arch": "shufflenet",
        "state_dict": state,
        "args": argparse.Namespace(),
        "metric": np.float64(1),
    },
    "torchvision": lambda state: {"model": state, "optimizer": {"state": {}}, "epoch": 1, "args": argparse.Namespace(lr=0.5)},
    "fastai": lambda state: {"model": numbered(state), "opt": {"hypers": [{"lr": 1e-3}]}},
}


@pytest.mark.parametrize("program", WRITERS)
def test_checkpoints_of_other_programs(tmp_path: Path, network: State, program: str) -> None:
    """Every tensor below the classifier is loaded."""
    torch.save(WRITERS[program](network), path := tmp_path / "c.pth")
    loaded = build_model("shufflenet_v2_x0_5", 3, str(path))[0].state_dict()
    tolerance = 1e-3 if program == "fp16" else 0.0
    assert all(
        torch.allclose(loaded[name], value, atol=tolerance) for name, value in network.items() if not name.startswith("fc.")
    )


AVERAGED: dict[str, tuple[Callable[[State], object], str]] = {
    "torchvision": (
        lambda state: {"model": zeros(state), "model_ema": {**prefixed("module.", state), "n_averaged": torch.tensor(9)}},
        "in 'model_ema' are used; 'model', those of its last step, were not",
    ),
    "timm": (lambda state: {"state_dict": zeros(state), "state_dict_ema": state}, "in 'state_dict_ema' are used; 'state_dict'"),
    "lightning": (
        lambda state: {"state_dict": {**prefixed("model.", zeros(state)), **prefixed("ema_model.module.", state)}},
        "below 'ema_model' are used",
    ),
}


@pytest.mark.parametrize("program", AVERAGED)
def test_average_of_the_weights_is_taken_and_named(
    tmp_path: Path, network: State, program: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Beside the weights of the last step, as the programs that write them evaluate."""
    content, note = AVERAGED[program]
    torch.save(content(network), path := tmp_path / "c.pth")
    loaded = build_model("shufflenet_v2_x0_5", 3, str(path))[0].state_dict()
    assert torch.equal(loaded["conv1.0.weight"], network["conv1.0.weight"])
    assert "c.pth: the averaged weights" in (said := capfd.readouterr().err) and note in said


class Marked:
    """A class of another program; unpickling it would call `__setstate__`, which no test may reach."""

    calls: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.value = 1

    def __setstate__(self, state: dict[str, Any]) -> None:
        Marked.calls.append("called")


def test_objects_beside_the_weights_are_not_created(tmp_path: Path, network: State) -> None:
    """A class of the file is neither imported nor called; the weights beside it are loaded."""
    torch.save({"state_dict": network, "config": Marked()}, path := tmp_path / "c.pth")
    assert torch.equal(
        build_model("shufflenet_v2_x0_5", 3, str(path))[0].state_dict()["conv1.0.weight"], network["conv1.0.weight"]
    )
    assert not Marked.calls


class Attack:
    """Runs a command when it is unpickled by plain pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return (os.system, ("touch attacked",))


def write_archive(path: Path, *names: str) -> None:
    """Write a zip of empty files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "model": (
        lambda path: torch.save(nn.Sequential(nn.Linear(2, 2)), path),
        "is a pickled object of torch.nn.modules.container.Sequential",
    ),
    "model in a dict": (
        lambda path: torch.save({"model": nn.Linear(2, 2), "epoch": 1}, path),
        "holds a pickled object of torch.nn.modules.linear.Linear as 'model'",
    ),
    "attack": (lambda path: torch.save({"a": Attack()}, path), "not a readable weight file"),
    "script": (lambda path: torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), str(path)), "it is TorchScript"),
    "optimizer": (lambda path: torch.save({"optimizer": {}, "epoch": 3}, path), "it is a dict of optimizer, epoch"),
    "web page": (lambda path: path.write_text("<!DOCTYPE html><html>"), "it is a web page"),
    "pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "keras": (lambda path: write_archive(path, "config.json", "model.weights.h5"), "it is a Keras model"),
    "numpy": (lambda path: np.savez(path.open("wb"), a=np.ones(2)), "it is an archive of NumPy"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"a": np.ones(2)})), "not a readable weight file"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore")  # torch's own, of TorchScript and of pickle's protocol
def test_refused_files_are_named_for_what_they_are(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and nothing of the file is run."""
    monkeypatch.chdir(tmp_path)
    write, message = REFUSED[kind]
    write(path := tmp_path / "w.pth")
    with pytest.raises(FototecaError) as error:
        build_model("cnn", 3, str(path))
    assert message in str(error.value) and not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["conv_stem.weight", "blocks.0.0.conv_dw.weight"], "of an EfficientNet or MobileNet of timm"),
        (["vit.embeddings.patch_embeddings.projection.weight"], "of Hugging Face transformers"),
        (["visual.transformer.resblocks.0.attn.in_proj_weight"], "of CLIP"),
    ],
)
def test_other_networks_are_named(tmp_path: Path, names: list[str], message: str) -> None:
    """By the names of their tensors."""
    save_file({name: torch.ones(2) for name in names}, path := tmp_path / "w.safetensors")
    with pytest.raises(FototecaError, match=f"another architecture than cnn .* they are {message}"):
        build_model("cnn", 3, str(path))


def test_the_fitting_model_is_named(tmp_path: Path) -> None:
    """A file of another member of the same family."""
    torch.save(get_model("squeezenet1_1").state_dict(), path := tmp_path / "w.pth")
    with pytest.raises(FototecaError, match="they are of squeezenet1_1; pass --model squeezenet1_1"):
        build_model("squeezenet1_0", 3, str(path))


@pytest.mark.parametrize("name", ["mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"])
@pytest.mark.parametrize("kind", ["pth", "dict", "safetensors"])
def test_mnasnet_with_and_without_its_version(tmp_path: Path, name: str, kind: str) -> None:
    """Its load hook needs the version that only torch.save keeps."""
    state = get_model(name, num_classes=5).state_dict()
    path = tmp_path / f"w.{'safetensors' if kind == 'safetensors' else 'pth'}"
    save_file(state, path) if kind == "safetensors" else torch.save(dict(state) if kind == "dict" else state, path)
    loaded = build_model(name, 3, str(path))[0].state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items() if not key.startswith("classifier"))


@pytest.mark.parametrize("with_version", [True, False])
def test_first_version_of_mnasnet(tmp_path: Path, with_version: bool) -> None:
    """Its stem was wider; loading rebuilds it once, and a second load keeps the layers that an optimizer has."""
    wide = MNASNet(0.5, num_classes=5)
    wide.layers[0], wide.layers[1] = nn.Conv2d(3, 32, 3, bias=False), nn.BatchNorm2d(32)
    wide.layers[3], wide.layers[4] = nn.Conv2d(32, 32, 3, groups=32, bias=False), nn.BatchNorm2d(32)
    wide.layers[6], wide.layers[7] = nn.Conv2d(32, 16, 1, bias=False), nn.BatchNorm2d(16)
    wide.layers[8] = _stack(16, 16, 3, 2, 3, 3, 0.1)
    state = wide.state_dict()
    state._metadata[""]["version"] = 1
    torch.save(state if with_version else dict(state), path := tmp_path / "w.pth")
    module = build_model("mnasnet0_5", 3, str(path))[0]
    assert module.get_parameter("layers.0.weight").shape[0] == 32
    stem = module.get_parameter("layers.0.weight")
    load_own(module, module.state_dict())
    assert module.get_parameter("layers.0.weight") is stem
    load_own(build_model("mnasnet0_5", 3)[0], dict(module.state_dict()))
