"""`train lr-find`: a learning rate range test (Smith 2017)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fototeca.core.errors import FototecaError
from fototeca.core.files import write_bytes
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.network_trainer import NetworkTrainer
from fototeca.train.run_spec import read_training_manifest, resolve_run
from fototeca.train.runs.locks import full_disk_as_error
from fototeca.train.training.device import make_fabric
from fototeca.train.training.loop import TrainingLoop

SMOOTHING = 0.9
"""Weight of the past in the running mean of the loss."""

DIVERGENCE_FACTOR = 4.0
"""Multiple of the smallest loss at which the test ends."""


@dataclass(frozen=True)
class LrFinderResult(Result):
    """A suggested learning rate, and the curve that it was read from."""

    suggested: float
    table: Path
    """CSV with columns learning_rate and loss."""
    plot: Path
    """PNG."""
    learning_rate: tuple[float, ...]
    """Learning rate of each step."""
    loss: tuple[float, ...]
    """Running mean of the loss at each step."""


def find_lr(
    workspace: Workspace, config: TrainConfig, *, low: float = 1e-6, high: float = 1.0, steps: int = 100
) -> LrFinderResult:
    """Train for `steps` steps while the learning rate rises from `low` to `high`, and suggest where the loss falls fastest.

    Writes the curve below data/reports and no run. FototecaError for frozen features, whose head has a fixed learning rate, and
    for a loss that never falls.

    Example:
        find_lr(workspace, TrainConfig("v001", "cnn", "scratch")).suggested
    """
    if config.regime == "features":
        raise FototecaError("a head over frozen features needs no learning rate test", "use --regime scratch or finetune")
    if not (0 < low < high and steps >= 10):
        hint = "try --low 1e-6 --high 1 --steps 100"
        raise FototecaError("the test needs 10 steps or more, from a low rate to a higher one", hint)
    manifest = read_training_manifest(workspace, config)
    fabric = make_fabric(config)
    spec = resolve_run(workspace, replace(config, ema=0.0, clip=0.0), manifest, fabric.world_size)
    trainer = NetworkTrainer(spec, fabric)
    trainer.check()
    with full_disk_as_error():
        loop = TrainingLoop(fabric, trainer.module, spec.config, trainer.prepare_data(), spec.run.folder)
        rates, losses = increase_lr(loop, [low * (high / low) ** (step / (steps - 1)) for step in range(steps)])
        suggested = suggest_lr(rates, losses)
        stem = workspace.reports / f"lr-{spec.run.id}"
        table = io.StringIO(newline="")
        csv.writer(table, lineterminator="\n").writerows([("learning_rate", "loss"), *zip(rates, losses, strict=True)])
        write_bytes(stem.with_suffix(".csv"), table.getvalue().encode("utf-8"))
        write_bytes(stem.with_suffix(".png"), _plot(rates, losses, suggested))
    return LrFinderResult(suggested, stem.with_suffix(".csv"), stem.with_suffix(".png"), tuple(rates), tuple(losses))


def increase_lr(loop: TrainingLoop, rates: Sequence[float]) -> tuple[list[float], list[float]]:
    """Train one step at each rate; return the rates that were reached and the running mean of the loss at each.

    Ends early when the loss diverges.
    """
    loop.schedule = lambda step: rates[step]
    mean, losses = 0.0, list[float]()
    for epoch in count(1):
        for result in loop.train_epoch(epoch):
            mean = SMOOTHING * mean + (1 - SMOOTHING) * result.loss
            smoothed = mean / (1 - SMOOTHING ** (len(losses) + 1))
            if not math.isfinite(smoothed) or (losses and smoothed > DIVERGENCE_FACTOR * min(losses)):
                return list(rates[: len(losses)]), losses
            losses.append(smoothed)
            if len(losses) == len(rates):
                return list(rates), losses
    raise AssertionError("unreachable: epochs never end")


def suggest_lr(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate at which the loss falls fastest per decade. FototecaError if it never falls."""
    if len(losses) < 3:
        raise FototecaError("the loss diverged in the first steps", "start lower: --low 1e-8")
    slope = np.gradient(np.array(losses), np.log10(rates))
    if slope.min() >= 0:
        raise FototecaError("the loss never falls", "use more --steps, or another --optimizer")
    return float(f"{rates[int(slope.argmin())]:.2g}")


def _plot(rates: Sequence[float], losses: Sequence[float], suggested: float) -> bytes:
    """Return a PNG of the curve."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(rates, losses)
    axes.axvline(suggested, linestyle="--", color="tab:red", label=f"suggested: {suggested:g}")
    axes.set(xlabel="learning rate", ylabel="loss (running mean)")
    axes.legend()
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    return file.getvalue()


def sparkline(values: npt.ArrayLike) -> str:
    """Return numbers as one line of block characters of eight heights."""
    numbers = np.asarray(values, dtype=float)
    span = float(numbers.max() - numbers.min()) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[int(7.999 * (value - numbers.min()) / span)] for value in numbers)
