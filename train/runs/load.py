"""Load the model of a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.train.runs.inference import LoadedEnsemble, LoadedModel
from fototeca.train.runs.registry import Run, check_members, damaged_file, read_run, run_file

if TYPE_CHECKING:
    import torch


def load_model(workspace: Workspace, run: Run) -> LoadedModel:
    """Return the run's model. FototecaError if the run is not finished, or its file or a member of an ensemble is missing."""
    from fototeca.train.heads.tree_arrays import BoostedTrees
    from fototeca.vision.backbones import build_model
    from fototeca.vision.loading import load_own
    from fototeca.vision.preprocessing import Preprocessing

    if not run.done:
        raise FototecaError(f"run {run.id} is not finished", "run its train command again to resume")
    if "members" in run.config:
        check_members(workspace, run)
        missing = [name for name in run.config["members"] if not (workspace.runs / name).is_dir()]
        if missing:
            raise FototecaError(f"{missing[0]}, a member of {run.id}, is missing", "train it again, and make the ensemble again")
        members = [load_model(workspace, read_run(workspace, name)) for name in run.config["members"]]
        return cast(LoadedModel, LoadedEnsemble(members, run.config["member_weights"]))
    if lacking := {"head", "preprocessing", "transform_input"} - run.config.keys():
        raise run_file(run.folder / "config.json").error(f"{min(lacking)} is missing")
    network = build_model(run.model_name, 1 if run.config["head"] == "boosting" else len(run.categories))[0]
    state = read_tensors(run)
    try:
        load_own(network, {key: value for key, value in state.items() if not key.startswith("boosting.")})
    except RuntimeError:
        raise damaged_file(run.folder / "model.safetensors") from None
    arrays = {key: value.numpy() for key, value in state.items() if key.startswith("boosting.")}
    if run.config["transform_input"]:
        setattr(network, "transform_input", True)  # noqa: B010  (nn.Module types attributes as tensors)
    preprocessing = Preprocessing.from_dict(run.config["preprocessing"])
    trees = BoostedTrees.from_arrays(arrays) if arrays else None
    mirror = bool(run.config.get("mirror", True)) and workspace.settings.mirror
    return LoadedModel(run.task == "multi", network.eval(), preprocessing, trees, mirror=mirror)


def read_tensors(run: Run) -> dict[str, torch.Tensor]:
    """Return the contents of `model.safetensors`. FototecaError if it is damaged or missing."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = run.folder / "model.safetensors"
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError):
        raise damaged_file(path) from None
