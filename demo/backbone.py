"""Choose pretrained weights for the demo: torchvision's, a file beside the project, or a backbone trained on drawn signs."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.console import notify
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.versions.freeze import freeze_version
from fototeca.demo.gallery import draw_new_images
from fototeca.demo.signs import OTHER_SIGNS
from fototeca.train.config import TrainConfig
from fototeca.train.trainer import train_run
from fototeca.vision.weights import best_weights, cached_path, weight_members

TORCHVISION_MODEL = "mobilenet_v3_small"
"""torchvision model with a good ratio of accuracy to computing time."""

WEIGHTS_FILE = Path(__file__).parents[2] / "shared" / "weights" / "squeezenet1_0-imagenet.pth"
"""SqueezeNet's ImageNet weights, used if the file exists beside the project."""

IMAGES_PER_SIGN = 36
"""Images of each other sign for training a backbone."""

_HOST = ("download.pytorch.org", 443)


@dataclass(frozen=True)
class Pretrained:
    """A model and its weights, as `train run` takes them, and their origin."""

    model: str
    weights: str
    origin: str
    image_size: int
    """Input size for fine-tuning in pixels."""


def find_pretrained(folder: Path) -> Pretrained:
    """Return the best available weights. `folder` is used to train a backbone if there are none."""
    if any(cached_path(member).is_file() for member in weight_members(TORCHVISION_MODEL)):
        return Pretrained(
            TORCHVISION_MODEL, best_weights(TORCHVISION_MODEL) or "DEFAULT", "torchvision's ImageNet weights, on disk", 128
        )
    if _is_online():
        return Pretrained(TORCHVISION_MODEL, "DEFAULT", "torchvision's ImageNet weights, fetched now", 128)
    if WEIGHTS_FILE.is_file():
        return Pretrained(
            "squeezenet1_0", str(WEIGHTS_FILE), f"ImageNet weights from {WEIGHTS_FILE.name} beside the project", 128
        )
    notify("no ImageNet weights on disk and no network to fetch them: training a backbone on other drawn signs first")
    return Pretrained("cnn", str(_train_backbone(folder)), "a backbone trained on other drawn signs just now", 64)


def _is_online() -> bool:
    """Return True if the host of torchvision's weights is reachable; the only use of a network in the demo."""
    try:
        socket.create_connection(_HOST, timeout=2).close()
    except OSError:
        return False
    return True


def _train_backbone(folder: Path) -> Path:
    """Train a small network on the other signs and return the path of its weights."""
    workspace = Workspace(folder / "w")
    if not workspace.config.exists():
        create_workspace(workspace.root, list(OTHER_SIGNS), target=IMAGES_PER_SIGN)
    draw_new_images(folder / "images", list(OTHER_SIGNS), IMAGES_PER_SIGN)
    collect_folder(workspace, folder / "images", FolderOptions(label_from_folder=True), FetchOptions())
    dedup(workspace)
    version = freeze_version(workspace).manifest.version
    run = train_run(workspace, TrainConfig(version, "cnn", "scratch", image_size=64, epochs=20))
    return run.folder / "model.safetensors"
