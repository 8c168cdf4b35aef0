"""`train find-rate`: the loss while the learning rate grows, and the rate at which it falls fastest (Smith 2017)."""

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
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.runs.locks import full_disk_told
from fototeca.train.trainer import TrainingRun
from fototeca.train.training.data import check_manifest
from fototeca.train.training.loop import Loop
from fototeca.vision.backbones import check_model

SMOOTHING = 0.9
"""Share of the past in the running mean of the loss."""

BLOWN = 4.0
"""Times the smallest loss at which the search ends."""


@dataclass(frozen=True)
class RateCurve:
    """A rate and a smoothed loss for each step, the suggested rate, and where the curve lies as numbers and as a plot."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggested: float
    table: Path
    plot: Path


def find_rate(workspace: Workspace, config: TrainConfig, *, low: float = 1e-6, high: float = 1.0, steps: int = 100) -> RateCurve:
    """Train for `steps` steps while the rate grows from `low` to `high`; nothing is kept but the curve, below data/reports.

    FototecaError for frozen features, which have no such rate, and for a loss that never falls.
    """
    if config.regime == "features":
        raise FototecaError("a head over features needs no learning rate to be found", "use --regime scratch or finetune")
    if not (0 < low < high and steps >= 10):
        raise FototecaError("the search needs 10 steps or more from a low rate to a higher one", "try --low 1e-6 --high 1")
    manifest = read_manifest(workspace, config.manifest)
    check_model(config.model)
    check_manifest(manifest, workspace.settings.task)
    config = replace(config, manifest=manifest.version, ema=0.0, clip=0.0).resolved()
    job = TrainingRun(workspace, config, manifest)
    job.check()
    with full_disk_told():
        loop = Loop(job.fabric, job.module, config, job.prepare(), job.run.folder)
        rates, losses = climb(loop, [low * (high / low) ** (step / (steps - 1)) for step in range(steps)])
        stem = workspace.reports / f"rate-{job.run.id}"
        suggested = steepest(rates, losses)
        table = io.StringIO(newline="")
        csv.writer(table, lineterminator="\n").writerows([("learning_rate", "loss"), *zip(rates, losses, strict=True)])
        write_bytes(stem.with_suffix(".csv"), table.getvalue().encode("utf-8"))
        write_bytes(stem.with_suffix(".png"), _plot(rates, losses, suggested))
    return RateCurve(tuple(rates), tuple(losses), suggested, stem.with_suffix(".csv"), stem.with_suffix(".png"))


def climb(loop: Loop, rates: Sequence[float]) -> tuple[list[float], list[float]]:
    """The rates that were reached and the running mean of the loss at each; it ends early when the loss has blown up."""
    loop.rate = lambda step: rates[step]
    mean, smooth = 0.0, list[float]()
    for epoch in count(1):
        for loss, _, _ in loop.steps_of(epoch):
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            smoothed = mean / (1 - SMOOTHING ** (len(smooth) + 1))
            if not math.isfinite(smoothed) or (smooth and smoothed > BLOWN * min(smooth)):
                return list(rates[: len(smooth)]), smooth
            smooth.append(smoothed)
            if len(smooth) == len(rates):
                return list(rates), smooth
    raise AssertionError("unreachable: epochs never end")


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss falls fastest per decade. FototecaError when it never falls."""
    if len(losses) < 3:
        raise FototecaError("the loss blew up at once", "start lower: --low 1e-8")
    slope = np.gradient(np.array(losses), np.log10(rates))
    if slope.min() >= 0:
        raise FototecaError("the loss never falls", "take more --steps, or another --optimizer")
    return float(f"{rates[int(slope.argmin())]:.2g}")


def _plot(rates: Sequence[float], losses: Sequence[float], suggested: float) -> bytes:
    """A PNG of the curve."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(rates, losses)
    axes.axvline(suggested, linestyle="--", color="tab:red", label=f"suggested: {suggested:g}")
    axes.set(xlabel="learning rate", ylabel="loss (running mean)")
    axes.legend()
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]  # matplotlib leaves it so
    return file.getvalue()


def sparks(values: npt.ArrayLike) -> str:
    """Numbers as one line of eight heights, for a terminal."""
    given = np.asarray(values, dtype=float)
    span = float(given.max() - given.min()) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[int(7.999 * (value - given.min()) / span)] for value in given)
