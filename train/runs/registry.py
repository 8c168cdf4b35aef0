"""Runs on disk: configuration, curves, metrics and predictions. See docs/training.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from fototeca.core.console import notify
from fototeca.core.documents import Document
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_csv, write_text
from fototeca.core.kinds import Problem
from fototeca.core.paths import inside, is_file_name
from fototeca.core.settings import LABEL_SEPARATOR, Task
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, read_manifest
from fototeca.train.runs.fields import CONFIG, METRICS, THRESHOLDS
from fototeca.train.runs.metrics import RunMetrics, software_versions
from fototeca.train.runs.prediction_rows import read_prediction_rows
from fototeca.train.training.metrics_log import read_metrics
from fototeca.vision.feature_math import FloatArray

ABORT_FILE = "aborted.txt"
"""File with the reason of a run that was aborted."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of a run on N images of one split."""

    image_ids: list[str]
    labels: list[str]
    """True labels; multi-label: sorted, joined by `|`."""
    predicted: list[str]
    probabilities: FloatArray
    """(N, C), columns in the order of the run's categories."""


@dataclass(frozen=True)
class Run:
    """One folder below `data/runs`. `config` is its `config.json`."""

    id: str
    folder: Path
    config: dict[str, Any]

    @property
    def model_name(self) -> str:
        """Name of the network; for an ensemble, how it combines its members."""
        return str(self.config["model"])

    @property
    def regime(self) -> str:
        """scratch, features, finetune or ensemble."""
        return str(self.config["regime"])

    @property
    def manifest_version(self) -> str:
        """Version that the run was trained on."""
        return str(self.config["manifest"])

    @property
    def categories(self) -> tuple[str, ...]:
        """Classes in the order of the model's outputs."""
        return tuple(self.config["categories"])

    @property
    def task(self) -> Task:
        """single or multi."""
        return cast(Task, self.config["task"])

    @property
    def done(self) -> bool:
        """True if training is finished."""
        return (self.folder / "done.json").is_file()

    @property
    def abort_reason(self) -> str:
        """Reason of an aborted run in one line; empty for others."""
        path = self.folder / ABORT_FILE
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() and not self.done else ""

    @property
    def metrics(self) -> RunMetrics:
        """Contents of `done.json`. FototecaError if it cannot be read."""
        return RunMetrics.from_json(run_file(self.folder / "done.json").json(METRICS))

    @property
    def digest(self) -> str:
        """Digest of `done.json`, which changes when the run is trained again under the same id."""
        return hashlib.sha256((self.folder / "done.json").read_bytes()).hexdigest()[:16]

    @property
    def command(self) -> str:
        """Shell command that trains this run, or makes this ensemble, again."""
        from fototeca.train.config import train_command

        if "snapshot_of" in self.config:
            return f"fototeca train ensemble {quote(str(self.config['snapshot_of']))}"
        if self.regime == "ensemble":
            members, method = map(quote, self.config.get("of", ())), quote(str(self.config.get("method", "mean")))
            return f"fototeca train ensemble {' '.join(members)} --method {method}"
        return train_command(self.config)

    @cached_property
    def thresholds(self) -> FloatArray:
        """(C,) probability from which a multi-label run predicts a class, chosen on validation; 0.5 before that."""
        path = self.folder / "thresholds.json"
        thresholds = run_file(path).json(THRESHOLDS) if path.exists() else {}
        return np.array([thresholds.get(name, 0.5) for name in self.categories], dtype=np.float32)

    def epochs(self) -> list[dict[str, Any]]:
        """Return the rows of `epochs.csv` as numbers. FototecaError if it cannot be read."""
        return read_metrics(self.folder / "epochs.csv")

    def steps(self) -> list[dict[str, Any]]:
        """Return the rows of `steps.csv` as numbers. FototecaError if it cannot be read."""
        return read_metrics(self.folder / "steps.csv")

    def predictions(self, split: str) -> Predictions:
        """Return the stored predictions on `split`. FototecaError if there are none, or the file cannot be read."""
        path = inside(self.folder, f"predictions-{split}.csv")
        if not path.is_file():
            hint = f"for test, run: fototeca analysis evaluate {quote(self.id)} --split test"
            raise FototecaError(f"run {self.id} has no predictions for {split}", hint)
        rows, values = read_prediction_rows(run_file(path), _prediction_columns(self), self.categories)
        return Predictions([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], values)


def list_runs(workspace: Workspace, *, unfinished: bool = False) -> list[Run]:
    """Return the finished runs by id, with `unfinished` also the others. Damaged ones are skipped with a notice."""
    runs: list[Run] = []
    for path in sorted(workspace.runs.glob("*/config.json")):
        try:
            run = _open_run(path.parent)
            if run.done:
                _ = run.metrics
        except FototecaError as error:
            notify(f"skipped: {error}")
        else:
            runs.append(run)
    return [run for run in runs if run.done or unfinished]


def read_run(workspace: Workspace, run_id: str) -> Run:
    """Return the run with this id. FototecaError if there is none."""
    folder = workspace.runs / run_id
    if not is_file_name(run_id) or not (folder / "config.json").is_file():
        ids = sorted(path.parent.name for path in workspace.runs.glob("*/config.json"))
        raise FototecaError(f"no run {run_id!r}", f"this workspace has: {', '.join(ids[:12])}" if ids else "run: fototeca train")
    return _open_run(folder)


def load_run_manifest(workspace: Workspace, run: Run) -> Manifest:
    """Return the version that the run was trained on. FototecaError if its file has changed; call it before writing anything."""
    manifest = read_manifest(workspace, run.manifest_version)
    check_trained_on(run, manifest)
    return manifest


def check_trained_on(run: Run, manifest: Manifest) -> None:
    """FototecaError unless the run was trained on exactly this manifest; figures would be of other images."""
    if (run.config["manifest_sha256"], run.categories, run.task) != (manifest.sha256, manifest.categories, manifest.task):
        raise FototecaError(
            f"run {run.id} was trained on a different {manifest.version}: {manifest.path.name} has changed since",
            f"restore that file, or train again: fototeca train run --manifest {manifest.version}",
        )


def check_members(workspace: Workspace, run: Run) -> None:
    """FototecaError if a member of an ensemble was trained again later: the ensemble's files are of the earlier one."""
    for name in run.config.get("members", ()):
        if not (workspace.runs / name).is_dir():
            continue  # the ensemble's files are still valid
        member = read_run(workspace, name)
        if "members" in member.config:
            raise FototecaError(f"{name}, a member of {run.id}, is an ensemble itself", f"make {run.id} again from its members")
        if not member.done or member.digest != run.config.get("made_of", {}).get(name):
            raise FototecaError(f"{name} was trained again after {run.id} was made from it", f"make it again: {run.command}")


def _open_run(folder: Path) -> Run:
    document = run_file(folder / "config.json")
    config = document.json(CONFIG)
    if len(config.get("members", ())) != len(config.get("member_weights", ())):
        raise document.error(Problem("member_weights", config.get("member_weights"), "one weight per member"))
    return Run(folder.name, folder, config)


def run_file(path: Path) -> Document:
    """Return a file of a run, to be read."""
    return Document(path, str(path), "delete the run's folder and train it again")


def damaged_file(path: Path) -> FototecaError:
    """Return the error of a run's file that cannot be read."""
    return FototecaError(f"{path} cannot be read", run_file(path).hint)


def write_config(run: Run) -> None:
    """Write `config.json`, which makes the folder a run."""
    write_text(run.folder / "config.json", json.dumps(run.config, ensure_ascii=False, indent=2) + "\n")


def write_done(run: Run, metrics: RunMetrics) -> None:
    """Write `done.json`, the last file of a run, with the versions of the installed software."""
    document = replace(metrics, software=software_versions()).to_json()
    write_text(run.folder / "done.json", json.dumps(document, indent=2) + "\n")


def write_predictions_csv(
    run: Run, split: str, image_ids: Sequence[str], labels: Sequence[str], probabilities: FloatArray
) -> None:
    """Write `predictions-<split>.csv` from probabilities (N, C); predicted labels follow from them and the run's thresholds."""
    predictions = decide_labels(run, probabilities)
    rows = (
        [image_id, label, predicted, *(f"{value:.8g}" for value in row)]
        for image_id, label, predicted, row in zip(image_ids, labels, predictions, probabilities, strict=True)
    )
    write_csv(inside(run.folder, f"predictions-{split}.csv"), _prediction_columns(run), rows)


def _prediction_columns(run: Run) -> list[str]:
    return ["image_id", "label", "predicted", *(f"p:{name}" for name in run.categories)]


def decide_labels(run: Run, probabilities: npt.NDArray[np.floating[Any]]) -> list[str]:
    """Return the predicted label of each row (N, C): the most probable class, or multi-label all that reach their threshold."""
    names = np.array(run.categories, dtype=object)
    if run.task == "single":
        return [str(name) for name in names[probabilities.argmax(axis=1)]]
    return [LABEL_SEPARATOR.join(sorted(names[row >= run.thresholds])) for row in probabilities]
