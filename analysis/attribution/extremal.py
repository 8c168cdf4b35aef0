"""Extremal perturbations (Fong, Patrick and Vedaldi 2019): the smooth mask of a given area that keeps a score highest.

As its authors built it: a pyramid of blurred images, masks from a coarse grid by a smooth maximum, a penalty that draws the
sorted mask to the wanted area and grows with every step, gradient ascent with momentum, every other step on mirrored images.
All areas of all images are optimised in the same passes.
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

from fototeca.analysis.attribution.maps import Map
from fototeca.analysis.attribution.mask_grid import MaskGrid
from fototeca.vision.memory import keep_freed_memory


@dataclass(frozen=True)
class ExtremalConfig:
    """What an optimisation takes; the defaults are the authors', but for the areas, of which they name many."""

    areas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    """Shares of the image that masks may keep; the map is the mean over them."""
    iterations: int = 800
    """Gradient steps. Fewer alone would end before the area is reached: see `within`."""
    levels: int = 8
    """Blurred images in the pyramid, from the most blurred to the image itself."""
    blur: float = 20.0
    """Standard deviation of the strongest blur, in pixels."""
    step: int = 7
    """Pixels between two parameters of a mask."""
    sigma: float = 21.0
    """Width of a parameter's kernel in pixels: nothing smaller is drawn."""
    rate: float = 0.01
    """Step size, with momentum and dampening of 0.9."""
    weight: float = 300.0
    """Of the area's penalty at the first step."""
    growth: float = 1.0035
    """Of the penalty, with every step."""

    def __post_init__(self) -> None:
        if not self.areas or not all(0 < area < 1 for area in self.areas):
            raise ValueError(f"areas are shares between 0 and 1, not {self.areas}")
        if self.iterations < 1 or self.levels < 2:
            raise ValueError("at least one iteration and two levels")
        if self.sigma < self.step or self.sigma % self.step:  # else the masks' margin would not cover the image's far edges
            raise ValueError("sigma is a multiple of step")

    @classmethod
    def within(cls, iterations: int) -> ExtremalConfig:
        """Other than the authors' number of iterations: steps and the penalty's growth are as much longer as they are fewer."""
        times = cls.iterations / iterations
        return cls(iterations=iterations, rate=cls.rate * times, growth=cls.growth**times)


def extremal_map(module: nn.Module, tensor: torch.Tensor, target: int, settings: ExtremalConfig | None = None) -> Map:
    """The mean over the areas of the masks that keep the score highest, (H, W) in 0…1."""
    masks = extremal_masks(module, tensor, [target], settings or ExtremalConfig())
    return np.asarray(masks[0].mean(dim=0).numpy(), dtype=np.float32)


def extremal_masks(
    module: nn.Module, images: torch.Tensor, targets: Sequence[int], settings: ExtremalConfig, *, progress: bool = False
) -> torch.Tensor:
    """Masks (N, areas, H, W) in 0…1 of images (N, 3, H, W), each for its own target; the same each time.

    The network must be in eval mode, and works on the CPU. Its parameters get no gradients.
    """
    keep_freed_memory()
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
            scores = module(shown.flip(3) if step % 2 == 0 else shown).gather(1, wanted[:, None])
            penalty = settings.weight * settings.growth**step * area_error(full, settings.areas * n)
            (downhill,) = torch.autograd.grad((penalty - scores[:, 0]).sum(), parameters)
        # Dampening weighs the new gradient by 0.1, except at the first step, when there is nothing to dampen.
        momentum = downhill if step == 0 else 0.9 * momentum + 0.1 * downhill
        parameters = (parameters.detach() - settings.rate * momentum).clamp(0, 1)
    return masks.detach().reshape(n, count, *images.shape[2:])


def pyramid(image: torch.Tensor, settings: ExtremalConfig) -> torch.Tensor:
    """An image (3, H, W) blurred less and less, (levels, 3, H, W); the last is the image. Outside it is mean grey (0)."""
    shares = torch.linspace(1, 0, settings.levels).tolist()
    return torch.stack([blurred(image, settings.blur * share) for share in shares])


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """An image (3, H, W) under a Gaussian blur of sigma pixels, the kernel cut at four of them; outside it is mean grey."""
    reach = ceil(4 * sigma)
    if reach == 0:
        return image
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    along = F.conv2d(image[:, None], kernel.reshape(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(along, kernel.reshape(1, 1, 1, -1), padding=(0, reach))[:, 0]


def blend(stages: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Images (N, 3, H, W) from pyramids (N, levels, 3, H, W): 0 in the mask (N, 1, H, W) takes the most blurred level, 1 the
    last, and what lies between is interpolated."""
    height = masks * (stages.shape[1] - 1)
    below = height.detach().floor().long()
    index = below[:, :, None].expand(-1, -1, *stages.shape[2:])
    lower, upper = stages.gather(1, index)[:, 0], stages.gather(1, (index + 1).clamp(max=stages.shape[1] - 1))[:, 0]
    return torch.lerp(lower, upper, (height - below).expand_as(lower))


def area_error(full: torch.Tensor, areas: Sequence[float]) -> torch.Tensor:
    """(N,) mean squares between the sorted masks (N, 1, …) and the step that is 1 on the wanted share and 0 elsewhere.

    Nothing is sorted: it is enough to know which pixels are among the largest. Equal ones count from the last place, as a
    stable sort would have them.
    """
    flat = full.flatten(1)
    step = torch.stack([_largest(row, area) for row, area in zip(flat.detach().numpy(), areas, strict=True)])
    return ((flat - step) ** 2).mean(dim=1)


def _largest(row: np.ndarray, area: float) -> torch.Tensor:
    """1 where the row's largest values are, the wanted share of them, else 0."""
    kept = prod(row.shape) - int(prod(row.shape) * (1 - area))
    limit = np.partition(row, len(row) - kept)[len(row) - kept]
    chosen = (row > limit).astype(np.float32)
    equal = np.flatnonzero(row == limit)
    chosen[equal[len(equal) - (kept - int(chosen.sum())) :]] = 1
    return torch.from_numpy(chosen)
