"""Every map put to the test: does it react to the model, to the category, to what the model needs, to where the thing is?

- live: the score has a gradient at the image, and the map is finite and not the same everywhere;
- classes: rank correlation between the maps of the likeliest and the least likely category (Rebuffi et al. 2020);
- weights: rank correlation with the map after every weight was dealt anew (Adebayo et al. 2018);
- deletion, insertion: mean probability while places leave the image, or come back, in the map's order (Petsiuk et al. 2018);
- grid: share of the map in the right quarter of a mosaic (the grid pointing game, Böhle et al. 2021);
- pointing, energy: where the truth is known, whether the map's peak is on the thing (Zhang et al. 2018), and its share there.

Two maps that know nothing, `random` and `centre`, go through the same trials: what does no better is no explanation.
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
"""Shares of the image at which the deletion and insertion curves are asked."""

PATCHES = 14
"""Squares along a side of the random baseline: pixels alone would be noise that no map has."""

BLUR = 5 / 224
"""Blur that insertion begins with, as a share of the side; the paper's at its size."""


@dataclass(frozen=True)
class CheckedImage:
    """An image to be explained, preprocessed (3, H, W), the category that was said, and the truth (H, W) if it is known."""

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
    """What one method reached, means over the cases; NaN where nothing could be measured."""

    method: str
    live: float = np.nan
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
    """By trial; see `stamp`."""
    reason: str = ""
    """Why the method does not fit the model; nothing was measured then."""


def check_maps(module: nn.Module, case: CheckedImage, maps: dict[str, Map], steps: int = CURVE_STEPS) -> dict[str, CheckScores]:
    """What one image tells of its maps without another being drawn: live, deletion, insertion, and where the truth is known
    pointing and energy; stamped beside both baselines. The other trials judge methods: `try_methods`."""
    asked = _ask(module, case)
    images = {name: draw(module, case.image[None], case.target) for name, draw in BASELINES.items()}
    found = {name: CheckScores(name) for name in (*maps, *BASELINES)}
    for name, one in {**maps, **images}.items():
        _set(found[name], _judged(module, asked, one, steps))
    for scores in found.values():
        scores.passed = grade_scores(scores, [found[name] for name in BASELINES])
        if case.mask is not None:
            scores.passed["pointing"] = scores.pointing == 1  # of one image there is no more to reach, whoever hits it too
    return {name: found[name] for name in maps}


@dataclass(frozen=True)
class _Asked:
    """A case with what the trials of every method need to know of it, asked once."""

    case: CheckedImage
    rival: int
    """The least likely category."""
    moves: bool
    """Whether the score has a gradient at the image."""


def check_methods(
    module: nn.Module,
    methods: dict[str, MapFunction],
    cases: Sequence[CheckedImage],
    mosaics: Sequence[ImageGrid],
    steps: int = CURVE_STEPS,
) -> list[CheckScores]:
    """The scores of each method and of both baselines, which come last, in eval mode. The same each time but for `seconds`."""
    shuffled = with_shuffled_weights(module)
    every = {**methods, **BASELINES}
    asked = [_ask(module, case) for case in cases]
    bar = tqdm(every.items(), desc="trials", unit="method", disable=None)
    found = [_try_or_tell(name, partial(_try, name, draw, module, shuffled, asked, mosaics, steps)) for name, draw in bar]
    for scores in found:
        scores.passed = grade_scores(scores, found[-len(BASELINES) :])
    return found


def _try_or_tell(name: str, trial: Callable[[], CheckScores]) -> CheckScores:
    """The scores; of a method that does not fit the model its reason, so that the others are still tried."""
    try:
        return trial()
    except FototecaError as error:
        return CheckScores(name, reason=f"{error.message}; {error.hint}" if error.hint else error.message)


def grade_scores(scores: CheckScores, baselines: Sequence[CheckScores]) -> dict[str, bool]:
    """Whether each trial that was measured is passed: always live, another map for another category (a correlation below 0.9)
    and for other weights (below 0.5), and better than both baselines elsewhere."""
    passed = {"live": scores.live == 1, "classes": scores.classes < 0.9, "weights": scores.weights < 0.5}
    passed["deletion"] = all(scores.deletion < other.deletion for other in baselines)
    for trial in ("insertion", "grid", "pointing", "energy"):
        passed[trial] = all(getattr(scores, trial) > getattr(other, trial) for other in baselines)
    return {trial: bool(said) for trial, said in passed.items() if np.isfinite(getattr(scores, trial))}


def _try(
    name: str,
    draw: MapFunction,
    module: nn.Module,
    shuffled: nn.Module,
    asked: Sequence[_Asked],
    mosaics: Sequence[ImageGrid],
    steps: int,
) -> CheckScores:
    rows: list[dict[str, float]] = []
    for one in asked:
        case = one.case
        begin = time.perf_counter()
        found = draw(module, case.image[None], case.target)
        row = {"seconds": time.perf_counter() - begin, **_judged(module, one, found, steps)}
        row["classes"] = rank_correlation(found, draw(module, case.image[None], one.rival))
        row["weights"] = rank_correlation(found, draw(shuffled, case.image[None], case.target))
        rows.append(row)
    scores = CheckScores(name)
    _set(scores, {key: _mean([row[key] for row in rows if key in row]) for key in {key for row in rows for key in row}})
    if mosaics:
        scores.grid = float(np.mean([_in_cell(draw(module, one.image[None], one.target), one.cell) for one in mosaics]))
    return scores


def _mean(values: Sequence[float]) -> float:
    """Of those that were measured; NaN when none was."""
    measured = [value for value in values if np.isfinite(value)]
    return float(np.mean(measured)) if measured else float("nan")


def _set(scores: CheckScores, measured: dict[str, float]) -> None:
    for trial, score in measured.items():
        setattr(scores, trial, score)


def _judged(module: nn.Module, one: _Asked, found: Map, steps: int) -> dict[str, float]:
    """What a map that is drawn already tells of itself."""
    mask = one.case.mask
    row = {"live": float(one.moves and np.isfinite(found).all() and np.ptp(found) > 0)}
    row["deletion"], row["insertion"] = deletion_insertion_areas(module, one.case, found, steps)
    if mask is not None:
        row["pointing"], row["energy"] = float(mask.flat[found.argmax()]), share_inside(found, mask)
    return row


def with_shuffled_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """A copy whose every parameter holds its own values in another order: nothing is known any more, and scales stay sane."""
    dealt = copy.deepcopy(module)
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in dealt.parameters():
            parameter.copy_(parameter.flatten()[torch.randperm(parameter.numel(), generator=chance)].view_as(parameter))
    return dealt


def rank_correlation(one: Map, other: Map) -> float:
    """Spearman's, ties sharing their ranks; 0 when `other` is the same everywhere. NaN when `one` is: nothing can change it."""
    from scipy.stats import rankdata

    first, second = (rankdata(values.ravel()) for values in (one, other))
    if first.std() == 0:
        return float("nan")
    if second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def deletion_insertion_areas(module: nn.Module, case: CheckedImage, found: Map, steps: int = CURVE_STEPS) -> tuple[float, float]:
    """Areas under the deletion curve (places become mean grey) and the insertion curve (the blurred image gets sharp)."""
    order = np.argsort(-found, axis=None, kind="stable")
    place = np.empty(len(order))
    place[order] = np.arange(len(order)) / len(order)
    shares = torch.linspace(0, 1, steps + 1)[:, None, None, None]
    taken = torch.from_numpy(place.reshape(1, 1, *found.shape)).float() < shares
    soft = blurred(case.image, BLUR * case.image.shape[-1])
    areas = []
    with torch.no_grad():
        for shown in (torch.where(taken, 0.0, case.image), torch.where(taken, case.image, soft)):
            said = probabilities(module, shown)[:, case.target].double()
            areas.append(float((said[:-1] + said[1:]).mean() / 2))
    return areas[0], areas[1]


def share_inside(found: Map, mask: Mask) -> float:
    """The share of the map's positive part that lies in the mask; 0 when nothing is positive."""
    positive = np.maximum(found, 0).astype(np.float64)
    return float(positive[mask].sum() / (positive.sum() or 1.0))


def build_image_grid(images: Sequence[torch.Tensor], target: int, cell: int) -> ImageGrid:
    """A mosaic of four preprocessed images (3, H, W), each shrunk to a quarter, so that any network takes it; images[0], the
    only one of the category `target`, goes to `cell`."""
    others = iter(images[1:])
    placed = [images[0] if place == cell else next(others) for place in range(4)]
    (height, width) = images[0].shape[1:]
    tops, lefts = (height // 2, height - height // 2), (width // 2, width - width // 2)
    small = [
        F.interpolate(one[None], size=(tops[place // 2], lefts[place % 2]), mode="bilinear", antialias=True)[0]
        for place, one in enumerate(placed)
    ]
    return ImageGrid(torch.cat([torch.cat(small[:2], dim=2), torch.cat(small[2:], dim=2)], dim=1), target, cell)


def _in_cell(found: Map, cell: int) -> float:
    height, width = found.shape[0] // 2, found.shape[1] // 2
    mask = np.zeros(found.shape, dtype=bool)
    rows = slice(height, None) if cell // 2 else slice(height)
    mask[rows, slice(width, None) if cell % 2 else slice(width)] = True
    return share_inside(found, mask)


def _ask(module: nn.Module, case: CheckedImage) -> _Asked:
    with torch.enable_grad():
        image = case.image[None].clone().requires_grad_()
        said = module(image)[0]
        gradient = torch.autograd.grad(said[case.target], image)[0]
    return _Asked(case, int(said.argmin()), bool(gradient.abs().sum() > 0))


def _random(module: nn.Module, image: torch.Tensor, target: int) -> Map:
    """Chance: PATCHES × PATCHES squares of random values, the same each time."""
    values = torch.rand(1, 1, PATCHES, PATCHES, generator=torch.Generator().manual_seed(0))
    return np.asarray(F.interpolate(values, size=image.shape[-2:])[0, 0].numpy(), dtype=np.float32)


def _centre(module: nn.Module, image: torch.Tensor, target: int) -> Map:
    """The photographer's habit: a Gaussian in the middle, a quarter of the side wide."""
    down, right = (np.exp(-8 * np.linspace(-0.5, 0.5, side) ** 2) for side in image.shape[-2:])
    return np.asarray(np.outer(down, right), dtype=np.float32)


BASELINES: dict[str, MapFunction] = {"random": _random, "centre": _centre}
"""The maps that know nothing."""
