"""Choose the layer for Grad-CAM in any architecture: the last one with spatial activations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from fototeca.core.errors import FototecaError

STAGES = ("layer4", "trunk_output.block4", "encoder.layers", "features", "blocks", "Mixed_7c", "inception5b", "conv5", "layers")
"""Names of the last stage before pooling in torchvision's architectures, most specific first."""


MAX_NAMED_LAYERS = 12
"""Layers listed in an error."""


def target_layer(module: nn.Module, tensor: torch.Tensor, name: str = "") -> nn.Module:
    """Return the layer for Grad-CAM: `name` if given, else the architecture's last stage, else the last spatial layer.

    FototecaError if `name` is not a module or not spatial (the hint lists layers that are), or no layer is spatial.
    """
    modules: dict[str, nn.Module] = dict(module.named_modules())
    if name:
        fitting = spatial_layers(module, tensor)
        if name in fitting:
            return modules[name]
        what = f"layer {name!r} has no spatial output" if name in modules else f"the model has no layer {name!r}"
        raise FototecaError(what, f"layers with a spatial output: {', '.join(_likely(fitting))}")
    for stage in STAGES:
        matches = [value for key, value in modules.items() if key == stage or key.endswith(f".{stage}")]
        if matches:
            return _last(matches[0])
    return _last_spatial(module, tensor)


def _last(stage: nn.Module) -> nn.Module:
    """Return the last layer of a stage; of a transformer block its norm layer, where attribution is sharper."""
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
    """Return the last module with a spatial output, except outputs with one channel per category."""
    modules: dict[str, nn.Module] = dict(module.named_modules())
    seen = spatial_layers(module, tensor)
    with torch.no_grad():
        classes = module(tensor).shape[1]
    fitting = [name for name, channels in seen.items() if channels != classes] or [*seen]
    if not fitting:
        raise FototecaError("no layer of this model has a spatial output, as Grad-CAM needs", "use --method saliency")
    return modules[fitting[-1]]


def spatial_layers(module: nn.Module, tensor: torch.Tensor) -> dict[str, int]:
    """Return the number of channels by name of layers with a spatial output, in the order of a forward pass."""
    seen: dict[str, int] = {}

    def note(name: str, output: Any) -> None:  # noqa: ANN401  (a module may return anything)
        if isinstance(output, torch.Tensor) and output.dim() in (3, 4):
            maps = as_maps(output)
            if min(maps.shape[2:]) > 1:
                seen.pop(name, None)  # a layer that runs twice keeps its last position
                seen[name] = maps.shape[1]

    named = [(name, inner) for name, inner in module.named_modules() if name]
    with capture_outputs(named, note), torch.no_grad():
        module(tensor)
    return seen


@contextmanager
def capture_outputs(layers: Sequence[tuple[str, nn.Module]], note: Callable[[str, Any], None]) -> Iterator[None]:
    """Call `note` with the name and output of each layer that runs inside the block."""
    handles = [layer.register_forward_hook(lambda _, __, output, name=name: note(name, output)) for name, layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _likely(names: Iterable[str]) -> list[str]:
    """Return the last names with at most one dot; the last ones of all if every name is nested deeper."""
    candidates = [*names]
    return ([name for name in candidates if name.count(".") <= 1] or candidates)[-MAX_NAMED_LAYERS:]


def as_maps(activations: torch.Tensor) -> torch.Tensor:
    """Return activations as (N, C, h, w), from those, Swin's (N, h, w, C) or ViT's tokens (N, 1 + h·w, C), class token first."""
    if activations.dim() == 3:
        n, tokens, channels = activations.shape
        side = int(tokens**0.5)
        return activations[:, tokens - side * side :].transpose(1, 2).reshape(n, channels, side, side)
    if activations.shape[1] == activations.shape[2] != activations.shape[3]:
        return activations.permute(0, 3, 1, 2)
    return activations
