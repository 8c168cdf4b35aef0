"""Checkpoints of a network in training: its state on disk, and the moving average of its weights."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

from fototeca.core.errors import FototecaError
from fototeca.core.files import atomic_write
from fototeca.vision.loading import load_own

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


@dataclass
class Progress:
    """State of training after an epoch, saved in the checkpoint beside weights and optimizer."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    best_loss: float = math.inf
    preparing: float = 0.0
    """Seconds before training, of all processes so far."""
    seconds: float = 0.0
    """Seconds of all epochs."""
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    """State dict that was best on validation."""


def save_checkpoint(
    folder: Path,
    fabric: Fabric,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None,
    progress: Progress,
) -> None:
    """Write `checkpoint.pt` atomically."""
    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.state_dict() if average is not None else None,
        "precision": fabric._precision.state_dict(),  # the loss scale of 16 bits; Fabric has no public access to it
        "progress": progress.__dict__,
    }
    save_tensors(folder / "checkpoint.pt", state)


def load_checkpoint(
    folder: Path, fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer, average: AveragedModel | None
) -> Progress:
    """Restore the state in `checkpoint.pt` and return the progress, which is zero without that file.

    FototecaError for a damaged file.
    """
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return Progress()
    try:
        state = torch.load(path, map_location=fabric.device, weights_only=True)
        load_own(module, state["module"])
        optimizer.load_state_dict(state["optimizer"])
        if average is not None:
            average.load_state_dict(state["average"])
        fabric._precision.load_state_dict(state["precision"])
        return Progress(**state["progress"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError):
        raise FototecaError(f"{path} is damaged", "delete it to train this run from the start, or pass --no-resume") from None


def save_tensors(path: Path, state: Mapping[str, Any]) -> None:
    """Write a file of tensors atomically. It is serialized in memory first: torch.save hides the error of a full disk."""
    content = io.BytesIO()
    torch.save(state, content)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


def make_average(module: nn.Module, decay: float) -> AveragedModel:
    """Return a moving average of the module's weights and statistics.

    After t steps at most (1 + t) / (10 + t) of the average is retained, as with `num_updates` of TensorFlow's
    ExponentialMovingAverage; otherwise the initial weights would dominate the average for thousands of steps.
    """

    @torch.no_grad()
    def update(averages: Tensors, values: Tensors, steps: torch.Tensor | int) -> None:
        retained = min(decay, (1 + int(steps)) / (10 + int(steps)))
        if averages[0].is_floating_point():  # torch passes tensors of one dtype at a time
            torch._foreach_lerp_(averages, values, 1 - retained)
            return
        for average, value in zip(averages, values, strict=True):
            average.copy_(average * retained + value * (1 - retained))

    return AveragedModel(module, multi_avg_fn=update, use_buffers=True)
