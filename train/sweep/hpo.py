"""`train sweep --search N`: settings drawn by Optuna from a stated space; runs that fall behind are stopped early."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fototeca.core.console import notify
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig, setting_type
from fototeca.train.errors import TrainingAborted
from fototeca.train.runs import read_run
from fototeca.train.runs.locks import full_disk_as_error, lock_run
from fototeca.train.sweep.plan import Outcome, Point, describe
from fototeca.train.sweep.workers import told
from fototeca.train.trainer import train_run
from fototeca.train.training.data import locate_images

if TYPE_CHECKING:
    import optuna

Space = dict[str, Any]

SCRATCH_SPACE: Space = {
    "model": "cnn",
    "regime": "scratch",
    "lr": {"low": 5e-4, "high": 2e-2, "log": True},
    "weight_decay": {"low": 1e-3, "high": 0.3, "log": True},
    "augment": ["none", "basic", "trivial"],
    "label_smoothing": [0.0, 0.1],
}
"""What is searched without a plan."""

FINETUNE_SPACE: Space = {
    "regime": "finetune",
    "lr": {"low": 1e-5, "high": 3e-4, "log": True},
    "layer_decay": {"low": 0.6, "high": 1.0},
    "unfreeze": ["1", "half", "all"],
    "augment": ["basic", "trivial"],
}
"""What is searched without a plan when --model and --weights name a pretrained network."""

BEHIND = "stopped early, behind the median of the others"

VOID = "void"
"""Attribute of a draw that counts for nothing, and why; its settings are drawn again."""

KILLED, OUTSIDE = "killed", "outside"
"""A kill has cut it short for the first time; or what failed lies outside, such as a host of weights or a full disk."""

STARTUP = 4
"""Runs that are trained to their end before any is stopped early: a median needs some."""


class TrialPruned(TrainingAborted):
    """A run was stopped early."""


def search(
    workspace: Workspace, space: Space | None, version: str, trials: int, weights: tuple[str, str] | None = None
) -> Outcome:
    """Train up to `trials` runs with settings drawn by TPE (Bergstra et al. 2011), the best first.

    In `space` a table {low, high, log} is a range, a list a choice, all else is fixed. After each epoch a run whose validation
    accuracy is below the median of the others at that epoch is stopped. The same command goes on where it was stopped, by a kill
    or by what is wrong outside: images that are gone, weights that cannot be fetched, a full disk.
    """
    _check_optuna()
    with full_disk_as_error():
        return _search(workspace, space, version, trials, weights)


def _search(workspace: Workspace, space: Space | None, version: str, trials: int, weights: tuple[str, str] | None) -> Outcome:

    if space is None:
        space = {**FINETUNE_SPACE, "model": weights[0], "weights": weights[1]} if weights else SCRATCH_SPACE
    manifest = read_manifest(workspace, version)
    locate_images(workspace, [row for split in ("train", "val") for row in manifest.split(split)])
    parts = json.dumps([space, manifest.version, manifest.sha256], sort_keys=True)
    name = hashlib.sha256(parts.encode()).hexdigest()[:8]
    with lock_run(workspace, f"search-{name}"):
        study = _study(workspace.runs, name)
        while (over := len(_over(study))) < trials:
            trial = study.ask()
            point = draw(trial, space)
            notify(f"[{over + 1}/{trials}] {describe(point)}")
            _train(workspace, {"manifest": manifest.version, **point}, trial)
        return _collect(workspace, study)


def _train(workspace: Workspace, settings: Point, trial: optuna.Trial) -> None:
    """Train what was drawn, and tell the study what came of it. FototecaError for what is wrong outside."""
    from optuna.trial import TrialState

    study = trial.study
    try:
        run = train_run(workspace, TrainConfig(**settings), callback=_report_to(trial))
    except TrialPruned as error:
        notify(f"  {error}")
        study.tell(trial, state=TrialState.PRUNED)
    except Exception as error:  # whatever ends one run must not end the others
        reason = told(error)
        outside = reason.exit_code == EXIT_OUTSIDE
        trial.set_user_attr(*((VOID, OUTSIDE) if outside else ("error", str(reason))))
        study.tell(trial, state=TrialState.FAIL)
        if outside:
            study.enqueue_trial(trial.params)
            raise reason from None
        notify(f"  failed: {reason}")
    else:
        trial.set_user_attr("run", run.id)
        study.tell(trial, run.facts["val_accuracy"])


def draw(trial: optuna.Trial, space: Space) -> Point:
    """One point of the space."""
    point: Point = {}
    for name, value in space.items():
        if isinstance(value, Mapping):
            number = trial.suggest_int if setting_type(name)[0] is int else trial.suggest_float
            point[name] = number(name, value["low"], value["high"], log=bool(value.get("log")))
        else:
            point[name] = trial.suggest_categorical(name, value) if isinstance(value, list) else value
    return point


def _report_to(trial: optuna.Trial) -> Any:  # noqa: ANN401  (a callback)
    def report(epoch: int, accuracy: float) -> None:
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise TrialPruned(BEHIND)

    return report


def _study(folder: Path, name: str) -> optuna.Study:
    """The study of this name, from its journal; a draw that a kill has cut short is taken up first, once."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / f"search-{name}.journal"))),
        study_name=name,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1),
        load_if_exists=True,
    )
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))  # going on must not draw again what was drawn
    killed = [trial.params for trial in study.trials if trial.user_attrs.get(VOID) == KILLED]
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        again = trial.params not in killed
        if again:
            study.enqueue_trial(trial.params)
        mark = (VOID, KILLED) if again else ("error", "it was killed twice, perhaps for memory")
        study._storage.set_trial_user_attr(trial._trial_id, *mark)  # Optuna has no public way to mark a running draw
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def _over(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The draws that have come to an end of their own."""
    return [trial for trial in study.trials if trial.state.is_finished() and VOID not in trial.user_attrs]


def _collect(workspace: Workspace, study: optuna.Study) -> Outcome:
    """The finished runs, the best first, and why the others are not."""
    outcome = Outcome()
    for trial in _over(study):
        drawn = " ".join(f"{name}={value}" for name, value in trial.params.items())
        if "run" in trial.user_attrs:
            outcome.runs.append(read_run(workspace, trial.user_attrs["run"]))
        else:
            outcome.failed.append((drawn, trial.user_attrs.get("error", f"left out: {BEHIND}")))
    if not outcome.runs:
        raise FototecaError("no run of the search succeeded", outcome.failed[0][1] if outcome.failed else "ask for one or more")
    outcome.runs = sorted({run.id: run for run in outcome.runs}.values(), key=lambda run: -run.facts["val_accuracy"])
    return outcome


def _check_optuna() -> None:
    if find_spec("optuna") is None:
        raise FototecaError("--search needs optuna", "run: pip install 'fototeca[search]'")
