"""Which backbone `suggest` looks through when nobody names one: the best whose weights are on disk."""

from __future__ import annotations

import os
from pathlib import Path

from vision.backbones import Backbone, load_backbone
from workspace import EXIT_OUTSIDE, FototecaError

PREFERRED = (
    "efficientnet_b0",
    "resnet50",
    "convnext_tiny",
    "mobilenet_v3_large",
    "resnet34",
    "resnet18",
    "mobilenet_v3_small",
    "squeezenet1_0",
)
"""Best first by what their frozen features cost and give on two cores."""

HINT = "pass --model NAME --weights FILE, or where there is a network: --model mobilenet_v3_small --weights DEFAULT"


def choose_backbone(model: str | None, weights: str | None) -> Backbone:
    """The backbone asked for. Without a model it is read from the name of the weight file; without both, found on disk.

    FototecaError (exit 4) when no weights are to be had.
    """
    if model is None and weights is not None:
        model = model_of_file(Path(weights).name)
        if model is None:
            raise FototecaError(f"cannot tell the model from the name {Path(weights).name!r}", "pass --model NAME as well")
    if model is None:
        model, path = find_weights()
        weights = str(path)
    return load_backbone(model, weights or "DEFAULT")


def find_weights() -> tuple[str, Path]:
    """The preferred model among the weight files that torchvision has downloaded; FototecaError (exit 4) if none."""
    folder = checkpoints_folder()
    found = {model_of_file(path.name): path for path in sorted(folder.glob("*.pth"))} if folder.is_dir() else {}
    for name in PREFERRED:
        if name in found:
            return name, found[name]
    raise FototecaError(f"no pretrained weights in {folder}", HINT, EXIT_OUTSIDE)


def checkpoints_folder() -> Path:
    """Where torchvision keeps its downloads, without importing torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser() / "hub" / "checkpoints"


def model_of_file(name: str) -> str | None:
    """The torchvision builder whose name begins a file name such as `resnet18-f37072fd.pth`."""
    from torchvision.models import list_models

    fitting = [model for model in list_models() if name.startswith((f"{model}-", f"{model}_", f"{model}."))]
    return max(fitting, key=len, default=None)
