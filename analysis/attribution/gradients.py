"""Maps from one backward pass: Grad-CAM and saliency."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from captum.attr import Saliency
from torch import nn
from torch.nn import functional as F

from analysis.attribution.layers import as_maps, target_layer
from analysis.attribution.maps import Map


def grad_cam(module: nn.Module, tensor: torch.Tensor, target: int, layer: str = "") -> Map:
    """Grad-CAM (Selvaraju et al. 2017): activations weighted by their mean gradients, negative parts cut, enlarged to (H, W).

    Equals Captum's LayerGradCam where that can look (maps with channels first); also reads transformers' tokens. Works on
    frozen backbones, since the picture itself asks for the gradient.
    """
    kept: list[torch.Tensor] = []

    def keep(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  (a module's inputs may be anything)
        kept.append(output)
        return output.clone()  # a later in-place ReLU must not change what was kept

    handle = target_layer(module, tensor, layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            score = module(tensor.clone().requires_grad_())[0, target]
    finally:
        handle.remove()
    gradient = as_maps(torch.autograd.grad(score, kept[-1])[0])
    weighted = (gradient.mean(dim=(2, 3), keepdim=True) * as_maps(kept[-1].detach())).sum(dim=1, keepdim=True)
    enlarged = F.interpolate(weighted.relu(), size=tensor.shape[-2:], mode="bilinear", align_corners=False)
    return np.asarray(enlarged[0, 0].numpy(), dtype=np.float32)


def saliency(module: nn.Module, tensor: torch.Tensor, target: int) -> Map:
    """Saliency (Simonyan et al. 2014): the largest absolute gradient over the colours, (H, W)."""
    with torch.enable_grad():
        gradient = Saliency(module).attribute(tensor.clone().requires_grad_(), target=target, abs=True)
    return np.asarray(gradient.detach()[0].amax(dim=0).numpy(), dtype=np.float32)
