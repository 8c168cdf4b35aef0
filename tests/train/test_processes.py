"""Training by several processes on one machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.run_spec import resolve_run
from fototeca.train.runs import Run, load_model, read_run
from fototeca.train.trainer import train_run
from fototeca.vision.backbones import build_model

SCRIPT = """
import torch
torch.set_num_threads(1)
import fototeca.cli
fototeca.cli.main()
"""

BASE = {"manifest": "v001", "model": "cnn", "image_size": 32, "batch_size": 16, "device": "cpu", "epochs": 3}


def read_result(workspace: Workspace, run: Run) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return losses and weights of a run."""
    return torch.tensor([row["loss"] for row in run.steps()]), load_model(workspace, run).network.state_dict()


@pytest.mark.parametrize(
    ("settings", "effects"),
    [
        ({}, ["dropout", "batch norm"]),
        ({"freeze_bn": True, "mixup": 0.2}, ["mixing", "dropout"]),
        ({"regime": "finetune", "unfreeze": "head"}, ["dropout"]),
        ({"regime": "finetune", "freeze_bn": True, "dropout": False}, []),
        ({"regime": "features"}, []),
    ],
    ids=["usual", "mixing", "head", "calm", "features"],
)
def test_per_process_effects_change_the_run_id(
    small: Workspace, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], effects: list[str]
) -> None:
    """Two processes with dropout, batch norm or mixing are another run, whose command uses torchrun."""
    if not settings.pop("dropout", True):
        monkeypatch.setattr("torch.nn.Dropout", lambda share: torch.nn.Identity())
    if settings.get("regime"):
        path = small.root / "plain.pth"
        torch.save(build_model("cnn", 3)[0].state_dict(), path)
        settings = {**settings, "weights": str(path)}
    config = TrainConfig(**{**BASE, "regime": "scratch", **settings}).resolved()
    manifest = read_manifest(small, "v001")
    alone, both = resolve_run(small, config, manifest), resolve_run(small, config, manifest, processes=2)
    assert alone.per_process_effects == () and list(both.per_process_effects) == effects
    assert (both.run.id == alone.run.id) is (not effects)
    assert both.run.command.startswith(
        "torchrun --nproc-per-node 2 $(which fototeca) train run --manifest" if effects else "fototeca "
    )


def test_two_processes_equal_one(uneven: Workspace, tmp_path: Path) -> None:
    """torchrun's two processes learn what one does: losses within 1e-5, weights within 1e-4 or a thousandth.

    As docs/training.md says: `resnet18`, which has no dropout, fine-tuned with its batch norm's statistics. Rare classes weigh
    more. AdamW would amplify the rounding of gradients close to zero.
    """
    torch.manual_seed(0)
    torch.save(build_model("resnet18", 3)[0].state_dict(), tmp_path / "plain.pth")
    settings = {**BASE, "model": "resnet18", "regime": "finetune", "weights": str(tmp_path / "plain.pth"), "accumulate": 2}
    settings |= {"optimizer": "sgd", "lr": 1e-2, "ema": 0.9, "balance": "weights", "patience": 1, "label_smoothing": 0.2}
    alone = train_run(uneven, TrainConfig(**settings, freeze_bn=True))  # type: ignore[arg-type]
    losses, weights = read_result(uneven, alone)
    assert losses.min() > 0.1
    alone.folder.rename(tmp_path / "alone")
    (tmp_path / "script.py").write_text(SCRIPT)
    options = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    environment = {"FOTOTECA_WORKSPACE": str(uneven.root), "TMPDIR": str(tmp_path)}  # torchrun leaves a folder
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(tmp_path / "script.py"), "train", "run", *options, "--freeze-bn", "--json"],
        env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == alone.id
    shared_losses, shared_weights = read_result(uneven, read_run(uneven, alone.id))
    assert torch.allclose(losses, shared_losses, rtol=0, atol=1e-5)
    for name, value in weights.items():
        assert torch.allclose(value.float(), shared_weights[name].float(), rtol=1e-3, atol=1e-4), name
