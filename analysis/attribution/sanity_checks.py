"""Sanity checks of attribution maps: do they depend on the model, on the category, on the pixels used, on the object?

- gradient: the score has a gradient at the image, and the map is finite and not constant;
- classes: rank correlation between the maps of the most and the least probable category (Rebuffi et al. 2020);
- weights: rank correlation with the map after all weights have been shuffled (Adebayo et al. 2018);
- deletion, insertion: mean probability while pixels are removed or restored in the map's order (Petsiuk et al. 2018);
- grid: share of the map in the right quarter of an image grid (grid pointing game, Böhle et al. 2021);
- pointing, energy: with a mask, 1 if the map's maximum is on the object (Zhang et al. 2018), and its share on the object.

Two baselines that do not use the model, `random` and `centre`, get the same checks: a method must be better than both.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from fototeca.analysis.attribution.extremal import blurred
from fototeca.analysis.attribution.maps import Map, probabilities
from fototeca.core.errors import FototecaError

MapFunction = Callable[[nn.Module, torch.Tensor, int], Map]
"""(module, image (1, 3, H, W), target) to a map (H, W)."""

Mask = npt.NDArray[np.bool_]

CURVE_STEPS = 16
"""Steps of the deletion and insertion curves."""

PATCHES = 14
"""Squares along a side of the random baseline, which is then as smooth as a typical map."""

BLUR = 5 / 224
"""Blur at the start of the insertion curve, as a share of the side; the paper's value at its image size."""


@dataclass(frozen=True)
class CheckedImage:
    """A preprocessed image (3, H, W), its predicted category, and the object's mask (H, W) if known."""

    image: torch.Tensor
    target: int
    mask: Mask | None = None


@dataclass(frozen=True)
class ImageGrid:
    """Four images in one (3, H, W); only the quarter `cell` (0 to 3, by rows) shows the category `target`."""

    image: torch.Tensor
    target: int
    cell: int


@dataclass
class CheckScores:
    """Scores of one method, means over the images; NaN if not measured."""

    method: str
    gradient: float = np.nan
    classes: float = np.nan
    weights: float = np.nan
    deletion: float = np.nan
    insertion: float = np.nan
    grid: float = np.nan
    pointing: float = np.nan
    energy: float = np.nan
    seconds: float = np.nan
    """For one map."""
    passed: dict[str, bool] = field(default_factory=dict)
    """By check; see `grade_scores`."""
    reason: str = ""
    """Reason why the method does not fit the model; nothing is measured then."""


def check_maps(module: nn.Module, image: CheckedImage, maps: dict[str, Map], steps: int = CURVE_STEPS) -> dict[str, CheckScores]:
    """Check maps of one image without drawing others: gradient, deletion, insertion, and with a mask pointing and energy.

    Scores are graded against both baselines. `check_methods` makes the other checks.
    """
    prepared = _prepare(module, image)
    baselines = {name: draw(module, image.image[None], image.target) for name, draw in BASELINES.items()}
    by_method = {name: CheckScores(name) for name in (*maps, *BASELINES)}
    for name, values in {**maps, **baselines}.items():
        _set_scores(by_method[name], _score_map(module, prepared, values, steps))
    for scores in by_method.values():
        scores.passed = grade_scores(scores, [by_method[name] for name in BASELINES])
        if image.mask is not None:
            scores.passed["pointing"] = scores.pointing == 1  # on one image a baseline may reach the maximum too
    return {name: by_method[name] for name in maps}


@dataclass(frozen=True)
class _PreparedImage:
    """An image with what the checks of every method need, computed once."""

    image: CheckedImage
    least_probable: int
    """Index of the least probable category."""
    has_gradient: bool
    """True if the score has a gradient at the image."""


def check_methods(
    module: nn.Module,
    methods: dict[str, MapFunction],
    images: Sequence[CheckedImage],
    grids: Sequence[ImageGrid],
    steps: int = CURVE_STEPS,
) -> list[CheckScores]:
    """Score each method and, last, both baselines on a network in eval mode; deterministic but for `seconds`."""
    shuffled = with_shuffled_weights(module)
    functions = {**methods, **BASELINES}
    prepared = [_prepare(module, image) for image in images]
    bar = tqdm(functions.items(), desc="sanity checks", unit="method", disable=None)
    scores = [
        _check_or_explain(name, partial(_check_method, name, draw, module, shuffled, prepared, grids, steps))
        for name, draw in bar
    ]
    for one in scores:
        one.passed = grade_scores(one, scores[-len(BASELINES) :])
    return scores


def _check_or_explain(name: str, check: Callable[[], CheckScores]) -> CheckScores:
    """Return the scores, or only the reason for a method that does not fit the model."""
    try:
        return check()
    except FototecaError as error:
        return CheckScores(name, reason=f"{error.message}; {error.hint}" if error.hint else error.message)


def grade_scores(scores: CheckScores, baselines: Sequence[CheckScores]) -> dict[str, bool]:
    """Return the result of each measured check.

    Thresholds: gradient in every map; correlation below 0.9 with the map of another category and below 0.5 with that of
    shuffled weights; a better score than both baselines for the others.
    """
    passed = {"gradient": scores.gradient == 1, "classes": scores.classes < 0.9, "weights": scores.weights < 0.5}
    passed["deletion"] = all(scores.deletion < other.deletion for other in baselines)
    for check in ("insertion", "grid", "pointing", "energy"):
        passed[check] = all(getattr(scores, check) > getattr(other, check) for other in baselines)
    return {check: bool(is_passed) for check, is_passed in passed.items() if np.isfinite(getattr(scores, check))}


def _check_method(
    name: str,
    draw: MapFunction,
    module: nn.Module,
    shuffled: nn.Module,
    images: Sequence[_PreparedImage],
    grids: Sequence[ImageGrid],
    steps: int,
) -> CheckScores:
    rows: list[dict[str, float]] = []
    for prepared in images:
        image = prepared.image
        begin = time.perf_counter()
        values = draw(module, image.image[None], image.target)
        row = {"seconds": time.perf_counter() - begin, **_score_map(module, prepared, values, steps)}
        row["classes"] = rank_correlation(values, draw(module, image.image[None], prepared.least_probable))
        row["weights"] = rank_correlation(values, draw(shuffled, image.image[None], image.target))
        rows.append(row)
    scores = CheckScores(name)
    _set_scores(
        scores, {key: _finite_mean([row[key] for row in rows if key in row]) for key in {key for row in rows for key in row}}
    )
    if grids:
        scores.grid = float(np.mean([_share_in_cell(draw(module, one.image[None], one.target), one.cell) for one in grids]))
    return scores


def _finite_mean(values: Sequence[float]) -> float:
    """Return the mean of the finite values; NaN if there are none."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite or [np.nan]))


def _set_scores(scores: CheckScores, measured: dict[str, float]) -> None:
    for check, score in measured.items():
        setattr(scores, check, score)


def _score_map(module: nn.Module, prepared: _PreparedImage, values: Map, steps: int) -> dict[str, float]:
    """Return the scores that need only this map."""
    mask = prepared.image.mask
    row = {"gradient": float(prepared.has_gradient and np.isfinite(values).all() and np.ptp(values) > 0)}
    row["deletion"], row["insertion"] = deletion_insertion_areas(module, prepared.image, values, steps)
    if mask is not None:
        row["pointing"], row["energy"] = float(mask.flat[values.argmax()]), share_inside(values, mask)
    return row


def with_shuffled_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """Return a copy with the values of each parameter shuffled within it: nothing is learned, and scales are kept."""
    shuffled = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shuffled.parameters():
            parameter.copy_(parameter.flatten()[torch.randperm(parameter.numel(), generator=generator)].view_as(parameter))
    return shuffled


def rank_correlation(first: Map, second: Map) -> float:
    """Return Spearman's rank correlation with average ranks for ties.

    0 if `second` is constant; NaN if `first` is, since nothing can change it then.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(values.ravel()) for values in (first, second)]
    if ranks[0].std() == 0:
        return float("nan")
    if ranks[1].std() == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def deletion_insertion_areas(
    module: nn.Module, image: CheckedImage, values: Map, steps: int = CURVE_STEPS
) -> tuple[float, float]:
    """Return the areas under the deletion curve (pixels become mean gray) and the insertion curve (a blurred image sharpens)."""
    order = np.argsort(-values, axis=None, kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order)) / len(order)
    shares = torch.linspace(0, 1, steps + 1)[:, None, None, None]
    selected = torch.from_numpy(rank.reshape(1, 1, *values.shape)).float() < shares
    soft = blurred(image.image, BLUR * image.image.shape[-1])
    areas = []
    with torch.no_grad():
        for altered in (torch.where(selected, 0.0, image.image), torch.where(selected, image.image, soft)):
            curve = probabilities(module, altered)[:, image.target].double()
            areas.append(float((curve[:-1] + curve[1:]).mean() / 2))
    return areas[0], areas[1]


def share_inside(values: Map, mask: Mask) -> float:
    """Return the share of the map's positive part inside the mask; 0 if nothing is positive."""
    positive = np.maximum(values, 0).astype(np.float64)
    return float(positive[mask].sum() / (positive.sum() or 1.0))


def build_image_grid(images: Sequence[torch.Tensor], target: int, cell: int) -> ImageGrid:
    """Return a 2 × 2 grid of four preprocessed images (3, H, W), each shrunk to a quarter, of the size of one image.

    images[0], the only one of the category `target`, goes to `cell`.
    """
    others = iter(images[1:])
    placed = [images[0] if place == cell else next(others) for place in range(4)]
    height, width = images[0].shape[1:]
    heights, widths = (height // 2, height - height // 2), (width // 2, width - width // 2)
    small = [
        F.interpolate(image[None], size=(heights[place // 2], widths[place % 2]), mode="bilinear", antialias=True)[0]
        for place, image in enumerate(placed)
    ]
    return ImageGrid(torch.cat([torch.cat(small[:2], dim=2), torch.cat(small[2:], dim=2)], dim=1), target, cell)


def _share_in_cell(values: Map, cell: int) -> float:
    height, width = values.shape[0] // 2, values.shape[1] // 2
    mask = np.zeros(values.shape, dtype=bool)
    rows = slice(height, None) if cell // 2 else slice(height)
    mask[rows, slice(width, None) if cell % 2 else slice(width)] = True
    return share_inside(values, mask)


def _prepare(module: nn.Module, image: CheckedImage) -> _PreparedImage:
    with torch.enable_grad():
        tensor = image.image[None].clone().requires_grad_()
        logits = module(tensor)[0]
        gradient = torch.autograd.grad(logits[image.target], tensor)[0]
    return _PreparedImage(image, int(logits.argmin()), bool(gradient.abs().sum() > 0))


def _random(module: nn.Module, image: torch.Tensor, target: int) -> Map:
    """Baseline of PATCHES × PATCHES squares of random values, the same in each call."""
    values = torch.rand(1, 1, PATCHES, PATCHES, generator=torch.Generator().manual_seed(0))
    return np.asarray(F.interpolate(values, size=image.shape[-2:])[0, 0].numpy(), dtype=np.float32)


def _center(module: nn.Module, image: torch.Tensor, target: int) -> Map:
    """Baseline of a Gaussian at the center with a standard deviation of a quarter of the side."""
    down, right = (np.exp(-8 * np.linspace(-0.5, 0.5, side) ** 2) for side in image.shape[-2:])
    return np.asarray(np.outer(down, right), dtype=np.float32)


BASELINES: dict[str, MapFunction] = {"random": _random, "centre": _center}
"""Maps that do not use the model."""
