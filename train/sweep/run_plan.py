"""`train sweep`: train every point of a plan; a failed run does not end the others."""

from __future__ import annotations

from collections.abc import Sequence

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run
from fototeca.train.sweep.default_plan import make_default_plan
from fototeca.train.sweep.plan import Point, describe
from fototeca.train.sweep.results import SweepResult
from fototeca.train.sweep.workers import default_jobs, train_each
from fototeca.train.training.data import check_manifest

PREVIOUS = "previous"
"""Value of `weights` in a plan: those of the last run before it with otherwise equal settings."""

CHAIN_SETTINGS = ("regime", "weights", "unfreeze")
"""Settings in which a run may differ from the previous run whose weights it uses."""


def sweep(
    workspace: Workspace,
    plan: Sequence[Point] | None,
    version: str,
    *,
    weights: tuple[str, str] | None = None,
    jobs: int | None = None,
) -> SweepResult:
    """Train every point of a plan on a version.

    Args:
        workspace: workspace of the version and the runs.
        plan: points; None is the default plan for the available weights.
        version: version of the dataset, or latest.
        weights: (model, file) to use where weights of the default plan are not available.
        jobs: runs in parallel; None is as many as the machine has resources for.

    FototecaError if no run succeeds, and at once if the version cannot be trained on.

    Example:
        sweep(workspace, [{"model": "cnn", "regime": "scratch", "lr": lr} for lr in (1e-3, 1e-2)], "v001").runs
    """
    version = _pin_version(workspace, version)
    result = SweepResult()

    def train(config: TrainConfig) -> Run | FototecaError:
        return next(train_each(workspace, [config], 1))

    points = list(plan) if plan is not None else make_default_plan(version, weights, result, train)
    PlanRunner(workspace, version, points, result).train(jobs)
    if not result.runs:
        raise FototecaError("no run of the plan succeeded", result.first_reason("the plan is empty"))
    result.runs.sort(key=lambda run: -run.metrics.val_accuracy)
    return result


def _pin_version(workspace: Workspace, version: str) -> str:
    """Return the version's name, so that `latest` stays the same during the sweep. FototecaError if it cannot be trained on."""
    manifest = read_manifest(workspace, version)
    check_manifest(manifest, workspace.settings.task)
    return manifest.version


class PlanRunner:
    """Trains the points of a plan in the order of their dependencies."""

    def __init__(self, workspace: Workspace, version: str, points: Sequence[Point], result: SweepResult) -> None:
        self.workspace, self.version, self.points, self.result = workspace, version, points, result
        self.previous = [_find_previous(points, number) for number in range(len(points))]
        self.finished: dict[int, Run | FototecaError] = {}

    def train(self, jobs: int | None) -> None:
        """Train all points: first those without a previous run, in parallel, then those that start from them."""
        waiting = list(range(len(self.points)))
        while waiting:
            ready = [number for number in waiting if self.previous[number] is None or self.previous[number] in self.finished]
            self._train(ready, jobs)
            waiting = [number for number in waiting if number not in ready]

    def _train(self, numbers: Sequence[int], jobs: int | None) -> None:
        """Train some points, each configuration once, and record their results."""
        configs: dict[TrainConfig, int] = {}
        for number in numbers:
            try:
                configs.setdefault(self._make_config(number).resolved(), number)
            except FototecaError as error:
                self._record(number, error)
        if not configs:
            return
        parallel = min(jobs or default_jobs(), len(configs))
        names = ", ".join(describe(self.points[number]) for number in configs.values())
        notify(f"training {names}" + (f" ({parallel} in parallel)" if parallel > 1 else ""))
        for number, run in zip(configs.values(), train_each(self.workspace, list(configs), parallel), strict=True):
            self._record(number, run)
        for number in set(numbers) - self.finished.keys():
            self.finished[number] = self.finished[configs[self._make_config(number).resolved()]]

    def _make_config(self, number: int) -> TrainConfig:
        """Return the settings of a point, with `weights = "previous"` replaced by the previous run."""
        point = {"manifest": self.version, **self.points[number]}
        if point.get("weights") == PREVIOUS:
            previous = self.previous[number]
            if previous is None:
                hint = f"put a run above it that differs in {', '.join(CHAIN_SETTINGS)} only, or name its weights"
                raise FototecaError("there is no previous run to start from", hint)
            start = self.finished[previous]
            if isinstance(start, FototecaError):
                raise FototecaError("the previous run, from which it starts, failed", "fix that run first")
            point["weights"] = f"run:{start.id}"
        return TrainConfig(**point)

    def _record(self, number: int, run: Run | FototecaError) -> None:
        self.finished[number] = run
        if isinstance(run, FototecaError):
            self.result.add_error(describe(self.points[number]), run)
        elif run.id not in [finished.id for finished in self.result.runs]:  # weights of one file may have several names
            self.result.runs.append(run)
            notify(f"  {run.id}: {run.metrics.val_accuracy:.1%} on validation")


def _find_previous(points: Sequence[Point], number: int) -> int | None:
    """Return the last point above this one with the same value of every setting that both have, CHAIN_SETTINGS excepted."""
    point = points[number]
    if point.get("weights") != PREVIOUS:
        return None
    for candidate in reversed(range(number)):
        shared = points[candidate].keys() & point.keys() - set(CHAIN_SETTINGS)
        if all(points[candidate][name] == point[name] for name in shared):
            return candidate
    return None
