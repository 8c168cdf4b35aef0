"""Initial weights of a run by name, path or run, and the weight file that a run writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import nn

from fototeca.core.errors import FototecaError
from fototeca.core.files import write_bytes
from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.runs.registry import Run, read_run
from fototeca.vision.preprocessing import Preprocessing
from fototeca.vision.timm_models import PACKAGED
from fototeca.vision.weights import weight_members


def weights_path(workspace: Workspace, weights: str | None) -> str | None:
    """Return the path of a run's model for `run:ID`; other names and paths unchanged. FototecaError for a run without a model."""
    if weights is None or not weights.startswith("run:"):
        return weights
    run = read_run(workspace, weights.removeprefix("run:"))
    if not run.done or "members" in run.config:
        raise FototecaError(f"run {run.id} has no model of its own to start from", "use a finished run that is not an ensemble")
    return str(run.folder / "model.safetensors")


def absolute_weights(config: TrainConfig) -> str | None:
    """Return the weights as `config.json` records them: a file by its absolute path, valid from any folder."""
    weights = config.weights
    if weights is None or weights.startswith("run:"):
        return weights
    names = {"DEFAULT", PACKAGED, *(member.name for member in weight_members(config.model))}
    return weights if weights in names else str(Path(weights).expanduser().absolute())


def output_meaning(categories: Sequence[str], task: str) -> dict[str, Any]:
    """Return what a weight file records about the outputs of its classifier."""
    return {"task": task, "categories": list(categories)}


def save_model(run: Run, module: nn.Module, preprocessing: Preprocessing, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write `model.safetensors`: the weights, and arrays of trees, which are then the classifier.

    The file's metadata holds the preprocessing and, without trees, the meaning of the outputs.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    state |= {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
    note = {**preprocessing.to_dict(), "transform_input": bool(getattr(module, "transform_input", False))}
    if not arrays:
        note["outputs"] = output_meaning(run.categories, run.task)
    content = save(state, metadata={"preprocessing": json.dumps(note)})  # one entry: the order of several is random
    write_bytes(run.folder / "model.safetensors", content)
