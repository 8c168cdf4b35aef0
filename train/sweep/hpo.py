"""`train sweep --search N`: hyperparameter search by Optuna, with early stopping of runs below the median."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fototeca.core.console import notify
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig, setting_type
from fototeca.train.errors import TrainingAborted
from fototeca.train.runs import read_run
from fototeca.train.runs.locks import full_disk_as_error, lock_run
from fototeca.train.sweep.plan import Point, describe
from fototeca.train.sweep.results import FailedPoint, SweepResult
from fototeca.train.sweep.workers import as_fototeca_error
from fototeca.train.trainer import train_run
from fototeca.train.training.data import locate_images
from fototeca.train.training.loop import EpochCallback

if TYPE_CHECKING:
    import optuna

SCRATCH_SPACE: Point = {
    "model": "cnn",
    "regime": "scratch",
    "lr": {"low": 5e-4, "high": 2e-2, "log": True},
    "weight_decay": {"low": 1e-3, "high": 0.3, "log": True},
    "augment": ["none", "basic", "trivial"],
    "label_smoothing": [0.0, 0.1],
}
"""Space without a plan."""

FINETUNE_SPACE: Point = {
    "regime": "finetune",
    "lr": {"low": 1e-5, "high": 3e-4, "log": True},
    "layer_decay": {"low": 0.6, "high": 1.0},
    "unfreeze": ["1", "half", "all"],
    "augment": ["basic", "trivial"],
}
"""Space without a plan where --model and --weights name a pretrained network."""

PRUNED_REASON = "stopped early, below the median of the other runs"

DISCARDED = "discarded"
"""User attribute of a trial that does not count, with its cause; its parameters are tried again."""

KILLED, OUTSIDE = "killed", "outside"
"""Causes: the process was killed for the first time; or an external failure, such as an unreachable host or a full disk."""

STARTUP_TRIALS = 4
"""Runs that are trained to their end before any is stopped early: the median needs some."""


class TrialPruned(TrainingAborted):
    """A run of a search was stopped early."""


def search_hyperparameters(
    workspace: Workspace, space: Point | None, version: str, trials: int, weights: tuple[str, str] | None = None
) -> SweepResult:
    """Train up to `trials` runs with settings drawn by TPE (Bergstra et al. 2011).

    After each epoch, a run whose validation accuracy is below the median of the others at that epoch is stopped. The same call
    resumes a search that was killed or that ended with an external failure: missing images or weights, a full disk.

    Args:
        workspace: workspace of the version and the runs.
        space: settings, where a table {low, high, log} is a range, a list a choice and other values are fixed; None for a
            default.
        version: version of the dataset, or latest.
        trials: runs to train.
        weights: (model, file) of the default space for fine-tuning.

    FototecaError without Optuna, if no run succeeds, and for external failures.
    """
    _check_optuna()
    with full_disk_as_error():
        return _search(workspace, space, version, trials, weights)


def _search(workspace: Workspace, space: Point | None, version: str, trials: int, weights: tuple[str, str] | None) -> SweepResult:
    if space is None:
        space = {**FINETUNE_SPACE, "model": weights[0], "weights": weights[1]} if weights else SCRATCH_SPACE
    manifest = read_manifest(workspace, version)
    locate_images(workspace, [row for split in ("train", "val") for row in manifest.split(split)])
    parts = json.dumps([space, manifest.version, manifest.sha256], sort_keys=True)
    name = hashlib.sha256(parts.encode()).hexdigest()[:8]
    with lock_run(workspace, f"search-{name}"):
        study = _open_study(workspace.runs, name)
        while (finished := len(_finished_trials(study))) < trials:
            trial = study.ask()
            point = sample_point(trial, space)
            notify(f"[{finished + 1}/{trials}] {describe(point)}")
            _train_trial(workspace, {"manifest": manifest.version, **point}, trial)
        return _collect_results(workspace, study)


def _train_trial(workspace: Workspace, settings: Point, trial: optuna.Trial) -> None:
    """Train a trial and report its result to the study. FototecaError for an external failure."""
    from optuna.trial import TrialState

    study = trial.study
    try:
        run = train_run(workspace, TrainConfig(**settings), callback=_report_to(trial))
    except TrialPruned as error:
        notify(f"  {error}")
        study.tell(trial, state=TrialState.PRUNED)
    except Exception as error:  # one failed run must not end the others
        reason = as_fototeca_error(error)
        is_external = isinstance(reason, ExternalError)
        trial.set_user_attr(*((DISCARDED, OUTSIDE) if is_external else ("error", str(reason))))
        study.tell(trial, state=TrialState.FAIL)
        if is_external:
            study.enqueue_trial(trial.params)
            raise reason from None
        notify(f"  failed: {reason}")
    else:
        trial.set_user_attr("run", run.id)
        study.tell(trial, run.metrics.val_accuracy)


def sample_point(trial: optuna.Trial, space: Point) -> Point:
    """Return one point of the space."""
    point: Point = {}
    for name, value in space.items():
        if isinstance(value, Mapping):
            suggest = trial.suggest_int if setting_type(name)[0] is int else trial.suggest_float
            point[name] = suggest(name, value["low"], value["high"], log=bool(value.get("log")))
        else:
            point[name] = trial.suggest_categorical(name, value) if isinstance(value, list) else value
    return point


def _report_to(trial: optuna.Trial) -> EpochCallback:
    """Return a callback that reports the accuracy of each epoch to the trial and raises TrialPruned when Optuna prunes it."""

    def report(epoch: int, accuracy: float) -> None:
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise TrialPruned(PRUNED_REASON)

    return report


def _open_study(folder: Path, name: str) -> optuna.Study:
    """Open or create the study; a trial that was killed is tried once again, before new ones."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / f"search-{name}.journal"))),
        study_name=name,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1),
        load_if_exists=True,
    )
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))  # a resumed search must not repeat earlier samples
    killed = [trial.params for trial in study.trials if trial.user_attrs.get(DISCARDED) == KILLED]
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        is_first_kill = trial.params not in killed
        if is_first_kill:
            study.enqueue_trial(trial.params)
        attribute = (DISCARDED, KILLED) if is_first_kill else ("error", "it was killed twice, possibly for lack of memory")
        study._storage.set_trial_user_attr(trial._trial_id, *attribute)  # Optuna has no public API to do this for a running trial
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def _finished_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that count: finished, pruned or failed by themselves."""
    return [trial for trial in study.trials if trial.state.is_finished() and DISCARDED not in trial.user_attrs]


def _collect_results(workspace: Workspace, study: optuna.Study) -> SweepResult:
    """Return the finished runs, best first, and the reasons of the other trials."""
    result = SweepResult()
    for trial in _finished_trials(study):
        point = " ".join(f"{name}={value}" for name, value in trial.params.items())
        if "run" in trial.user_attrs:
            result.runs.append(read_run(workspace, trial.user_attrs["run"]))
        else:
            error = trial.user_attrs.get("error")
            result.failed.append(FailedPoint(point, error or PRUNED_REASON, is_skipped=error is None))
    if not result.runs:
        raise FototecaError("no run of the search succeeded", result.first_reason("use --search 1 or more"))
    result.runs = sorted({run.id: run for run in result.runs}.values(), key=lambda run: -run.metrics.val_accuracy)
    return result


def _check_optuna() -> None:
    if find_spec("optuna") is None:
        raise FototecaError("--search needs optuna", "run: pip install 'fototeca[search]'")
