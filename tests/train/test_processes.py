"""Several processes on one machine: the run that one process makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from train.config import TrainConfig
from train.run import train_run
from train.runs import load_model
from workspace import Workspace

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys, torch
torch.set_num_threads(1)
import vision.nets
vision.nets.nn.Dropout = lambda share: torch.nn.Identity()  # each process would draw its own
import fototeca
fototeca.main()
"""


def test_two_processes_equal_one(small: Workspace, tmp_path: Path) -> None:
    """torchrun's two processes learn what one does: losses within 1e-4, weights within 1e-3 of their size.

    Batch norm keeps its statistics: each process would else measure its own half of the batch.
    """
    first = train_run(small, TrainConfig(manifest="v001", model="cnn", regime="scratch", image_size=32, epochs=2, device="cpu"))
    (tmp_path / "script.py").write_text(SCRIPT)
    settings = f"--manifest v001 --model cnn --regime finetune --weights run:{first.id} --freeze-bn --device cpu --epochs 2"
    settings += " --image-size 32 --batch-size 16 --accumulate 2 --lr 0.001 --ema 0.9"
    found = {}
    for processes in (1, 2):
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = launcher if processes == 2 else [sys.executable]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "FOTOTECA_WORKSPACE": str(small.root), "OMP_NUM_THREADS": "1"}
        options = [*settings.split(), "--seed", "5", "--json"]
        done = subprocess.run(
            [*command, str(tmp_path / "script.py"), "train", "run", *options],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count('"run"') == 1
        (run,) = [run for run in _finished(small) if run.regime == "finetune"]
        found[processes] = ([row["loss"] for row in run.steps()], load_model(small, run).network.state_dict())
        run.folder.rename(tmp_path / f"kept-{processes}")
    assert len(found[1][0]) == len(found[2][0])
    assert torch.allclose(torch.tensor(found[1][0]), torch.tensor(found[2][0]), atol=1e-4)
    for name, value in found[1][1].items():
        assert torch.allclose(value.float(), found[2][1][name].float(), rtol=1e-3, atol=1e-4), name


def _finished(workspace: Workspace) -> list:
    from train.runs import list_runs

    return list_runs(workspace)
