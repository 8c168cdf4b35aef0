"""Maps from many passes: SmoothGrad, integrated gradients, occlusion, through Captum."""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Occlusion, Saliency
from torch import nn

from analysis.attribution.maps import Map

SAMPLES = 24
"""Noisy copies that SmoothGrad averages."""

NOISE = 0.15
"""Their noise's standard deviation, as a share of the picture's range of values."""

STEPS = 48
"""Points on the way from black to the picture that integrated gradients add up."""

WINDOW, STRIDE = 0.25, 0.125
"""Side of the square that occlusion covers, and how far it moves, as shares of the picture's side."""


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
    """Integrated gradients (Sundararajan et al. 2017) from black to the picture, summed over colours, (H, W).

    The sum over the map is the score's rise from black to the picture, but for the error of STEPS steps; parts that speak
    against the category are negative.
    """
    black = torch.full_like(tensor, float(tensor.min()))
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
