"""Maps from many passes: SmoothGrad, integrated gradients and occlusion, through Captum; RISE, which it does not have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Occlusion, Saliency
from torch import nn
from torch.nn import functional as F

from fototeca.analysis.attribution.maps import Map, network_input, probabilities

SAMPLES = 24
"""Noisy copies that SmoothGrad averages."""

NOISE = 0.15
"""Their noise's standard deviation, as a share of the image's range of values."""

STEPS = 48
"""Points on the way from black to the image that integrated gradients add up."""

WINDOW, STRIDE = 0.25, 0.125
"""Side of the square that occlusion covers, and how far it moves, as shares of the image's side."""

MASKS = 1000
"""Random masks that RISE averages. The paper takes 4,000 to 8,000, which no CPU has the time for; noise falls with their root."""

CELLS, KEPT = 7, 0.5
"""Cells along a side of RISE's masks before they are enlarged, and the share of them that is kept."""


def smoothgrad(module: nn.Module, tensor: torch.Tensor, target: int, *, noise: float = NOISE) -> Map:
    """SmoothGrad (Smilkov et al. 2017): the mean of the saliency of noisy copies, (H, W). The same each time."""
    spread = noise * float(tensor.max() - tensor.min())
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        found = NoiseTunnel(Saliency(module)).attribute(
            tensor.clone().requires_grad_(),
            nt_type="smoothgrad",
            nt_samples=SAMPLES,
            nt_samples_batch_size=4,
            stdevs=spread,
            target=target,
            abs=True,
        )
    return np.asarray(found.detach()[0].amax(dim=0).numpy(), dtype=np.float32)


def integrated_gradients(module: nn.Module, tensor: torch.Tensor, target: int) -> Map:
    """Integrated gradients (Sundararajan et al. 2017) from black to the image, summed over colours, (H, W).

    The sum over the map is the score's rise from black to the image, but for the error of STEPS steps; parts that speak
    against the category are negative.
    """
    black = torch.tensor(network_input(module).black)[None, :, None, None].expand_as(tensor)
    with torch.enable_grad():
        found = IntegratedGradients(module).attribute(tensor, black, target=target, n_steps=STEPS, internal_batch_size=8)
    return np.asarray(found.detach()[0].sum(dim=0).numpy(), dtype=np.float32)


def occlusion(module: nn.Module, tensor: torch.Tensor, target: int) -> Map:
    """Occlusion (Zeiler and Fergus 2014): how much the score falls when a grey square covers the place, (H, W)."""
    side = max(1, round(min(tensor.shape[-2:]) * WINDOW))
    step = max(1, round(min(tensor.shape[-2:]) * STRIDE))
    with torch.no_grad():
        found = Occlusion(module).attribute(
            tensor, (3, side, side), strides=(3, step, step), target=target, baselines=0.0, perturbations_per_eval=16
        )
    return np.asarray(found[0].mean(dim=0).numpy(), dtype=np.float32)


def rise(module: nn.Module, tensor: torch.Tensor, target: int, *, count: int = MASKS) -> Map:
    """RISE (Petsiuk et al. 2018): the mean of random masks, each weighted by the probability under it, over KEPT; (H, W).

    The mean probability is taken off, which places that do not matter have too, so that what speaks against the category is
    negative. Masked places are mean grey. The same each time.
    """
    total, mean = torch.zeros(tensor.shape[-2:]), 0.0
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for masks in rise_masks(count, (tensor.shape[2], tensor.shape[3])):
            said = probabilities(module, tensor * masks)[:, target]
            total += torch.einsum("n,nhw->hw", said, masks[:, 0])
            mean += float(said.sum()) / count
    return np.asarray((total / (count * KEPT) - mean).numpy(), dtype=np.float32)


def rise_masks(count: int, size: tuple[int, int], batch: int = 16) -> Iterator[torch.Tensor]:
    """Random masks (batch, 1, H, W) in 0…1: CELLS × CELLS cells on or off, enlarged bilinearly, moved by less than a cell."""
    cell = [-(-side // CELLS) for side in size]
    large = [(CELLS + 1) * side for side in cell]
    for start in range(0, count, batch):
        number = min(batch, count - start)
        cells = (torch.rand(number, 1, CELLS, CELLS) < KEPT).float()
        enlarged = F.interpolate(cells, size=large, mode="bilinear", align_corners=False)
        moves = torch.stack([torch.randint(side, (number,)) for side in cell], dim=1).tolist()
        parts = [whole[:, y : y + size[0], x : x + size[1]] for whole, (y, x) in zip(enlarged, moves, strict=True)]
        yield torch.stack(parts)
