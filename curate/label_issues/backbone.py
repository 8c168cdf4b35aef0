"""Choose the backbone of the search for label issues: the best with weights on disk, else a small one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from fototeca.core.errors import FototecaError
from fototeca.vision.backbones import Backbone, load_backbone
from fototeca.vision.timm_models import PACKAGED_MODEL
from fototeca.vision.weights import best_weights

PREFERRED = (
    "efficientnet_b0",
    "resnet50",
    "convnext_tiny",
    "mobilenet_v3_large",
    PACKAGED_MODEL,
    "resnet34",
    "resnet18",
    "mobilenet_v3_small",
    "squeezenet1_0",
)
"""Preferred backbones, best first by the cost and accuracy of their frozen features on two cores."""

SMALL = "mobilenet_v3_small"
"""Downloaded if no weights are on disk: 10 MB."""


def choose_backbone(model: str | None, weights: str | None) -> Backbone:
    """Load a backbone. Without `model` it is guessed from the file name of `weights`; without both, weights on disk are used.

    Raises:
        FototecaError: the model cannot be guessed, or (exit code 4) no weights are available.
    """
    if model is None and weights is None:
        model, weights = next(((name, path) for name in PREFERRED if (path := best_weights(name))), (SMALL, "DEFAULT"))
    elif model is None:
        model = guess_model(Path(str(weights)).name)
        if model is None:
            raise FototecaError(f"cannot tell the model from the name {Path(str(weights)).name!r}", "pass --model NAME as well")
    return with_whole_images(load_backbone(model, weights or "DEFAULT"))


def with_whole_images(backbone: Backbone) -> Backbone:
    """Return the backbone with a preprocessing that shows whole images: a label may be about what the middle square cuts off.

    The side is 9/7 of the published one, where the network takes it: objects of the training crops look larger than those of
    whole images (Touvron et al. 2019, arxiv.org/abs/1906.06423).
    """
    preprocessing = backbone.preprocessing.fitted("squash")
    larger = preprocessing.at(round(preprocessing.crop * 9 / 7))
    try:
        with torch.inference_mode():
            backbone.module(torch.zeros(1, 3, larger.crop, larger.crop))
    except (RuntimeError, AssertionError):  # a transformer of one size
        larger = preprocessing
    return replace(backbone, preprocessing=larger)


def guess_model(name: str) -> str | None:
    """Return the torchvision builder whose name starts a file name such as `resnet18-f37072fd.pth`; None for no match."""
    from torchvision.models import list_models

    matching = [model for model in list_models() if name.startswith((f"{model}-", f"{model}_", f"{model}."))]
    return max(matching, key=len, default=None)
