"""Where to look inside a network: the last layer whose activations still have a place on the image, for any family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from fototeca.core.errors import FototecaError

STAGES = ("layer4", "trunk_output.block4", "encoder.layers", "features", "blocks", "Mixed_7c", "inception5b", "conv5", "layers")
"""How torchvision's families call the stage before pooling, the surest name first."""


MAX_NAMED_LAYERS = 12
"""Layers that an error names."""


def target_layer(module: nn.Module, tensor: torch.Tensor, name: str = "") -> nn.Module:
    """The layer that Grad-CAM looks at: the one called `name`, the family's own, or the last that is spatial in a forward pass.

    FototecaError when `name` is no module, or has no place on the image (the hint lists those that fit), or none has.
    """
    modules: dict[str, nn.Module] = dict(module.named_modules())
    if name:
        fitting = spatial_layers(module, tensor)
        if name in fitting:
            return modules[name]
        what = f"layer {name!r} has no place on the image" if name in modules else f"the model has no layer {name!r}"
        raise FototecaError(what, f"these fit: {', '.join(_likely(fitting))}")
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
    """The last module to give a map larger than one place; one channel per category does not count."""
    modules: dict[str, nn.Module] = dict(module.named_modules())
    seen = spatial_layers(module, tensor)
    with torch.no_grad():
        classes = module(tensor).shape[1]
    fitting = [name for name, channels in seen.items() if channels != classes] or [*seen]
    if not fitting:
        raise FototecaError("no layer of this model is spatial, as Grad-CAM needs", "use --method saliency")
    return modules[fitting[-1]]


def spatial_layers(module: nn.Module, tensor: torch.Tensor) -> dict[str, int]:
    """By name, in the order of a forward pass, the layers whose output `as_maps` reads as more than one place; their channels."""
    seen: dict[str, int] = {}

    def note(name: str, output: Any) -> None:  # noqa: ANN401  (a module may return anything)
        if isinstance(output, torch.Tensor) and output.dim() in (3, 4):
            maps = as_maps(output)
            if min(maps.shape[2:]) > 1:
                seen.pop(name, None)  # one that runs twice stands where it ran last
                seen[name] = maps.shape[1]

    named = [(name, inner) for name, inner in module.named_modules() if name]
    with capture_outputs(named, note), torch.no_grad():
        module(tensor)
    return seen


@contextmanager
def capture_outputs(layers: Sequence[tuple[str, nn.Module]], note: Callable[[str, Any], None]) -> Iterator[None]:
    """While the block runs, `note` is told the name and the output of each of the layers that is asked."""
    handles = [layer.register_forward_hook(lambda _, __, output, name=name: note(name, output)) for name, layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _likely(names: Iterable[str]) -> list[str]:
    """The last of the names that are not deep inside others; the very last ones where all are deep."""
    every = [*names]
    return ([name for name in every if name.count(".") <= 1] or every)[-MAX_NAMED_LAYERS:]


def as_maps(activations: torch.Tensor) -> torch.Tensor:
    """Activations as (N, C, h, w): Swin gives (N, h, w, C), ViT gives tokens (N, 1 + h·w, C) with the class token first."""
    if activations.dim() == 3:
        n, tokens, channels = activations.shape
        side = int(tokens**0.5)
        return activations[:, tokens - side * side :].transpose(1, 2).reshape(n, channels, side, side)
    if activations.shape[1] == activations.shape[2] != activations.shape[3]:
        return activations.permute(0, 3, 1, 2)
    return activations
