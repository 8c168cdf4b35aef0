"""Methods with many forward passes: SmoothGrad, integrated gradients and occlusion through Captum, and RISE."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Occlusion, Saliency
from torch import nn
from torch.nn import functional as F

from fototeca.analysis.attribution.maps import Map, network_input, probabilities

SAMPLES = 24
"""Noisy copies averaged by SmoothGrad."""

NOISE = 0.15
"""Standard deviation of SmoothGrad's noise, as a share of the image's value range."""

STEPS = 48
"""Steps of integrated gradients from black to the image."""

WINDOW, STRIDE = 0.25, 0.125
"""Side and stride of the occluding square, as shares of the image's side."""

MASKS = 1000
"""Random masks of RISE. The paper uses 4,000 to 8,000, too slow on a CPU; noise decreases with the square root."""

CELLS, KEPT = 7, 0.5
"""Cells per side of RISE's masks before resizing, and the share of cells that is kept."""


def smoothgrad(module: nn.Module, tensor: torch.Tensor, target: int, *, noise: float = NOISE) -> Map:
    """SmoothGrad (Smilkov et al. 2017): mean saliency of noisy copies, (H, W); deterministic."""
    spread = noise * float(tensor.max() - tensor.min())
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        attributions = NoiseTunnel(Saliency(module)).attribute(
            tensor.clone().requires_grad_(),
            nt_type="smoothgrad",
            nt_samples=SAMPLES,
            nt_samples_batch_size=4,
            stdevs=spread,
            target=target,
            abs=True,
        )
    return np.asarray(attributions.detach()[0].amax(dim=0).numpy(), dtype=np.float32)


def integrated_gradients(module: nn.Module, tensor: torch.Tensor, target: int) -> Map:
    """Integrated gradients (Sundararajan et al. 2017) from black to the image, summed over color channels, (H, W).

    The map sums to the score difference between image and black, up to the error of STEPS steps; evidence against the category is
    negative.
    """
    black = torch.tensor(network_input(module).black)[None, :, None, None].expand_as(tensor)
    with torch.enable_grad():
        attributions = IntegratedGradients(module).attribute(tensor, black, target=target, n_steps=STEPS, internal_batch_size=8)
    return np.asarray(attributions.detach()[0].sum(dim=0).numpy(), dtype=np.float32)


def occlusion(module: nn.Module, tensor: torch.Tensor, target: int) -> Map:
    """Occlusion (Zeiler and Fergus 2014): decrease of the score when a gray square covers the pixel, (H, W)."""
    side = max(1, round(min(tensor.shape[-2:]) * WINDOW))
    step = max(1, round(min(tensor.shape[-2:]) * STRIDE))
    with torch.no_grad():
        attributions = Occlusion(module).attribute(
            tensor, (3, side, side), strides=(3, step, step), target=target, baselines=0.0, perturbations_per_eval=16
        )
    return np.asarray(attributions[0].mean(dim=0).numpy(), dtype=np.float32)


def rise(module: nn.Module, tensor: torch.Tensor, target: int, *, count: int = MASKS) -> Map:
    """RISE (Petsiuk et al. 2018): mean of random masks weighted by the probability under them, divided by KEPT; (H, W).

    The mean probability, the value of irrelevant pixels, is subtracted, so evidence against the category is negative. Masked
    pixels are mean gray. Deterministic.
    """
    total, mean = torch.zeros(tensor.shape[-2:]), 0.0
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for masks in rise_masks(count, (tensor.shape[2], tensor.shape[3])):
            values = probabilities(module, tensor * masks)[:, target]
            total += torch.einsum("n,nhw->hw", values, masks[:, 0])
            mean += float(values.sum()) / count
    return np.asarray((total / (count * KEPT) - mean).numpy(), dtype=np.float32)


def rise_masks(count: int, size: tuple[int, int], batch: int = 16) -> Iterator[torch.Tensor]:
    """Yield random masks (batch, 1, H, W) in 0…1: CELLS × CELLS cells on or off, resized and shifted by less than a cell."""
    cell = [-(-side // CELLS) for side in size]
    large = [(CELLS + 1) * side for side in cell]
    for start in range(0, count, batch):
        number = min(batch, count - start)
        cells = (torch.rand(number, 1, CELLS, CELLS) < KEPT).float()
        enlarged = F.interpolate(cells, size=large, mode="bilinear", align_corners=False)
        moves = torch.stack([torch.randint(side, (number,)) for side in cell], dim=1).tolist()
        parts = [whole[:, y : y + size[0], x : x + size[1]] for whole, (y, x) in zip(enlarged, moves, strict=True)]
        yield torch.stack(parts)
