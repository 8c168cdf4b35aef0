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
    """Grad-CAM (Selvaraju et al. 2017): activations weighted by their mean gradients, negative parts cut, enlarged to (H, W).

    Equals Captum's LayerGradCam where that can look (maps with channels first); also reads transformers' tokens. Works on
    frozen backbones, since the image itself asks for the gradient.
    """
    activations, gradient = _at_layer(module, tensor, target, layer)
    return _enlarged(gradient.mean(dim=(2, 3), keepdim=True), activations, tensor)


def grad_cam_plus_plus(module: nn.Module, tensor: torch.Tensor, target: int, layer: str = "") -> Map:
    """Grad-CAM++ (Chattopadhay et al. 2018, equations 10 and 19): each place's positive gradient g counts 1 / (2 + g·ΣA).

    That is their weight for the score e^S, whose factor e^S is left out, as it is the same everywhere; (H, W).
    """
    activations, gradient = _at_layer(module, tensor, target, layer)
    rise = 2 + gradient * activations.sum(dim=(2, 3), keepdim=True)
    shares = torch.where(rise == 0, 0.0, gradient.relu() / rise)
    return _enlarged(shares.sum(dim=(2, 3), keepdim=True), activations, tensor)


def _at_layer(module: nn.Module, tensor: torch.Tensor, target: int, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer's activations and the score's gradient on them, both (1, C, h, w)."""
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
    return as_maps(kept[-1].detach()), as_maps(torch.autograd.grad(score, kept[-1])[0])


def _enlarged(weights: torch.Tensor, activations: torch.Tensor, tensor: torch.Tensor) -> Map:
    """The weighted sum of the channels, negative parts cut, at the image's size."""
    weighted = (weights * activations).sum(dim=1, keepdim=True)
    enlarged = F.interpolate(weighted.relu(), size=tensor.shape[-2:], mode="bilinear", align_corners=False)
    return np.asarray(enlarged[0, 0].numpy(), dtype=np.float32)


def saliency(module: nn.Module, tensor: torch.Tensor, target: int) -> Map:
    """Saliency (Simonyan et al. 2014): the largest absolute gradient over the colours, (H, W)."""
    with torch.enable_grad():
        gradient = Saliency(module).attribute(tensor.clone().requires_grad_(), target=target, abs=True)
    return np.asarray(gradient.detach()[0].amax(dim=0).numpy(), dtype=np.float32)


def guided_backprop(module: nn.Module, tensor: torch.Tensor, target: int) -> Map:
    """Guided backpropagation (Springenberg et al. 2015): the largest absolute guided gradient over the colours, (H, W).

    Every ReLU is guided, also those that a forward method calls as functions, which Captum's hooks on modules cannot see.
    FototecaError when the network has none.
    """
    guide = _Guided()
    with torch.enable_grad(), guide:
        image = tensor.clone().requires_grad_()
        score = module(image)[0, target]
    if not guide.met:
        raise FototecaError("guided-backprop needs ReLUs, and this model has none", "use --method saliency")
    gradient = torch.autograd.grad(score, image)[0]
    return np.asarray(gradient[0].abs().amax(dim=0).numpy(), dtype=np.float32)


class _GuidedReLU(torch.autograd.Function):
    """A ReLU that passes back only what is positive."""

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
    """Replaces every call of a ReLU, in place or not, by the guided one."""

    plain: ClassVar = {F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_}

    def __init__(self) -> None:
        super().__init__()
        self.met = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        named = kwargs or {}
        if func in self.plain:
            top = float("inf")
        elif func is F.relu6 or (func is F.hardtanh and (named["min_val"], named["max_val"]) == (0, 6)):  # as nn.ReLU6 calls it
            top = 6.0
        else:
            return func(*args, **named)
        self.met = True
        return _GuidedReLU.apply(args[0], top)
