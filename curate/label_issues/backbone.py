"""Which backbone `suggest` looks through when nobody names one: the best whose weights are on disk, else a small one."""

from __future__ import annotations

from pathlib import Path

from fototeca.core.errors import FototecaError
from fototeca.vision.backbones import Backbone, load_backbone
from fototeca.vision.weights import best_weights

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

SMALL = "mobilenet_v3_small"
"""Fetched where none of them is there: 10 MB."""


def choose_backbone(model: str | None, weights: str | None) -> Backbone:
    """The backbone asked for. Without a model it is read from the file's name; without both, found on disk or fetched.

    FototecaError (exit 4) when no weights are to be had.
    """
    if model is None and weights is None:
        model, weights = next(((name, found) for name in PREFERRED if (found := best_weights(name))), (SMALL, "DEFAULT"))
    elif model is None:
        model = model_of_file(Path(str(weights)).name)
        if model is None:
            raise FototecaError(f"cannot tell the model from the name {Path(str(weights)).name!r}", "pass --model NAME as well")
    return load_backbone(model, weights or "DEFAULT")


def model_of_file(name: str) -> str | None:
    """The torchvision builder whose name begins a file name such as `resnet18-f37072fd.pth`."""
    from torchvision.models import list_models

    fitting = [model for model in list_models() if name.startswith((f"{model}-", f"{model}_", f"{model}."))]
    return max(fitting, key=len, default=None)
