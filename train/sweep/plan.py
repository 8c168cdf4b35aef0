"""`train sweep`: many runs from one plan, one table at the end; a run that fails is told and does not end the others."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fototeca.core.console import notify
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig, check_value, setting_type
from fototeca.train.runs import Run
from fototeca.train.sweep.workers import jobs_at_once, train_each
from fototeca.train.training.data import check_manifest
from fototeca.vision.backbones import check_model
from fototeca.vision.weights import best_weights, find_weights

Point = dict[str, Any]

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
"""What is trained when no plan is given and the weights can be had."""

SMALL = ("resnet18", "mobilenet_v3_small", "regnet_y_400mf", "efficientnet_b0", "squeezenet1_1", "squeezenet1_0", "resnet50")
"""What to look for on disk when the default plan's weights cannot be had."""

LEAST = 6
"""Runs that the default plan has at least, whatever weights there are."""


PREVIOUS = "previous"
"""As `weights` in a plan: those of the last run before it with equal other settings."""

RUNG = ("regime", "weights", "unfreeze")
"""What a run that starts from another one may have other than that one has."""


@dataclass
class Outcome:
    """What a sweep has trained, and what it has not, with the reason."""

    runs: list[Run] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def fail(self, name: str, error: FototecaError) -> None:
        """Note and say that a point failed."""
        notify(f"  {name} failed: {error}")
        self.failed.append((name, str(error)))


def sweep(
    workspace: Workspace,
    plan: Sequence[Point] | None,
    version: str,
    *,
    weights: tuple[str, str] | None = None,
    jobs: int | None = None,
) -> Outcome:
    """Train every point of the plan on a version; None is the default plan for the weights at hand.

    `weights`: (model, file) to use where the default plan's cannot be had. `jobs`: runs at once; None is what the machine
    allows. FototecaError when no run succeeds, and before anything is planned when none could learn from the version.
    """
    version = _version(workspace, version)
    outcome = Outcome()
    points = list(plan) if plan is not None else default_plan(workspace, version, weights, outcome)
    Ladder(workspace, version, points, outcome).train(jobs)
    if not outcome.runs:
        raise FototecaError("no run of the plan succeeded", outcome.failed[0][1] if outcome.failed else "the plan is empty")
    outcome.runs.sort(key=lambda run: -run.facts["val_accuracy"])
    return outcome


def _version(workspace: Workspace, version: str) -> str:
    """The version by its name, `latest` too: a freeze meanwhile changes nothing. FototecaError as of any run on it."""
    manifest = read_manifest(workspace, version)
    check_manifest(manifest, workspace.settings.task)
    return manifest.version


class Ladder:
    """The points of a plan, and which of them start from which."""

    def __init__(self, workspace: Workspace, version: str, points: Sequence[Point], outcome: Outcome) -> None:
        self.workspace, self.version, self.points, self.outcome = workspace, version, points, outcome
        self.before = [_before(points, number) for number in range(len(points))]
        self.ended: dict[int, Run | FototecaError] = {}

    def train(self, jobs: int | None) -> None:
        """Train all, those that start from no other one first and side by side, then those that start from these."""
        waiting = list(range(len(self.points)))
        while waiting:
            ready = [number for number in waiting if self.before[number] is None or self.before[number] in self.ended]
            self._train(ready, jobs)
            waiting = [number for number in waiting if number not in ready]

    def _train(self, numbers: Sequence[int], jobs: int | None) -> None:
        """Train some points, of equal ones the first, and note what came of each."""
        configs: dict[TrainConfig, int] = {}
        for number in numbers:
            try:
                configs.setdefault(self._config(number).resolved(), number)
            except FototecaError as error:
                self._end(number, error)
        if not configs:
            return
        at_once = min(jobs or jobs_at_once(), len(configs))
        named = ", ".join(describe(self.points[number]) for number in configs.values())
        notify(f"training {named}" + (f" ({at_once} at once)" if at_once > 1 else ""))
        for number, result in zip(configs.values(), train_each(self.workspace, list(configs), at_once), strict=True):
            self._end(number, result)
        for number in set(numbers) - self.ended.keys():
            self.ended[number] = self.ended[configs[self._config(number).resolved()]]

    def _config(self, number: int) -> TrainConfig:
        """The settings of a point, with the run before it in the place of `weights = "previous"`."""
        point = {"manifest": self.version, **self.points[number]}
        if point.get("weights") == PREVIOUS:
            before = self.before[number]
            if before is None:
                hint = f"one that differs in {', '.join(RUNG)} alone must stand above it, or name its weights"
                raise FototecaError("there is no run before it to start from", hint)
            start = self.ended[before]
            if isinstance(start, FototecaError):
                raise FototecaError("the run before it, from which it starts, failed", "mend that one first")
            point["weights"] = f"run:{start.id}"
        return TrainConfig(**point)

    def _end(self, number: int, result: Run | FototecaError) -> None:
        self.ended[number] = result
        if isinstance(result, FototecaError):
            self.outcome.fail(describe(self.points[number]), result)
        elif result.id not in [run.id for run in self.outcome.runs]:  # weights of one file may have several names
            self.outcome.runs.append(result)
            notify(f"  {result.id}: {result.facts['val_accuracy']:.1%} on validation")


def _before(points: Sequence[Point], number: int) -> int | None:
    """The point that this one starts from: the last one above it whose settings, where both have them, are the same."""
    point = points[number]
    if point.get("weights") != PREVIOUS:
        return None
    for other in reversed(range(number)):
        if all(points[other][name] == point[name] for name in points[other].keys() & point.keys() - set(RUNG)):
            return other
    return None


def default_plan(workspace: Workspace, version: str, weights: tuple[str, str] | None, outcome: Outcome) -> list[Point]:
    """The default plan, fitted to the weights that can be had; what is left out goes to `outcome.failed`."""
    kept = _to_be_had(outcome)
    if len(kept) >= LEAST:
        return kept
    weights = weights or _on_disk()
    if weights is None:
        notify("no pretrained weights at all: the project's own network is trained first and lends its weights")
        (first,) = train_each(workspace, [TrainConfig(manifest=version, model="cnn", regime="scratch")], 1)
        if isinstance(first, FototecaError):
            notify(f"  failed: {first}")
            return kept
        weights = ("cnn", f"run:{first.id}")
    model, file = weights
    notify(f"instead of what is left out: {model} with {file}")
    base = {"model": model, "weights": file}
    heads = [{**base, "regime": "features", "head": head} for head in ("linear", "logistic", "svm", "boosting")]
    instead = [*heads, {**base, "regime": "finetune", "unfreeze": "2"}, {**base, "regime": "finetune"}]
    return [*kept, *(point for point in instead if {**point, "weights": None} not in [{**old, "weights": None} for old in kept])]


def _to_be_had(outcome: Outcome) -> list[Point]:
    """The points of the default plan whose weights can be had; of the others it is said which file they lack and why."""
    kept: list[Point] = []
    reachable = True  # a host that did not answer is not asked again for the next file
    for point in DEFAULT_PLAN:
        try:
            if point["regime"] != "scratch":
                find_weights(point["model"], "DEFAULT", fetch=reachable)
        except FototecaError as error:
            reachable = reachable and error.exit_code != EXIT_OUTSIDE
            notify(f"left out: {describe(point)}: {error}")
            outcome.failed.append((describe(point), f"left out: {error}"))
        else:
            kept.append(point)
    return kept


def _on_disk() -> tuple[str, str] | None:
    """A small model whose weights torchvision has fetched before, and they are what they should be."""
    for model in SMALL:
        name = best_weights(model)
        with suppress(FototecaError):
            if name and find_weights(model, name, fetch=False):
                return model, name
    return None


def describe(point: Point) -> str:
    """A point in a few words."""
    extra = [f"{name}={value}" for name, value in point.items() if name not in ("model", "regime")]
    return " ".join([str(point["model"]), str(point["regime"]), *extra])


def read_plan(path: Path) -> list[Point]:
    """The points of a TOML plan: `[[run]]` tables over the keys above them; a list in either makes a grid.

    FototecaError for a file that is no plan and for settings that do not exist.
    """
    document = _read_toml(path)
    tables = document.pop("run", [{}])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise FototecaError(f"{path}: run is no list of tables", "write each run as [[run]], in double brackets")
    return [point for table in tables for point in grid(_check(path, {**document, **table}))]


def read_space(path: Path) -> Point:
    """The space of a TOML plan for a search: a list is a choice, a table {low, high, log} a range, all else fixed."""
    document = _read_toml(path)
    if "run" in document:
        raise FototecaError(f"{path}: a search has no [[run]] tables", "write choices as lists, ranges as {low = …, high = …}")
    return _check(path, document, ranges=True)


def _read_toml(path: Path) -> Point:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FototecaError(f"{path} cannot be read: {error}", "write TOML: see docs/training.md") from None


def _check(path: Path, table: Point, *, ranges: bool = False) -> Point:
    """The table, if all its settings exist and can have these values. `ranges`: as {low, high, log} too."""
    known = {item.name for item in fields(TrainConfig)} - {"manifest"}
    strange = table.keys() - known
    if strange or not {"model", "regime"} <= table.keys():
        wrong = f"unknown setting {sorted(strange)[0]!r}" if strange else "a run without model or regime"
        raise FototecaError(f"{path}: {wrong}", f"settings are: {', '.join(sorted(known))}")
    for name, value in table.items():
        _check_setting(path, name, value, ranges=ranges)
    return table


def _check_setting(path: Path, name: str, value: object, *, ranges: bool) -> None:
    if isinstance(value, dict):
        if not ranges:
            raise FototecaError(f"{path}: {name} is a range", "write a list, or draw from it with --search N")
        if not _is_range(name, value):
            raise FototecaError(f"{path}: {name} is no range", "write it as {low = 1e-5, high = 1e-3, log = true}")
        value = [value["low"], value["high"]]
    if value == []:
        raise FototecaError(f"{path}: {name} has no choices", "name one or more, or leave it out")
    try:
        for one in value if isinstance(value, list) else [value]:
            checked = check_value(name, one)
            if name == "model":
                check_model(checked)
    except FototecaError as error:
        raise FototecaError(f"{path}: {error.message}", error.hint) from None


def _is_range(name: str, value: Point) -> bool:
    """Whether it is {low, high} of a setting that is a number, from the lower to the higher, above 0 where it is `log`."""
    if not {"low", "high"} <= value.keys() <= {"low", "high", "log"} or not isinstance(value.get("log", False), bool):
        return False
    kinds = (int,) if setting_type(name)[0] is int else (int, float) if setting_type(name)[0] is float else ()
    low, high = value["low"], value["high"]
    return type(low) in kinds and type(high) in kinds and low <= high and (low > 0 or not value.get("log"))


def grid(table: Point) -> Iterator[Point]:
    """Every combination of the lists among a table's values."""
    choices = [value if isinstance(value, list) else [value] for value in table.values()]
    for chosen in itertools.product(*choices):
        yield dict(zip(table, chosen, strict=True))
