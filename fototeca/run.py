"""Train models and use finished runs from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fototeca.core.errors import FototecaError
from fototeca.core.trust import check_links
from fototeca.core.workspace import Workspace
from fototeca.manifest import Manifest, open_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.runs import LoadedModel, load_model, read_run
from fototeca.train.runs import Run as StoredRun

if TYPE_CHECKING:
    from PIL import Image
    from torch import nn

    from fototeca.analysis.evaluation.results import Evaluation
    from fototeca.analysis.predict.results import Prediction


@dataclass(frozen=True)
class Run(StoredRun):
    """A finished run: its model, metrics and predictions.

    Example:
        >>> run = ft.load_run("perros/data/runs/resnet18-features-v001-2b6e1c")
        >>> run.predict(["new-photo.jpg"])[0].label
        'pug'
    """

    @property
    def workspace(self) -> Workspace:
        """Paths and settings of the workspace that holds the run; `ft.Workspace.open(run.workspace.root)` opens it."""
        return Workspace(self.folder.parents[2])

    @property
    def manifest(self) -> Manifest:
        """The version that the run was trained on. FototecaError if it has changed since."""
        return open_manifest(self.workspace, self.manifest_version)

    @cached_property
    def model(self) -> LoadedModel:
        """The model with its preprocessing. FototecaError if the run is not finished or its files are damaged."""
        return load_model(self.workspace, self)

    @property
    def module(self) -> nn.Module:
        """The network in eval mode: (N, 3, H, W) float32 to logits (N, C).

        FototecaError for ensembles and for boosting heads, which have no single network.
        """
        if self.model.module is None:
            raise FototecaError(f"{self.id} is not a single network", "use predict, or load one of its members")
        return self.model.module

    def predict(self, images: Sequence[Image.Image | Path | str]) -> list[Prediction]:
        """Predict images, given as PIL images or files, as `analysis predict` does; pass all images in one call.

        Probabilities are calibrated on validation. A file that cannot be read has a `reason` instead of a label. Images of the
        test split are recorded as an access to it.
        """
        from fototeca.analysis.predict.predict import predict_images

        return predict_images(self.workspace, self.id, images)

    def evaluate(self, split: str = "val", *, tta: bool = False) -> Evaluation:
        """Evaluate on "val" or "test"; every use of test is recorded and shown in the report.

        Args:
            split: "val" or "test".
            tta: evaluate with test-time augmentation too.
        """
        from fototeca.analysis.evaluation.evaluate import evaluate_run

        return evaluate_run(self.workspace, self.id, split, tta=tta)


def load_run(run: Path | str, workspace: Workspace | None = None) -> Run:
    """Load a finished or unfinished run.

    Args:
        run: its folder, or its id in `workspace`.
        workspace: by default the workspace that contains the folder, or the current directory's.
    """
    folder = Path(run)
    if workspace is None:
        is_folder = folder.is_dir() and len(folder.resolve().parents) > 2
        workspace = Workspace(folder.resolve().parents[2]) if is_folder else Workspace.find()
    return open_run(workspace, folder.name)


def open_run(workspace: Workspace, run_id: str) -> Run:
    """Load a run of a workspace by id. FototecaError if there is none, or for a link out of the workspace that is not trusted."""
    check_links(workspace.root)
    stored = read_run(workspace, run_id)
    return Run(**{field.name: getattr(stored, field.name) for field in fields(stored)})


def train(manifest: Manifest, config: TrainConfig, *, resume: bool = True) -> Run:
    """Train a model on a frozen version; a finished run of the same configuration is returned as it is.

    Args:
        manifest: the version; it replaces `config.manifest`.
        config: model, regime and every other setting.
        resume: continue an unfinished run of the same configuration; False starts it over.
    """
    from fototeca.train.trainer import train_run

    workspace = manifest.workspace
    return open_run(workspace, train_run(workspace, replace(config, manifest=manifest.version), resume=resume).id)


def list_models() -> list[str]:
    """Return the names of all models: fototeca's own first, then torchvision's."""
    from fototeca.vision.backbones import model_names

    return list(model_names())
