"""The result type of attribution methods, and the input and output conventions of the network they explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Map = npt.NDArray[np.float32]
"""Attribution map (H, W) of the input's size; higher values are more important."""


@dataclass(frozen=True)
class NetworkInput:
    """Normalized value of black per channel, and if the outputs are independent (multi-label)."""

    black: tuple[float, ...] = (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)
    """Default: torchvision's ImageNet normalization."""
    multi: bool = False
    mirror: bool = True
    """False: a mirrored image would be another class, so no method shows one to the network."""


def attach_network_input(module: nn.Module, reading: NetworkInput) -> None:
    """Store the input conventions on the network, the only argument that all methods receive."""
    module.reading = reading  # type: ignore[assignment]


def network_input(module: nn.Module) -> NetworkInput:
    """Return the conventions stored by `attach_network_input`, else the defaults."""
    noted = getattr(module, "reading", None)
    return noted if isinstance(noted, NetworkInput) else NetworkInput()


def probabilities(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return probabilities (N, C): softmax, or sigmoid in a multi-label task."""
    logits: torch.Tensor = module(images)
    return logits.sigmoid() if network_input(module).multi else logits.softmax(dim=1)
