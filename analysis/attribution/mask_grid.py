"""Smooth masks of Fong et al. (2019): a coarse grid of parameters, enlarged by a smooth maximum of shifted kernels.

Each pixel is the softmax-weighted mean of weight × parameter over the (2r + 1)² nearest parameters. The weights depend only on
the pixel's position within a grid cell, and most optimized parameters are 0 or 1. Both are exploited here: a mask and its
gradient cost less than one pass of a small network, while the plain formula costs several.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit

Floats = npt.NDArray[np.float32]

COLDNESS = 20.0
"""Inverse temperature of the smooth maximum; higher is closer to the maximum."""


class MaskGrid:
    """Masks of size (height, width) from parameters on a grid of `step` pixels, with kernels of `sigma` pixels.

    `shape` is the size (h, w) of the parameters; `full` that of masks with a margin of sigma pixels, over which the area is
    computed.
    """

    def __init__(self, size: tuple[int, int], step: int, sigma: float) -> None:
        self.size, self.step = size, step
        self.shape = (ceil(size[0] / step), ceil(size[1] / step))
        self.radius = 1 + ceil(sigma / step)
        self.padding = 1 + ceil(2 * sigma / step)
        self.cells = tuple(side + 2 * (self.padding - self.radius) for side in self.shape)
        self.full = tuple(step * side - step + 1 for side in self.cells)
        self.margin = round(sigma)
        self._tables = _tables(step, self.radius, self.padding, sigma)

    def masks(self, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return masks (N, 1, height, width), and with margin (N, 1, *full), of parameters (N, 1, h, w) in 0…1."""
        whole: torch.Tensor = _SmoothMaximum.apply(parameters, self)
        full = whole[:, :, : self.full[0], : self.full[1]].clamp(0, 1)
        top, (height, width) = self.margin, self.size
        return full[:, :, top : top + height, top : top + width], full


def _tables(step: int, radius: int, padding: int, sigma: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return (neighbors, positions in a cell) tables: weights w, and e^(cw), w·e^(cw), w²·e^(cw) for parameters that are 1."""
    offsets = step * np.arange(-padding, 2 * radius + 1 - padding) + sigma  # of a cell's neighbors, from the cell's corner
    places = np.arange(step)
    away = (places[None, :] - offsets[:, None]) ** 2  # (neighbor, position), along one axis
    squared = away[:, None, :, None] + away[None, :, None, :]
    distance = np.sqrt(squared).reshape(len(offsets) ** 2, step * step) / sigma
    weights = np.exp(-2 * np.maximum(distance - 0.5, 0) ** 2)
    powers = np.exp(COLDNESS * weights)
    every = (weights, powers, weights * powers, weights**2 * powers)
    w, e, we, wwe = (np.ascontiguousarray(table, dtype=np.float32) for table in every)
    return w, e, we, wwe


class _SmoothMaximum(torch.autograd.Function):
    """Parameters (N, 1, h, w) to masks (N, 1, step · cells…), with explicit gradients: autograd would store 81 masks for each."""

    @staticmethod
    def forward(ctx: Any, parameters: torch.Tensor, grid: MaskGrid) -> torch.Tensor:  # noqa: ANN401  (torch's own context)
        edge = grid.padding
        padded = np.pad(parameters.detach()[:, 0].numpy(), ((0, 0), (edge, edge), (edge, edge)))
        weights, powers, weighted, _ = grid._tables
        high, wide = grid.cells
        maxima, sums = _enlarge(padded, weights, powers, weighted, high, wide, 2 * grid.radius + 1)
        ctx.stored = grid, padded, maxima, sums
        return torch.from_numpy(_as_image(maxima, grid.step))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
        grid, padded, maxima, sums = ctx.stored
        per_cell = _as_cells(gradients[0].numpy(), grid.step)
        weights, powers, weighted, squares = grid._tables
        below = _enlarge_back(padded, maxima, sums, per_cell, weights, powers, weighted, squares, 2 * grid.radius + 1)
        edge = grid.padding
        return torch.from_numpy(below[:, None, edge : edge + grid.shape[0], edge : edge + grid.shape[1]].copy()), None


def _as_image(cells: Floats, step: int) -> Floats:
    """(N, cells, cells, step²) as (N, 1, step · cells, step · cells)."""
    n, high, wide = cells.shape[:3]
    return cells.reshape(n, high, wide, step, step).transpose(0, 1, 3, 2, 4).reshape(n, 1, high * step, wide * step)


def _as_cells(image: Floats, step: int) -> Floats:
    """The inverse of `_as_image`."""
    n, _, height, width = image.shape
    cells = image.reshape(n, height // step, step, width // step, step).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(cells.reshape(n, height // step, width // step, step * step))


@njit(nogil=True, cache=True, fastmath=True, inline="always")
def _exp(value: np.float32) -> np.float32:
    """Return e^value for 0…20 within 1e-5: a Taylor sum of e^(value/64), squared six times; vectorizable in loops."""
    y = value * np.float32(1 / 64)
    e = y * np.float32(1 / 720) + np.float32(1 / 120)
    e = ((((e * y + np.float32(1 / 24)) * y + np.float32(1 / 6)) * y + np.float32(0.5)) * y + np.float32(1)) * y + np.float32(1)
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    return e


@njit(nogil=True, cache=True, fastmath=True)
def _enlarge(  # type: ignore[no-untyped-def]  # noqa: ANN202
    padded,  # noqa: ANN001
    weights,  # noqa: ANN001
    powers,  # noqa: ANN001
    weighted,  # noqa: ANN001
    high,  # noqa: ANN001
    wide,  # noqa: ANN001
    around,  # noqa: ANN001
):
    """Return smooth maxima and the sums of powers that divide them, both (N, high, wide, positions)."""
    places = weights.shape[1]
    maxima = np.zeros((padded.shape[0], high, wide, places), np.float32)
    sums = np.zeros((padded.shape[0], high, wide, places), np.float32)
    for n, i, j in np.ndindex(padded.shape[0], high, wide):
        total, power = maxima[n, i, j], sums[n, i, j]
        zeros = np.float32(0)
        for k in range(around * around):
            m = padded[n, i + k // around, j + k % around]
            if m == 0:
                zeros += np.float32(1)
            elif m == 1:
                for s in range(places):
                    power[s] += powers[k, s]
                    total[s] += weighted[k, s]
            else:
                for s in range(places):
                    x = weights[k, s] * m
                    e = _exp(np.float32(COLDNESS) * x)
                    power[s] += e
                    total[s] += e * x
        for s in range(places):
            power[s] += zeros
            total[s] /= power[s]
    return maxima, sums


@njit(nogil=True, cache=True, fastmath=True)
def _enlarge_back(  # type: ignore[no-untyped-def]  # noqa: ANN202
    padded,  # noqa: ANN001
    maxima,  # noqa: ANN001
    sums,  # noqa: ANN001
    gradient,  # noqa: ANN001
    weights,  # noqa: ANN001
    powers,  # noqa: ANN001
    weighted,  # noqa: ANN001
    squares,  # noqa: ANN001
    around,  # noqa: ANN001
):
    """Return the gradient of the padded parameters: for x = w·m it is e^(cx) / sum · (1 + c(x − maximum)), times w for m."""
    places = weights.shape[1]
    below = np.zeros_like(padded)
    plain, steep = np.empty(places, np.float32), np.empty(places, np.float32)
    for n, i, j in np.ndindex(*maxima.shape[:3]):
        for s in range(places):
            share = gradient[n, i, j, s] / sums[n, i, j, s]
            plain[s] = share * (np.float32(1) - np.float32(COLDNESS) * maxima[n, i, j, s])
            steep[s] = share * np.float32(COLDNESS)
        for k in range(around * around):
            m = padded[n, i + k // around, j + k % around]
            total = np.float32(0)
            if m == 0:
                for s in range(places):
                    total += weights[k, s] * plain[s]
            elif m == 1:
                for s in range(places):
                    total += weighted[k, s] * plain[s] + squares[k, s] * steep[s]
            else:
                for s in range(places):
                    x = weights[k, s] * m
                    total += _exp(np.float32(COLDNESS) * x) * weights[k, s] * (plain[s] + steep[s] * x)
            below[n, i + k // around, j + k % around] += total
    return below
