"""Where the demo's pretrained weights come from: torchvision's, a file beside the project, or signs drawn for that purpose."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from fototeca.collect.files.local_files import LabelSource
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.console import notify
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.versions.freeze import freeze_version
from fototeca.demo.gallery import new_images
from fototeca.demo.signs import OTHERS
from fototeca.train.config import TrainConfig
from fototeca.train.trainer import train_run
from fototeca.vision.weights import best_weights, cached_path, weight_members

MODEL = "mobilenet_v3_small"
"""Of torchvision's models the cheapest to ask that still knows much."""

FILE = Path(__file__).parents[2] / "shared" / "weights" / "squeezenet1_0-imagenet.pth"
"""SqueezeNet's ImageNet weights, if somebody has put them beside the project."""

EACH = 36
"""Images of each other sign that a backbone is trained on when there is no other."""

_HOST = ("download.pytorch.org", 443)


@dataclass(frozen=True)
class Pretrained:
    """A model and its weights, as `train run` takes them, and where they come from."""

    model: str
    weights: str
    origin: str
    side: int
    """Pixels of input for fine-tuning."""


def find_pretrained(folder: Path) -> Pretrained:
    """The best that is to be had here. `folder` is where a backbone would be trained."""
    if any(cached_path(member).is_file() for member in weight_members(MODEL)):
        return Pretrained(MODEL, best_weights(MODEL) or "DEFAULT", "torchvision's ImageNet weights, on disk", 128)
    if _online():
        return Pretrained(MODEL, "DEFAULT", "torchvision's ImageNet weights, fetched now", 128)
    if FILE.is_file():
        return Pretrained("squeezenet1_0", str(FILE), f"ImageNet weights from {FILE.name} beside the project", 128)
    notify("no ImageNet weights here and no network to fetch them: training a backbone on other drawn signs first")
    return Pretrained("cnn", str(_train_backbone(folder)), "a backbone trained on other drawn signs just now", 64)


def _online() -> bool:
    """Whether the host of torchvision's weights answers; this is where the demo would use a network."""
    try:
        socket.create_connection(_HOST, timeout=2).close()
    except OSError:
        return False
    return True


def _train_backbone(folder: Path) -> Path:
    """The weights of a small network that tells the other signs apart."""
    workspace = Workspace(folder / "w")
    if not workspace.config.exists():
        create_workspace(workspace.root, list(OTHERS), target=EACH)
    new_images(folder / "images", list(OTHERS), EACH)
    collect_folder(workspace, folder / "images", LabelSource(from_folder=True), FetchOptions())
    dedup(workspace)
    version = freeze_version(workspace).manifest.version
    run = train_run(workspace, TrainConfig(version, "cnn", "scratch", image_size=64, epochs=20))
    return run.folder / "model.safetensors"
