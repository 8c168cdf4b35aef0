"""Runs on disk, for every floor above: what was trained on what, its curves, its predictions, its model. See docs/training.md."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_bytes, write_text
from fototeca.core.settings import LABEL_SEPARATOR, Task
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, read_manifest
from fototeca.train.runs.inference import BATCH_SIZE as BATCH_SIZE  # this module is what other packages know of runs
from fototeca.train.runs.inference import FloatArray as FloatArray
from fototeca.train.runs.inference import LoadedEnsemble as LoadedEnsemble
from fototeca.train.runs.inference import LoadedModel as LoadedModel
from fototeca.train.runs.inference import to_probabilities as to_probabilities
from fototeca.train.training.metrics_log import read_metrics

if TYPE_CHECKING:
    import torch

SOFTWARE_PACKAGES = ("fototeca", "torch", "torchvision", "scikit-learn")
"""The packages whose versions are kept with a run."""

REQUIRED_CONFIG = ("model", "regime", "manifest", "manifest_sha256", "task", "categories")
"""What every `config.json` tells."""

REQUIRED_METRICS = ("train_accuracy", "val_accuracy", "val_images", "parameters", "seconds", "images_per_second")
"""What every `done.json` tells."""


ABORT_FILE = "stopped.txt"
"""File of a run that was given up: why."""


@dataclass(frozen=True)
class Predictions:
    """What a run says about N images of one split."""

    image_ids: list[str]
    labels: list[str]
    """What is true; multi-label: sorted, joined by `|`."""
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
        """The network; for an ensemble, how it joins its members."""
        return str(self.config["model"])

    @property
    def regime(self) -> str:
        """scratch, features, finetune or ensemble."""
        return str(self.config["regime"])

    @property
    def manifest_version(self) -> str:
        """The version it was trained on."""
        return str(self.config["manifest"])

    @property
    def categories(self) -> tuple[str, ...]:
        """The classes, in the order of the model's outputs."""
        return tuple(self.config["categories"])

    @property
    def task(self) -> Task:
        """single or multi."""
        return cast(Task, self.config["task"])

    @property
    def done(self) -> bool:
        """Whether training has come to its end."""
        return (self.folder / "done.json").is_file()

    @property
    def given_up(self) -> str:
        """Why it is not to go on, in one line; empty for others."""
        path = self.folder / ABORT_FILE
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() and not self.done else ""

    @property
    def facts(self) -> dict[str, Any]:
        """`done.json`: train_accuracy, val_accuracy, parameters, seconds and more. FototecaError when it cannot be read."""
        return _document(self.folder / "done.json")

    @property
    def digest(self) -> str:
        """Changes when the run is trained again under the same id."""
        return hashlib.sha256((self.folder / "done.json").read_bytes()).hexdigest()[:16]

    @property
    def command(self) -> str:
        """What trains, or joins, this run again."""
        from fototeca.train.config import train_command

        if "snapshot_of" in self.config:
            return f"fototeca train ensemble {self.config['snapshot_of']}"
        if self.regime == "ensemble":
            return f"fototeca train ensemble {' '.join(self.config['of'])} --method {self.config['method']}"
        return train_command(self.config)

    @cached_property
    def thresholds(self) -> FloatArray:
        """(C,) the probability from which a multi-label run says yes, chosen on validation; one half until then."""
        path = self.folder / "thresholds.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            return np.array([found.get(name, 0.5) for name in self.categories], dtype=np.float32)
        except (AttributeError, TypeError, ValueError):
            raise _damaged(path) from None

    def epochs(self) -> list[dict[str, Any]]:
        """The rows of `epochs.csv`, cells as numbers. FototecaError when it cannot be read."""
        return read_metrics(self.folder / "epochs.csv")

    def steps(self) -> list[dict[str, Any]]:
        """The rows of `steps.csv`, cells as numbers. FototecaError when it cannot be read."""
        return read_metrics(self.folder / "steps.csv")

    def predictions(self, split: str) -> Predictions:
        """What the run says about `split`. FototecaError when it has not been asked, or its file cannot be read."""
        path = self.folder / f"predictions-{split}.csv"
        if not path.is_file():
            known = f"for test: fototeca analysis evaluate {self.id} --split test"
            raise FototecaError(f"run {self.id} has no predictions for {split}", known)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                head, *rows = csv.reader(file)
            if head != _columns(self):
                raise ValueError
            values = np.array([row[3:] for row in rows], dtype=np.float32).reshape(len(rows), len(self.categories))
            return Predictions([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], values)
        except (OSError, ValueError, IndexError, csv.Error):
            raise _damaged(path) from None


def list_runs(workspace: Workspace, *, unfinished: bool = False) -> list[Run]:
    """The runs, by id; only finished ones unless asked. Damaged ones are said."""
    found: list[Run] = []
    for path in sorted(workspace.runs.glob("*/config.json")):
        try:
            run = _open(path.parent)
            if run.done:
                _document(path.with_name("done.json"), REQUIRED_METRICS)
        except FototecaError as error:
            notify(f"left out: {error}")
        else:
            found.append(run)
    return [run for run in found if run.done or unfinished]


def read_run(workspace: Workspace, run_id: str) -> Run:
    """The run of this id. FototecaError when there is none."""
    folder = workspace.runs / run_id
    if "/" in run_id or not (folder / "config.json").is_file():
        known = sorted(path.parent.name for path in workspace.runs.glob("*/config.json"))
        raise FototecaError(
            f"no run {run_id!r}", f"this workspace has: {', '.join(known[:12])}" if known else "run: fototeca train"
        )
    return _open(folder)


def load_run_manifest(workspace: Workspace, run: Run) -> Manifest:
    """The version that the run learned from. FototecaError when its file is another now: ask before anything is written."""
    manifest = read_manifest(workspace, run.manifest_version)
    check_trained_on(run, manifest)
    return manifest


def check_trained_on(run: Run, manifest: Manifest) -> None:
    """FototecaError unless the run learned from this very manifest: else every figure would be of other images."""
    if run.config["manifest_sha256"] != manifest.sha256:
        raise FototecaError(
            f"run {run.id} was trained on another {manifest.version} than {manifest.path.name} is now",
            f"bring that file back, or train again: fototeca train run --manifest {manifest.version}",
        )


def check_members(workspace: Workspace, run: Run) -> None:
    """FototecaError when a run that an ensemble asks was trained again since: what was kept of the ensemble is of another one."""
    for name in run.config.get("members", ()):
        member = Run(name, workspace.runs / name, {})
        if not member.folder.is_dir():
            continue  # what was kept of the ensemble is still of it
        if not member.done or member.digest != run.config.get("made_of", {}).get(name):
            raise FototecaError(f"{name} was trained again since {run.id} was made of it", f"join them again: {run.command}")


def _open(folder: Path) -> Run:
    return Run(folder.name, folder, _document(folder / "config.json", REQUIRED_CONFIG))


def _document(path: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """The object in a run's own JSON file. FototecaError when it is none, or lacks what every one has."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise _damaged(path) from None
    if not isinstance(found, dict) or not set(needed) <= found.keys():
        raise _damaged(path)
    return found


def _damaged(path: Path) -> FototecaError:
    return FototecaError(f"{path} cannot be read", "delete the run's folder and train it again")


def write_config(run: Run) -> None:
    """Write `config.json`, which makes the folder a run."""
    write_text(run.folder / "config.json", json.dumps(run.config, ensure_ascii=False, indent=2) + "\n")


def software_versions() -> dict[str, str]:
    """The versions at hand of what figures depend on besides a run's settings."""
    return {"python": platform.python_version(), **{name: installed_version(name) for name in SOFTWARE_PACKAGES}}


def write_done(run: Run, facts: Mapping[str, Any]) -> None:
    """Write `done.json`, last of all, with the versions of what made the run."""
    write_text(run.folder / "done.json", json.dumps({**facts, "software": software_versions()}, indent=2) + "\n")


def write_predictions_csv(
    run: Run, split: str, image_ids: Sequence[str], labels: Sequence[str], probabilities: FloatArray
) -> None:
    """Write `predictions-<split>.csv` from probabilities (N, C); what is said follows from them and the run's thresholds."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns(run))
    for image_id, label, said, row in zip(image_ids, labels, decide_labels(run, probabilities), probabilities, strict=True):
        writer.writerow([image_id, label, said, *(f"{value:.8g}" for value in row)])
    write_bytes(run.folder / f"predictions-{split}.csv", text.getvalue().encode("utf-8"))


def _columns(run: Run) -> list[str]:
    """The first line of `predictions-<split>.csv`."""
    return ["image_id", "label", "predicted", *(f"p:{name}" for name in run.categories)]


def decide_labels(run: Run, probabilities: npt.NDArray[np.floating[Any]]) -> list[str]:
    """What each row of probabilities says: the most probable category, or all that reach their threshold."""
    names = np.array(run.categories, dtype=object)
    if run.task == "single":
        return [str(name) for name in names[probabilities.argmax(axis=1)]]
    return [LABEL_SEPARATOR.join(sorted(names[row >= run.thresholds])) for row in probabilities]


def load_model(workspace: Workspace, run: Run) -> LoadedModel:
    """The run's model. FototecaError when it is not finished or its file is damaged."""
    from fototeca.train.heads.tree_arrays import BoostedTrees
    from fototeca.vision.backbones import Preprocessing, build_model

    if not run.done:
        raise FototecaError(f"run {run.id} is not finished", "give its train command again: it goes on where it stopped")
    if "members" in run.config:
        check_members(workspace, run)
        gone = [name for name in run.config["members"] if not (workspace.runs / name).is_dir()]
        if gone:
            raise FototecaError(f"{run.id} asks {gone[0]}, which is gone", "train that run again, and join them again")
        members = [load_model(workspace, read_run(workspace, name)) for name in run.config["members"]]
        return cast(LoadedModel, LoadedEnsemble(members, run.config["member_weights"]))
    network = build_model(run.model_name, 1 if run.config["head"] == "boosting" else len(run.categories))[0]
    state = read_tensors(run)
    try:
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith("boosting.")})
    except RuntimeError:
        raise _damaged(run.folder / "model.safetensors") from None
    arrays = {key: value.numpy() for key, value in state.items() if key.startswith("boosting.")}
    if run.config["transform_input"]:
        setattr(network, "transform_input", True)  # noqa: B010  (nn.Module types attributes as tensors)
    preprocessing = Preprocessing.from_dict(run.config["preprocessing"])
    return LoadedModel(run.task == "multi", network.eval(), preprocessing, BoostedTrees.from_arrays(arrays) if arrays else None)


def read_tensors(run: Run) -> dict[str, torch.Tensor]:
    """What `model.safetensors` holds. FototecaError when it is damaged or gone."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = run.folder / "model.safetensors"
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError):
        raise _damaged(path) from None
