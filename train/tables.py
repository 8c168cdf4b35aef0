"""Runs as rows of tables and of JSON: the output of `train run`, `list`, `sweep` and `ensemble`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.tables import render_table
from fototeca.train.runs import Run
from fototeca.train.runs.metrics import RunMetrics
from fototeca.vision.intervals import wilson_interval

RUN_COLUMNS = ("run", "train", "val", "interval", "params", "seconds")


@dataclass(frozen=True)
class RunSummary(Result):
    """A finished run with its metrics."""

    run: str
    model: str
    regime: str
    manifest: str
    val_interval: tuple[float, float]
    """Wilson's 95% interval of the validation accuracy, as `analysis compare` gives it; each image counts as one observation for
    runs whose `done.json` has no interval."""
    metrics: RunMetrics

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the metrics as one object."""
        fields = {name: value for name, value in super().to_json().items() if name != "metrics"}
        return {**fields, **self.metrics.to_json()}


def summarize_run(run: Run) -> RunSummary:
    """Return the summary of a finished run. FototecaError if `done.json` cannot be read."""
    metrics = run.metrics
    interval = metrics.val_interval or wilson_interval(metrics.val_accuracy * metrics.val_images, metrics.val_images)
    return RunSummary(run.id, run.model_name, run.regime, run.manifest_version, interval, metrics)


def summarize_runs(runs: Sequence[Run]) -> list[RunSummary]:
    """Return the summaries of the finished runs among `runs`, by version, then by validation accuracy, best first."""
    summaries = [summarize_run(run) for run in runs if run.done]
    return sorted(summaries, key=lambda row: (row.manifest, -row.metrics.val_accuracy, row.run))


def describe_unfinished(runs: Sequence[Run]) -> list[str]:
    """Return a line for each unfinished run among `runs`: its progress, and the command that resumes it or its abort reason."""
    unfinished = [run for run in runs if not run.done]
    return [
        *(f"not finished: {run.id}{_progress(run)}; resume with: {run.command}" for run in unfinished if not run.abort_reason),
        *(f"aborted: {run.id}{_progress(run)}: {run.abort_reason}" for run in unfinished if run.abort_reason),
    ]


def _progress(run: Run) -> str:
    try:
        epochs, total = len(run.epochs()), run.config.get("epochs")
    except FototecaError:  # a damaged file does not hide the run; resuming writes it again
        return ""
    return f", {epochs} of {total} epochs" if epochs and total else ""


def runs_table(summaries: Sequence[RunSummary]) -> str:
    """Return a table of runs, or a hint if there are none. Ids, which name model and regime, are not wrapped."""
    if not summaries:
        return "no finished runs; try: fototeca train sweep --manifest latest"
    return render_table(RUN_COLUMNS, [_cells(row) for row in summaries], right=RUN_COLUMNS[1:], wrap=False)


def _cells(row: RunSummary) -> tuple[str, ...]:
    low, high = row.val_interval
    metrics = row.metrics
    return (
        row.run,
        f"{metrics.train_accuracy:.1%}",
        f"{metrics.val_accuracy:.1%}",
        f"{100 * low:.1f}–{high:.1%}",
        _abbreviate(metrics.parameters),
        f"{metrics.seconds:.1f}",
    )


def _abbreviate(number: int) -> str:
    """Return a number of parameters in millions or thousands: 44.5M, 312k."""
    return f"{number / 1e6:.1f}M" if number >= 1e6 else f"{number / 1e3:.0f}k" if number >= 1e3 else str(number)
