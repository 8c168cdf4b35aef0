"""Class models: images that maximize the score of a category (Simonyan et al. 2014, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from tqdm import tqdm

from fototeca.vision.memory import keep_freed_memory


@dataclass(frozen=True)
class ClassModelConfig:
    """Settings of the gradient ascent on score − λ·|image|², the paper's objective; the paper names no values."""

    iterations: int = 200
    """Gradient steps, from mean gray."""
    contrast: float = 1.0
    """Sets λ: images of a linear network would have this root mean square, in standard deviations."""
    rate: float = 0.05
    """Share of the distance to the regularized optimum that one step covers."""

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.contrast <= 0 or not 0 < self.rate <= 1:
            raise ValueError("iterations and contrast are positive, the rate is a share")


def generate_class_images(
    module: nn.Module, size: int, targets: Sequence[int], settings: ClassModelConfig | None = None
) -> torch.Tensor:
    """Return preprocessed images (N, 3, size, size), one per target, that maximize score − λ·|image|², starting at mean gray.

    The score is the logit, as in the paper: a probability also rises when other categories become unlikely. The network must be
    in eval mode; its parameters get no gradients. With λ = g / (2·contrast) for g the first gradient's root mean square, a
    step of rate / 2λ up the objective's gradient is: (1 − rate) · image + rate · contrast · gradient / g.
    """
    keep_freed_memory()
    chosen = settings or ClassModelConfig()
    images, wanted = torch.zeros(len(targets), 3, size, size), torch.tensor(list(targets))[:, None]
    unit = torch.ones(len(targets), 1, 1, 1)
    for step in tqdm(range(chosen.iterations), desc="class-model", disable=None):
        images.requires_grad_()
        with torch.enable_grad():
            scores = module(images).gather(1, wanted)
        (gradient,) = torch.autograd.grad(scores.sum(), images)
        if step == 0:
            unit = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-20)
        images = torch.lerp(images.detach(), chosen.contrast * gradient / unit, chosen.rate)
    return images
