"""Extremal perturbations (Fong, Patrick and Vedaldi 2019): the smooth mask of a given area that maximizes a score.

As in the authors' code: a pyramid of blurred images, masks from a coarse grid by a smooth maximum, an area penalty on the sorted
mask whose weight grows with every step, and gradient ascent with momentum, every other step on mirrored images. All areas of all
images are optimized in the same passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from fototeca.analysis.attribution.maps import Map, network_input
from fototeca.analysis.attribution.mask_grid import MaskGrid
from fototeca.vision.memory import keep_freed_memory


@dataclass(frozen=True)
class ExtremalConfig:
    """Settings of the optimization; the defaults are the authors', except the areas, for which they give several."""

    areas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    """Shares of the image that the masks keep; the map is the mean of the masks."""
    iterations: int = 800
    """Gradient steps. With fewer steps use `within`, else the area is not reached."""
    levels: int = 8
    """Levels of the pyramid, from the most blurred to the image itself."""
    blur: float = 20.0
    """Standard deviation of the strongest blur, in pixels."""
    step: int = 7
    """Pixels between the parameters of a mask."""
    sigma: float = 21.0
    """Width of a parameter's kernel in pixels, the smallest detail of a mask."""
    rate: float = 0.01
    """Step size, with momentum and dampening of 0.9."""
    weight: float = 300.0
    """Weight of the area penalty at the first step."""
    growth: float = 1.0035
    """Factor of the penalty per step."""

    def __post_init__(self) -> None:
        if not self.areas or not all(0 < area < 1 for area in self.areas):
            raise ValueError(f"areas are shares between 0 and 1, not {self.areas}")
        if self.iterations < 1 or self.levels < 2:
            raise ValueError("at least one iteration and two levels")
        if self.sigma < self.step or self.sigma % self.step:  # else the margin of the masks would not cover the image's far edges
            raise ValueError("sigma is a multiple of step")

    @classmethod
    def within(cls, iterations: int) -> ExtremalConfig:
        """Return settings for another number of iterations, with step size and penalty growth scaled inversely."""
        times = cls.iterations / iterations
        return cls(iterations=iterations, rate=cls.rate * times, growth=cls.growth**times)


def extremal_map(module: nn.Module, tensor: torch.Tensor, target: int, settings: ExtremalConfig | None = None) -> Map:
    """Return the mean over the areas of the masks that maximize the score, (H, W) in 0…1."""
    masks = extremal_masks(module, tensor, [target], settings or ExtremalConfig())
    return np.asarray(masks[0].mean(dim=0).numpy(), dtype=np.float32)


def extremal_masks(
    module: nn.Module, images: torch.Tensor, targets: Sequence[int], settings: ExtremalConfig, *, progress: bool = False
) -> torch.Tensor:
    """Return masks (N, areas, H, W) in 0…1 of images (N, 3, H, W), each for its own target; deterministic.

    The network must be in eval mode on the CPU. Its parameters get no gradients.
    """
    keep_freed_memory()
    mirror = network_input(module).mirror
    n, count = len(images), len(settings.areas)
    grid = MaskGrid((images.shape[2], images.shape[3]), settings.step, settings.sigma)
    stages = torch.stack([pyramid(image, settings) for image in images]).repeat_interleave(count, dim=0)
    wanted = torch.tensor(targets).repeat_interleave(count)
    parameters = torch.ones(n * count, 1, *grid.shape)
    momentum = torch.zeros_like(parameters)
    masks = torch.empty(0)
    for step in tqdm(range(settings.iterations), desc="extremal", disable=None if progress else True):
        parameters.requires_grad_()
        with torch.enable_grad():
            masks, full = grid.masks(parameters)
            shown = blend(stages, masks)
            scores = module(shown.flip(3) if mirror and step % 2 == 0 else shown).gather(1, wanted[:, None])
            penalty = settings.weight * settings.growth**step * area_error(full, settings.areas * n)
            (downhill,) = torch.autograd.grad((penalty - scores[:, 0]).sum(), parameters)
        # Dampening weights the new gradient by 0.1, except at the first step.
        momentum = downhill if step == 0 else 0.9 * momentum + 0.1 * downhill
        parameters = (parameters.detach() - settings.rate * momentum).clamp(0, 1)
    return masks.detach().reshape(n, count, *images.shape[2:])


def pyramid(image: torch.Tensor, settings: ExtremalConfig) -> torch.Tensor:
    """Return (levels, 3, H, W), an image blurred less from level to level; the last is the image, the padding mean gray (0)."""
    shares = torch.linspace(1, 0, settings.levels).tolist()
    return torch.stack([blurred(image, settings.blur * share) for share in shares])


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return an image (3, H, W) after Gaussian blur of sigma pixels, truncated at 4 sigma, padded with mean gray."""
    reach = ceil(4 * sigma)
    if reach == 0:
        return image
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    along = F.conv2d(image[:, None], kernel.reshape(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(along, kernel.reshape(1, 1, 1, -1), padding=(0, reach))[:, 0]


def blend(stages: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return images (N, 3, H, W), interpolated linearly between the levels of pyramids (N, levels, 3, H, W).

    Mask (N, 1, H, W) values of 0 select the most blurred level, 1 the last.
    """
    height = masks * (stages.shape[1] - 1)
    below = height.detach().floor().long()
    index = below[:, :, None].expand(-1, -1, *stages.shape[2:])
    lower, upper = stages.gather(1, index)[:, 0], stages.gather(1, (index + 1).clamp(max=stages.shape[1] - 1))[:, 0]
    return torch.lerp(lower, upper, (height - below).expand_as(lower))


def area_error(full: torch.Tensor, areas: Sequence[float]) -> torch.Tensor:
    """Return (N,) mean squared differences between the sorted masks (N, 1, …) and a step function of the given area.

    Partitioning replaces sorting: it is enough to know which pixels are among the largest. Ties count from the end, as in a
    stable sort.
    """
    flat = full.flatten(1)
    step = torch.stack([_largest(row, area) for row, area in zip(flat.detach().numpy(), areas, strict=True)])
    return ((flat - step) ** 2).mean(dim=1)


def _largest(row: np.ndarray, area: float) -> torch.Tensor:
    """Return 1 at the largest values of a row, as many as the area asks for, else 0."""
    count = prod(row.shape) - int(prod(row.shape) * (1 - area))
    limit = np.partition(row, len(row) - count)[len(row) - count]
    chosen = (row > limit).astype(np.float32)
    equal = np.flatnonzero(row == limit)
    chosen[equal[len(equal) - (count - int(chosen.sum())) :]] = 1
    return torch.from_numpy(chosen)
