"""`train ensemble`: combine runs of one version, by their predictions or by their weights."""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run, load_run_manifest, read_run
from fototeca.train.runs.inference import to_probabilities
from fototeca.train.runs.load import read_tensors
from fototeca.train.runs.locks import full_disk_as_error
from fototeca.train.runs.metrics import RunMetrics
from fototeca.train.runs.registry import Predictions, write_config, write_done
from fototeca.train.runs.weights_io import save_model
from fototeca.train.runs.write_predictions import write_predictions
from fototeca.train.training.data import ImageDataset, encode_labels, locate_images
from fototeca.train.training.device import make_fabric
from fototeca.train.training.losses import evaluate
from fototeca.train.training.predict import as_float64, predict
from fototeca.vision.backbones import build_model
from fototeca.vision.feature_math import DoubleArray, FloatArray
from fototeca.vision.loading import load_own
from fototeca.vision.preprocessing import Preprocessing
from fototeca.vision.weights import file_sha256

Method = Literal["mean", "weighted", "soup"]

SELECTION_ROUNDS = 40
"""Members that the weighted mean selects, with repeats (Caruana et al. 2004)."""

SPLITS = ("train", "val")


def make_ensemble(workspace: Workspace, names: Sequence[str], method: Method = "mean") -> Run:
    """Combine runs, or the snapshots of a single run (Huang et al. 2017), into a finished run with an id of its own.

    FototecaError if the runs are of different versions or cannot be combined.

    Example:
        make_ensemble(workspace, ["cnn-scratch-v001-7d1e02", "resnet18-finetune-v001-91c0aa"], "weighted")
    """
    with full_disk_as_error():
        return _make_ensemble(workspace, names, method)


def _make_ensemble(workspace: Workspace, names: Sequence[str], method: Method) -> Run:
    start = time.perf_counter()
    members = [read_run(workspace, name) for name in dict.fromkeys(names)]
    manifest = load_run_manifest(workspace, members[0])
    if len(members) == 1 and members[0].done and (paths := sorted(members[0].folder.glob("snapshot-*.pt"))):
        members = [_make_snapshot_run(workspace, members[0], path, manifest) for path in paths]
    _check_members(members)
    digest = hashlib.sha256("/".join([method, *sorted(run.id for run in members)]).encode()).hexdigest()[:6]
    name = f"{method}-ensemble-{manifest.version}-{digest}"
    made_of = {member.id: member.digest for member in members}
    run = Run(name, workspace.runs / name, {"of": list(names), "made_of": made_of})
    if not _is_up_to_date(workspace, name, made_of):
        _remove_results(run)
        if method == "soup":
            _make_soup(workspace, run, members, manifest, start)
        else:
            _average_predictions(run, members, manifest, method, start)
    return read_run(workspace, name)


def _is_up_to_date(workspace: Workspace, name: str, made_of: Mapping[str, str]) -> bool:
    """Return True if a run is finished and was made of these sources, by digest: a member may be trained again."""
    if not (workspace.runs / name / "config.json").is_file():
        return False
    run = read_run(workspace, name)
    return run.done and run.config.get("made_of") == made_of


def _remove_results(run: Run) -> None:
    """Remove the mark of a finished run and its test predictions, before it is made again from other sources."""
    for name in ("done.json", "predictions-test.csv"):
        (run.folder / name).unlink(missing_ok=True)


def _check_members(members: Sequence[Run]) -> None:
    if len(members) < 2:
        hint = "name more (fototeca train list), or train one with --snapshots 3"
        raise FototecaError("an ensemble needs two runs or more, or one with snapshots", hint)
    for run in members:
        if not run.done or "members" in run.config:
            raise FototecaError(f"run {run.id} is an ensemble or not finished", "use finished runs that are not ensembles")
    if len({(run.manifest_version, run.config["manifest_sha256"]) for run in members}) > 1:
        raise FototecaError("the runs are of different versions", "train them on one: fototeca train run --manifest V")


def _average_predictions(run: Run, members: Sequence[Run], manifest: Manifest, method: Method, start: float) -> None:
    """Write the mean of the members' probabilities, with equal weights or weights selected on validation."""
    predictions = {split: [_read_predictions(member, manifest, split) for member in members] for split in SPLITS}
    labels = encode_labels(manifest.split("val"), manifest.categories, manifest.task == "multi")
    weights = np.full(len(members), 1 / len(members))
    if method == "weighted":
        weights = _select_weights([part.probabilities for part in predictions["val"]], labels)
    mean = {
        split: np.tensordot(weights, np.stack([part.probabilities for part in parts]), axes=1).astype(np.float32)
        for split, parts in predictions.items()
    }
    used = [member for member, weight in zip(members, weights, strict=True) if weight]  # others would only cost time
    run.config.update(
        _make_config(method, used, manifest),
        members=[member.id for member in used],
        member_weights=weights[weights > 0].tolist(),
    )
    _write_results(run, manifest, mean, sum(member.metrics.parameters for member in used), time.perf_counter() - start)


def _read_predictions(member: Run, manifest: Manifest, split: str) -> Predictions:
    """Return a member's predictions of a split. FototecaError unless they are of its images, in their order."""
    predictions = member.predictions(split)
    if list(predictions.image_ids) != [row.image_id for row in manifest.split(split)]:
        problem = f"{member.id} does not have the predictions of all {split} images of {manifest.version}, and no others"
        raise FototecaError(problem, "if images were erased: freeze a new version and train on it; else train the run again")
    return predictions


def _select_weights(probabilities: Sequence[FloatArray], labels: torch.Tensor) -> DoubleArray:
    """Return weights of members (N, C) by greedy selection with replacement on validation; the best prefix counts."""
    counts = np.zeros(len(probabilities))
    total = np.zeros_like(probabilities[0])
    best, best_counts = (-1.0, 0.0), counts
    for size in range(1, SELECTION_ROUNDS + 1):
        scores = [_score(np.asarray((total + part) / size, dtype=np.float32), labels) for part in probabilities]
        chosen = max(range(len(probabilities)), key=lambda index: scores[index])
        counts = counts + np.eye(len(probabilities))[chosen]
        total = total + probabilities[chosen]
        if scores[chosen] > best:
            best, best_counts = scores[chosen], counts
    return np.asarray(best_counts / best_counts.sum())


def _score(probabilities: FloatArray, labels: torch.Tensor) -> tuple[float, float]:
    """Return accuracy and negative loss of probabilities (N, C), with thresholds of their own if multi-label."""
    clipped = torch.from_numpy(np.clip(probabilities, 1e-7, 1 - 1e-7))
    loss, accuracy = evaluate(torch.logit(clipped) if labels.dim() == 2 else clipped.log(), labels)
    return accuracy, -loss


def _make_soup(workspace: Workspace, run: Run, members: Sequence[Run], manifest: Manifest, start: float) -> None:
    """Write a greedy soup (Wortsman et al. 2022): the best network, averaged with each next that does not lower validation."""
    ranked = sorted(members, key=lambda member: -member.metrics.val_accuracy)
    first = ranked[0]
    architecture = ("model", "preprocessing", "transform_input")
    is_same = all(member.config[name] == first.config[name] for member in members for name in architecture)
    if not is_same or any(member.config["head"] == "boosting" for member in members):
        raise FototecaError("a soup needs runs of one model and one image size", "use --method mean or weighted")
    states = [read_tensors(member) for member in ranked]
    network = EvaluationNetwork(workspace, first, manifest)

    def predict_average(indices: Sequence[int], split: str) -> FloatArray:
        load_own(network.module, _average_states([states[index] for index in indices]))
        return network.predict(split)

    labels = encode_labels(manifest.split("val"), manifest.categories, manifest.task == "multi")
    chosen = [0]
    best = _score(predict_average(chosen, "val"), labels)
    for index in range(1, len(ranked)):
        score = _score(predict_average([*chosen, index], "val"), labels)
        if score >= best:
            chosen, best = [*chosen, index], score
    probabilities = {split: predict_average(chosen, split) for split in SPLITS}
    inherited = {name: value for name, value in first.config.items() if name not in ("snapshot_of", "of", "made_of")}
    run.config.update({**inherited, "regime": "ensemble", "method": "soup", "soup": [ranked[index].id for index in chosen]})
    write_config(run)
    save_model(run, network.module, network.preprocessing, {})
    _write_results(run, manifest, probabilities, first.metrics.parameters, time.perf_counter() - start)


class EvaluationNetwork:
    """The network of a run without its weights, and the images of its version, to predict a split."""

    def __init__(self, workspace: Workspace, run: Run, manifest: Manifest) -> None:
        self.manifest = manifest
        self.preprocessing = Preprocessing.from_dict(run.config["preprocessing"])
        self.config = TrainConfig(manifest=manifest.version, model=run.model_name, regime="scratch")
        self.fabric = make_fabric(self.config)
        self.module = build_model(run.model_name, len(manifest.categories))[0].to(self.fabric.device)
        if run.config["transform_input"]:
            setattr(self.module, "transform_input", True)  # noqa: B010  (nn.Module types attributes as tensors)
        self.pixels = self.preprocessing.pixel_cache(workspace.cache / "pixels")
        rows = [row for split in SPLITS for row in manifest.split(split)]
        self.pixels.ensure(locate_images(workspace, rows))

    def predict(self, split: str) -> FloatArray:
        """Return probabilities (N, C) with the current weights."""
        ids = [row.image_id for row in self.manifest.split(split)]
        logits = predict(self.fabric, self.module, ImageDataset(ids, self.pixels, self.preprocessing, None, 0), self.config)
        return to_probabilities(as_float64(logits), self.manifest.task == "multi")


def _make_snapshot_run(workspace: Workspace, run: Run, path: Path, manifest: Manifest) -> Run:
    """Write the weights at the end of a cycle as a finished run, which other commands can load, compare and combine."""
    start = time.perf_counter()
    name = f"{run.id}-{path.stem}"
    made_of = {path.name: file_sha256(path)}
    snapshot = Run(name, workspace.runs / name, {**run.config, "snapshot_of": run.id, "made_of": made_of})
    if not _is_up_to_date(workspace, name, made_of):
        _remove_results(snapshot)
        network = EvaluationNetwork(workspace, run, manifest)
        load_own(network.module, _read_snapshot(path, network.fabric.device))
        write_config(snapshot)
        save_model(snapshot, network.module, network.preprocessing, {})
        probabilities = {split: network.predict(split) for split in SPLITS}
        _write_results(snapshot, manifest, probabilities, run.metrics.parameters, time.perf_counter() - start)
    return snapshot


def _read_snapshot(path: Path, device: torch.device) -> dict[str, torch.Tensor]:
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError):
        hint = "delete it to combine the others, or train the run again with --no-resume"
        raise FototecaError(f"{path} is damaged", hint) from None


def _average_states(states: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0).to(states[0][name].dtype) for name in states[0]
    }


def _make_config(method: Method, members: Sequence[Run], manifest: Manifest) -> dict[str, object]:
    return {
        "model": f"{method} of {len(members)}",
        "regime": "ensemble",
        "method": method,
        "manifest": manifest.version,
        "manifest_sha256": manifest.sha256,
        "task": manifest.task,
        "categories": list(manifest.categories),
        "preprocessing": members[0].config["preprocessing"],
        "head": "linear",
    }


def _write_results(
    run: Run, manifest: Manifest, probabilities: Mapping[str, FloatArray], parameters: int, seconds: float
) -> None:
    """Write the configuration, the predictions of both splits and, last, `done.json`."""
    write_config(run)
    accuracy = write_predictions(run, manifest, probabilities)
    metrics = RunMetrics(
        **accuracy, parameters=parameters, trainable_parameters=0, seconds=round(seconds, 2), images_per_second=0.0
    )
    write_done(run, metrics)
