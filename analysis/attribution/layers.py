"""Where to look inside a network: the last layer whose activations still have a place on the picture, for any family."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from workspace import FototecaError

STAGES = ("layer4", "trunk_output.block4", "encoder.layers", "features", "blocks", "Mixed_7c", "inception5b", "conv5", "layers")
"""How torchvision's families call the stage before pooling, the surest name first."""


def target_layer(module: nn.Module, tensor: torch.Tensor, name: str = "") -> nn.Module:
    """The layer that Grad-CAM looks at: the one called `name`, the family's own, or the last that is spatial in a forward pass.

    FototecaError when `name` is no module (the hint lists the likely ones), or nothing in the network is spatial.
    """
    modules: dict[str, nn.Module] = dict(module.named_modules())
    if name:
        if name not in modules:
            top = [key for key in modules if key.count(".") <= 1 and key]
            raise FototecaError(f"the model has no layer {name!r}", f"it has: {', '.join(top[:40])}")
        return modules[name]
    for stage in STAGES:
        found = [value for key, value in modules.items() if key == stage or key.endswith(f".{stage}")]
        if found:
            return _last(found[0])
    return _last_spatial(module, tensor)


def _last(stage: nn.Module) -> nn.Module:
    """The end of a stage. A transformer block's output is past the norm where attribution is sharp, so its norm is taken."""
    children = list(stage.children())
    if not isinstance(stage, nn.Sequential | nn.ModuleList) or not children:
        return stage
    last = children[-1]
    block = list(last.children())[-1] if isinstance(last, nn.Sequential) and len(last) else last
    for norm in ("norm2", "ln_1"):  # Swin's and ViT's
        if hasattr(block, norm):
            inner: nn.Module = getattr(block, norm)
            return inner
    return last


def _last_spatial(module: nn.Module, tensor: torch.Tensor) -> nn.Module:
    """The last module to give a map (1, C, h, w) larger than one place; one channel per category does not count."""
    seen: list[tuple[nn.Module, int]] = []

    def note(inner: nn.Module, _: Any, output: Any) -> None:  # noqa: ANN401  (a module may return anything)
        if isinstance(output, torch.Tensor) and output.dim() == 4 and min(output.shape[2:]) > 1:
            seen.append((inner, output.shape[1]))

    handles = [inner.register_forward_hook(note) for inner in module.modules()]
    try:
        with torch.no_grad():
            classes = module(tensor).shape[1]
    finally:
        for handle in handles:
            handle.remove()
    fitting = [inner for inner, channels in seen if channels != classes] or [inner for inner, _ in seen]
    if not fitting:
        raise FototecaError("no layer of this model is spatial, as Grad-CAM needs", "use --method saliency")
    return fitting[-1]


def as_maps(activations: torch.Tensor) -> torch.Tensor:
    """Activations as (N, C, h, w): Swin gives (N, h, w, C), ViT gives tokens (N, 1 + h·w, C) with the class token first."""
    if activations.dim() == 3:
        n, tokens, channels = activations.shape
        side = int(tokens**0.5)
        return activations[:, tokens - side * side :].transpose(1, 2).reshape(n, channels, side, side)
    if activations.shape[1] == activations.shape[2] != activations.shape[3]:
        return activations.permute(0, 3, 1, 2)
    return activations
