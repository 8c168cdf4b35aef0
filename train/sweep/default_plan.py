"""The plan of `train sweep` without a file, adapted to the pretrained weights that are available."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from fototeca.core.console import notify
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run
from fototeca.train.sweep.plan import Point, describe
from fototeca.train.sweep.results import FailedPoint, SweepResult
from fototeca.vision.timm_models import PACKAGED_MODEL
from fototeca.vision.weights import best_weights, find_weights

DEFAULT_PLAN: tuple[Point, ...] = (
    {"model": "cnn", "regime": "scratch"},
    {"model": "cnn-cbam", "regime": "scratch"},
    {"model": "resnet18", "regime": "features", "head": "linear"},
    {"model": "resnet50", "regime": "features", "head": "logistic"},
    {"model": "regnet_y_400mf", "regime": "features", "head": "boosting"},
    {"model": "resnet18", "regime": "finetune", "unfreeze": "layer4"},
    {"model": "resnet50", "regime": "finetune"},
    {"model": "regnet_y_400mf", "regime": "finetune"},
)
"""Points of the plan where all weights are available."""

SUBSTITUTE_MODELS = (
    *(
        "resnet18",
        "mobilenet_v3_small",
        "regnet_y_400mf",
        "efficientnet_b0",
        PACKAGED_MODEL,
        "squeezenet1_1",
        "squeezenet1_0",
        "resnet50",
    ),
)
"""Models whose weights on disk replace those that are not available."""

MIN_RUNS = 6
"""Points of the plan at least, with any weights."""


def make_default_plan(
    version: str,
    weights: tuple[str, str] | None,
    result: SweepResult,
    train: Callable[[TrainConfig], Run | FototecaError],
) -> list[Point]:
    """Return the default plan for the available weights; skipped points go to `result.failed`.

    Args:
        version: version of the dataset.
        weights: (model, file) to use in place of missing weights.
        result: result of the sweep.
        train: trains a run; called where no pretrained weights exist at all, for a network whose weights are used instead.
    """
    points = _list_available(result)
    if len(points) >= MIN_RUNS:
        return points
    weights = weights or _find_on_disk()
    if weights is None:
        notify("no pretrained weights are available: fototeca's own network is trained first, and its weights are used")
        first = train(TrainConfig(manifest=version, model="cnn", regime="scratch"))
        if isinstance(first, FototecaError):
            notify(f"  failed: {first}")
            return points
        weights = ("cnn", f"run:{first.id}")
    model, file = weights
    notify(f"in place of the skipped runs: {model} with {file}")
    base = {"model": model, "weights": file}
    heads = [{**base, "regime": "features", "head": head} for head in ("linear", "logistic", "svm", "boosting")]
    substitutes = [*heads, {**base, "regime": "finetune", "unfreeze": "2"}, {**base, "regime": "finetune"}]
    existing = [{**point, "weights": None} for point in points]
    return [*points, *(point for point in substitutes if {**point, "weights": None} not in existing)]


def _list_available(result: SweepResult) -> list[Point]:
    """Return the points of DEFAULT_PLAN whose weights are available; notify of the others with the missing file."""
    points: list[Point] = []
    is_reachable = True  # a host that did not respond is not tried again for the next file
    for point in DEFAULT_PLAN:
        try:
            if point["regime"] != "scratch":
                find_weights(point["model"], "DEFAULT", fetch=is_reachable)
        except FototecaError as error:
            is_reachable = is_reachable and not isinstance(error, ExternalError)
            notify(f"skipped: {describe(point)}: {error}")
            result.failed.append(FailedPoint(describe(point), str(error), is_skipped=True))
        else:
            points.append(point)
    return points


def _find_on_disk() -> tuple[str, str] | None:
    """Return a small model and the name of its weights if torchvision has downloaded them before and they are intact."""
    for model in SUBSTITUTE_MODELS:
        name = best_weights(model)
        with suppress(FototecaError):
            if name and find_weights(model, name, fetch=False):
                return model, name
    return None
