"""Maps from one backward pass: Grad-CAM, Grad-CAM++, saliency, guided backpropagation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from captum.attr import Saliency
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fototeca.analysis.attribution.layers import as_maps, target_layer
from fototeca.analysis.attribution.maps import Map
from fototeca.core.errors import FototecaError


def grad_cam(module: nn.Module, tensor: torch.Tensor, target: int, layer: str = "") -> Map:
    """Grad-CAM (Selvaraju et al. 2017): channels weighted by their mean gradients, rectified, resized to (H, W).

    Equals Captum's LayerGradCam where that applies (channels-first maps); tokens of transformers work too, and so do frozen
    backbones, since the gradient is taken with respect to the image.
    """
    activations, gradient = _at_layer(module, tensor, target, layer)
    return _enlarged(gradient.mean(dim=(2, 3), keepdim=True), activations, tensor)


def grad_cam_plus_plus(module: nn.Module, tensor: torch.Tensor, target: int, layer: str = "") -> Map:
    """Grad-CAM++ (Chattopadhay et al. 2018, equations 10 and 19): weight 1 / (2 + g·ΣA) for each positive gradient g.

    These are the weights for the score e^S without its constant factor e^S. Returns (H, W).
    """
    activations, gradient = _at_layer(module, tensor, target, layer)
    rise = 2 + gradient * activations.sum(dim=(2, 3), keepdim=True)
    shares = torch.where(rise == 0, 0.0, gradient.relu() / rise)
    return _enlarged(shares.sum(dim=(2, 3), keepdim=True), activations, tensor)


def _at_layer(module: nn.Module, tensor: torch.Tensor, target: int, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the layer's activations and the gradient of the score with respect to them, both (1, C, h, w)."""
    stored: list[torch.Tensor] = []

    def store(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:  # noqa: ANN401  (a module's inputs may be anything)
        stored.append(output)
        return output.clone()  # a later in-place ReLU must not change the stored activations

    handle = target_layer(module, tensor, layer).register_forward_hook(store)
    try:
        with torch.enable_grad():
            score = module(tensor.clone().requires_grad_())[0, target]
    finally:
        handle.remove()
    return as_maps(stored[-1].detach()), as_maps(torch.autograd.grad(score, stored[-1])[0])


def _enlarged(weights: torch.Tensor, activations: torch.Tensor, tensor: torch.Tensor) -> Map:
    """Return the rectified weighted sum of the channels, resized to the image."""
    weighted = (weights * activations).sum(dim=1, keepdim=True)
    enlarged = F.interpolate(weighted.relu(), size=tensor.shape[-2:], mode="bilinear", align_corners=False)
    return np.asarray(enlarged[0, 0].numpy(), dtype=np.float32)


def saliency(module: nn.Module, tensor: torch.Tensor, target: int) -> Map:
    """Saliency (Simonyan et al. 2014): maximum absolute gradient over the color channels, (H, W)."""
    with torch.enable_grad():
        gradient = Saliency(module).attribute(tensor.clone().requires_grad_(), target=target, abs=True)
    return np.asarray(gradient.detach()[0].amax(dim=0).numpy(), dtype=np.float32)


def guided_backprop(module: nn.Module, tensor: torch.Tensor, target: int) -> Map:
    """Guided backpropagation (Springenberg et al. 2015): maximum absolute guided gradient over the color channels, (H, W).

    Every ReLU is guided, including functional calls, which Captum's module hooks miss. FototecaError if there are none.
    """
    guide = _Guided()
    with torch.enable_grad(), guide:
        image = tensor.clone().requires_grad_()
        score = module(image)[0, target]
    if not guide.has_relu:
        raise FototecaError("guided-backprop needs ReLUs, but this model has none", "use --method saliency")
    gradient = torch.autograd.grad(score, image)[0]
    return np.asarray(gradient[0].abs().amax(dim=0).numpy(), dtype=np.float32)


class _GuidedReLU(torch.autograd.Function):
    """A ReLU that back-propagates only positive gradients."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, top: float) -> torch.Tensor:  # noqa: ANN401  (torch's own context)
        ctx.save_for_backward(x)
        ctx.top = top
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
        (x,) = ctx.saved_tensors
        return gradients[0].relu() * ((x > 0) & (x < ctx.top)), None


class _Guided(TorchFunctionMode):
    """Replace every ReLU call, in place or not, by the guided one."""

    plain: ClassVar = {F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_}

    def __init__(self) -> None:
        super().__init__()
        self.has_relu = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        named = kwargs or {}
        if func in self.plain:
            top = float("inf")
        elif func is F.relu6 or (func is F.hardtanh and (named["min_val"], named["max_val"]) == (0, 6)):  # as nn.ReLU6 calls it
            top = 6.0
        else:
            return func(*args, **named)
        self.has_relu = True
        return _GuidedReLU.apply(args[0], top)
