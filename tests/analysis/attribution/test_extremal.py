"""Extremal perturbations and class models equal the papers' formulas and locate what a known network uses."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fototeca.analysis.attribution.class_model import ClassModelConfig, generate_class_images
from fototeca.analysis.attribution.extremal import ExtremalConfig, area_error, blend, extremal_map, extremal_masks, pyramid
from fototeca.analysis.attribution.mask_grid import MaskGrid


class Bands(torch.nn.Module):
    """Class 0 scores contrast in the upper quarter, class 1 in the lower one; symmetric under mirroring."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 2)."""
        quarter = images.shape[2] // 4
        bands = images[:, :, :quarter], images[:, :, -quarter:]
        return torch.stack([30 * band.square().mean(dim=(1, 2, 3)) for band in bands], dim=1)


def noise(side: int = 48) -> torch.Tensor:
    """(1, 3, side, side)."""
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(3))


def plain_masks(parameters: torch.Tensor, size: tuple[int, int], step: int, sigma: float) -> torch.Tensor:
    """The authors' formula pixel by pixel, with its margin: Σ softmax(20·w·m)·w·m over the parameters of (2r + 1)² cells."""
    radius, padding = 1 + ceil(sigma / step), 1 + ceil(2 * sigma / step)
    cells = [ceil(side / step) + 2 * (padding - radius) for side in size]
    edged = F.pad(parameters[0, 0], (padding,) * 4)
    rows = []
    for y in range(step * cells[0] - step + 1):
        for x in range(step * cells[1] - step + 1):
            top, left = y // step, x // step
            near = edged[top : top + 2 * radius + 1, left : left + 2 * radius + 1]
            down = y - sigma - step * (torch.arange(2 * radius + 1) + top - padding)
            right = x - sigma - step * (torch.arange(2 * radius + 1) + left - padding)
            z = (down[:, None] ** 2 + right[None] ** 2).sqrt() / sigma
            values = (torch.exp(-2 * (z - 0.5).clamp(min=0) ** 2) * near).flatten()
            rows.append((values * F.softmax(20 * values, dim=0)).sum())
    return torch.stack(rows).reshape(step * cells[0] - step + 1, -1)


def test_masks_and_their_gradients_equal_the_plain_formula() -> None:
    """Within 1e-5, gradients within 1e-4 of the largest: parameters at 0, at 1 and between, an image that is not square."""
    grid = MaskGrid((16, 23), 5, 10.0)
    parameters = torch.rand(1, 1, *grid.shape, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.3
    ours, theirs = (parameters.clamp(0, 1).requires_grad_() for _ in range(2))
    masks, full = grid.masks(ours)
    expected = plain_masks(theirs, (16, 23), 5, 10.0)
    np.testing.assert_allclose(full[0, 0].detach().numpy(), expected.detach().numpy(), atol=1e-5)
    np.testing.assert_array_equal(masks.detach().numpy(), full[:, :, 10 : 10 + 16, 10 : 10 + 23].detach().numpy())
    pull = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    (full[0, 0] * pull).sum().backward()  # type: ignore[no-untyped-call]
    (expected * pull).sum().backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None and theirs.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-4 * float(theirs.grad.abs().max()))


def test_area_error_equals_sorting() -> None:
    """Value and gradient equal those of a stable sort, with many ties, within 1e-6."""
    masks = (torch.rand(2, 1, 9, 11, generator=torch.Generator().manual_seed(0)) * 6).round() / 6
    areas = (0.1, 0.45)
    ours, theirs = masks.clone().requires_grad_(), masks.clone().requires_grad_()
    steps = torch.stack([(torch.arange(99) >= int(99 * (1 - area))).float() for area in areas])
    expected = ((theirs.flatten(1).sort(dim=1, stable=True)[0] - steps) ** 2).mean(dim=1)
    found = area_error(ours, areas)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=1e-6)
    found.sum().backward()  # type: ignore[no-untyped-call]
    expected.sum().backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None and theirs.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-7)


def test_pyramid_and_blend() -> None:
    """The last level is the image; a constant mask selects a level or interpolates between two."""
    image, settings = noise(24)[0], ExtremalConfig(levels=5, blur=6.0)
    levels = pyramid(image, settings)
    assert levels.shape == (5, 3, 24, 24)
    torch.testing.assert_close(levels[-1], image)
    reach = np.arange(-24, 25)
    kernel = np.exp(-(reach**2) / (2 * 6.0**2))
    across = np.stack([np.convolve(line, kernel / kernel.sum())[24:48] for line in image[0].numpy()])
    down = np.stack([np.convolve(line, kernel / kernel.sum())[24:48] for line in across.T]).T
    np.testing.assert_allclose(levels[0, 0].numpy(), down, atol=1e-5)
    for value, expected in ((0.0, levels[0]), (0.25, levels[1]), (0.375, (levels[1] + levels[2]) / 2), (1.0, image)):
        torch.testing.assert_close(blend(levels[None], torch.full((1, 1, 24, 24), value))[0], expected)


def test_optimization_equals_the_authors_steps() -> None:
    """Twelve steps of torch's own SGD on the sorted area term, mirrored on even steps: the same masks within 1e-3."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 5, 2), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(6 * 14 * 14, 3)
    )
    image, areas = noise(32), (0.1, 0.4)
    settings = ExtremalConfig(areas=areas, iterations=12, step=6, sigma=12.0)
    grid, levels = MaskGrid((32, 32), 6, 12.0), pyramid(image[0], settings)[None].expand(2, -1, -1, -1, -1)
    parameters = torch.ones(2, 1, *grid.shape, requires_grad=True)
    climber = torch.optim.SGD([parameters], lr=0.01, momentum=0.9, dampening=0.9)
    steps = torch.stack(
        [(torch.arange(prod) >= int(prod * (1 - area))).float() for area in areas for prod in [np.prod(grid.full)]]
    )
    weight, masks = 300.0, torch.empty(0)
    for number in range(12):
        masks, full = grid.masks(parameters)
        shown = blend(levels, masks)
        reward = network(shown.flip(3) if number % 2 == 0 else shown)[:, 2]
        energy = reward - weight * ((full.flatten(1).sort(dim=1, stable=True)[0] - steps) ** 2).mean(dim=1)
        climber.zero_grad()
        (-energy.sum()).backward()
        climber.step()
        parameters.data.clamp_(0, 1)
        weight *= 1.0035
    before = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    ours = extremal_masks(network, image, [2], settings)
    np.testing.assert_allclose(ours[0].numpy(), masks[:, 0].detach().numpy(), atol=1e-3)
    after = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert len(before) == 4 and all(map(torch.equal, before, after)), "the network's parameters get no gradients"


def test_masks_cover_the_relevant_band_and_the_area() -> None:
    """Masks cover each class's band and the given area, independently within a batch."""
    settings = ExtremalConfig(areas=(0.2,), iterations=300, step=4, sigma=8.0)
    both = extremal_masks(Bands(), torch.cat([noise(), noise()]), [0, 1], settings)[:, 0].numpy()
    for mask, band in zip(both, (np.s_[:16], np.s_[-16:]), strict=True):
        assert 0.18 < mask.mean() < 0.2 * (61 / 48) ** 2 + 0.05  # the share is one of the mask with its margin
        assert mask[band].sum() > 0.9 * mask.sum()
    np.testing.assert_allclose(extremal_map(Bands(), noise(), 1, settings), both[1], atol=1e-4)


def test_fewer_iterations_reach_the_area() -> None:
    """A tenth of the steps gives nearly the same mask; the default number gives the default settings."""
    settings = replace(ExtremalConfig.within(80), areas=(0.2,), step=4, sigma=8.0)
    short = extremal_map(Bands(), noise(), 1, settings)
    whole = extremal_map(Bands(), noise(), 1, ExtremalConfig(areas=(0.2,), step=4, sigma=8.0))
    assert short.mean() == pytest.approx(whole.mean(), abs=0.05)
    assert np.corrcoef(short.ravel(), whole.ravel())[0, 1] > 0.9
    assert ExtremalConfig.within(800) == ExtremalConfig()


def test_invalid_settings_raise() -> None:
    """Areas outside 0…1, no steps, too few levels, and sigma that is not a multiple of step."""
    for wrong in ({"areas": (1.5,)}, {"areas": ()}, {"iterations": 0}, {"levels": 1}, {"sigma": 10.0}):
        with pytest.raises(ValueError, match=r"areas|at least|multiple"):
            ExtremalConfig(**wrong)  # type: ignore[arg-type]


def test_class_image_of_a_linear_network_is_its_weights() -> None:
    """score − λ|x|² has its maximum at w / 2λ, reached within 1%."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4))
    found = generate_class_images(network, 16, [2, 0], ClassModelConfig(iterations=120, contrast=0.7, rate=0.05)).flatten(1)
    for image, target in zip(found, (2, 0), strict=True):
        weights = network[1].weight[target].detach()
        torch.testing.assert_close(image, 0.7 * weights / weights.square().mean().sqrt(), rtol=0.01, atol=1e-4)


def test_class_image_increases_its_score() -> None:
    """The image of a category scores higher for it than mean gray and the image of another category."""
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, 2), torch.nn.ReLU(), torch.nn.Flatten()
    network = torch.nn.Sequential(*layers, torch.nn.Linear(8 * 14 * 14, 3)).requires_grad_(False)
    images = generate_class_images(network, 32, [0, 1], ClassModelConfig(iterations=30))
    scores = network(images)
    assert scores[0, 0] > max(float(network(torch.zeros(1, 3, 32, 32))[0, 0]), float(scores[1, 0]))
    assert scores[1, 1] > scores[0, 1]
