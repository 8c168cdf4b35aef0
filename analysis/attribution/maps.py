"""What every attribution method returns, and what it must know of the network that it asks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Map = npt.NDArray[np.float32]
"""(H, W) of the input's size, higher where it matters more."""


@dataclass(frozen=True)
class NetworkInput:
    """What goes into a network and what comes out: the value of black in each channel, and whether categories exclude another."""

    black: tuple[float, ...] = (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)
    """torchvision's, unless the run says otherwise."""
    multi: bool = False


def attach_network_input(module: nn.Module, reading: NetworkInput) -> None:
    """Note it on the network, which is all that a method is given."""
    module.reading = reading  # type: ignore[assignment]


def network_input(module: nn.Module) -> NetworkInput:
    """What `set_reading` noted."""
    noted = getattr(module, "reading", None)
    return noted if isinstance(noted, NetworkInput) else NetworkInput()


def probabilities(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """(N, C): of categories that exclude one another, or of each by itself in a multi-label task."""
    logits: torch.Tensor = module(images)
    return logits.sigmoid() if network_input(module).multi else logits.softmax(dim=1)
