"""Where a run starts from: weights by torchvision's name, by a path, or those of another run."""

from __future__ import annotations

from pathlib import Path

from train.config import TrainConfig
from train.runs import read_run
from vision.weights import weight_members
from workspace import FototecaError, Workspace


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
