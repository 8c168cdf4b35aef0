"""Where a run starts from, and what it leaves for others to start from: weights by name, by path, or of another run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from fototeca.core.errors import FototecaError
from fototeca.core.files import write_bytes
from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.runs.registry import Run, read_run
from fototeca.vision.backbones import Preprocessing
from fototeca.vision.weights import weight_members


def weights_path(workspace: Workspace, weights: str | None) -> str | None:
    """`run:ID` as the path of that run's model; everything else as it is."""
    if weights is None or not weights.startswith("run:"):
        return weights
    run = read_run(workspace, weights.removeprefix("run:"))
    if not run.done or "members" in run.config:
        raise FototecaError(f"run {run.id} has no model of its own to start from", "name a finished run that is no ensemble")
    return str(run.folder / "model.safetensors")


def whole_path(config: TrainConfig) -> str | None:
    """The weights as `config.json` tells them: a file by its whole path, so that it is found again from any folder."""
    weights = config.weights
    if weights is None or weights.startswith("run:"):
        return weights
    names = {"DEFAULT", *(member.name for member in weight_members(config.model))}
    return weights if weights in names else str(Path(weights).expanduser().absolute())


def answers(categories: Sequence[str], task: str) -> dict[str, Any]:
    """What the outputs of a classifier mean."""
    return {"task": task, "categories": list(categories)}


def save_model(run: Run, module: nn.Module, preprocessing: Preprocessing, extra: Mapping[str, Any]) -> None:
    """Weights, and arrays beside them (trees, which are the classifier then).

    In the file's metadata: what the images go through before the first layer, and what the outputs mean.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    state |= {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in extra.items()}
    noted = {**preprocessing.to_dict(), "transform_input": bool(getattr(module, "transform_input", False))}
    if not extra:
        noted["answers"] = answers(run.categories, run.task)
    content = save(state, metadata={"preprocessing": json.dumps(noted)})  # one entry: the order of several is by chance
    write_bytes(run.folder / "model.safetensors", content)
