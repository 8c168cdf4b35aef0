"""Several processes on one machine: the run that one process makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train.config import TrainConfig
from train.run import train_run
from train.runs import Run, load_model, read_run
from workspace import Workspace

ROOT = Path(__file__).parents[2]

SCRIPT = """
import torch
torch.set_num_threads(1)
torch.nn.Dropout = lambda share: torch.nn.Identity()
import fototeca
fototeca.main()
"""

BASE = {"manifest": "v001", "model": "cnn", "image_size": 32, "batch_size": 16, "device": "cpu", "epochs": 3}


def learned(workspace: Workspace, run: Run) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Losses and weights."""
    return torch.tensor([row["loss"] for row in run.steps()]), load_model(workspace, run).network.state_dict()


def test_two_processes_equal_one(uneven: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun's two processes learn what one does: losses within 1e-4, weights within 1e-4 or a thousandth.

    Rare classes weigh more. Without dropout and batch norm's statistics: each process would draw and measure for its half of a
    batch.
    """
    monkeypatch.setattr("torch.nn.Dropout", lambda share: torch.nn.Identity())
    settings = {**BASE, "regime": "scratch", "accumulate": 2, "lr": 1e-3, "ema": 0.9, "balance": "weights", "patience": 1}
    alone = train_run(uneven, TrainConfig(**settings, freeze_bn=True))  # type: ignore[arg-type]
    losses, weights = learned(uneven, alone)
    assert losses.min() > 0.1
    alone.folder.rename(tmp_path / "alone")
    (tmp_path / "script.py").write_text(SCRIPT)
    options = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(tmp_path / "script.py"), "train", "run", *options, "--freeze-bn", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FOTOTECA_WORKSPACE": str(uneven.root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == alone.id
    shared_losses, shared_weights = learned(uneven, read_run(uneven, alone.id))
    assert torch.allclose(losses, shared_losses, atol=1e-4)
    for name, value in weights.items():
        assert torch.allclose(value.float(), shared_weights[name].float(), rtol=1e-3, atol=1e-4), name
