"""`train ensemble`: runs of one version joined into one, by what they say or by their weights."""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run, load_run_manifest, read_run
from fototeca.train.runs.locks import full_disk_as_error
from fototeca.train.runs.registry import FloatArray, read_tensors, to_probabilities, write_config, write_done
from fototeca.train.runs.weights_io import save_model
from fototeca.train.runs.write_predictions import write_predictions
from fototeca.train.training.data import ImageDataset, encode_labels, locate_images
from fototeca.train.training.device import make_fabric
from fototeca.train.training.losses import evaluate
from fototeca.train.training.predict import as_float64, predict
from fototeca.vision.backbones import Preprocessing, build_model
from fototeca.vision.pixels import PixelCache
from fototeca.vision.weights import file_sha256

Method = Literal["mean", "weighted", "soup"]

ROUNDS = 40
"""Members that the weighted mean draws, with repeats (Caruana et al. 2004)."""


def join_runs(workspace: Workspace, names: Sequence[str], method: Method = "mean") -> Run:
    """A finished run of its own, made of others, or of the snapshots of a single one (Huang et al. 2017).

    FototecaError when they are of different versions or do not fit.
    """
    with full_disk_as_error():
        return _join(workspace, names, method)


def _join(workspace: Workspace, names: Sequence[str], method: Method) -> Run:
    start = time.perf_counter()
    members = [read_run(workspace, name) for name in dict.fromkeys(names)]
    manifest = load_run_manifest(workspace, members[0])
    if len(members) == 1 and members[0].done and (paths := sorted(members[0].folder.glob("snapshot-*.pt"))):
        members = [_snapshot(workspace, members[0], path, manifest) for path in paths]
    _check(members)
    digest = hashlib.sha256("/".join([method, *sorted(run.id for run in members)]).encode()).hexdigest()[:6]
    name = f"{method}-ensemble-{manifest.version}-{digest}"
    made_of = {member.id: member.digest for member in members}
    run = Run(name, workspace.runs / name, {"of": list(names), "made_of": made_of})
    if not _is_made_of(workspace, name, made_of):
        _forget(run)
        if method == "soup":
            _soup(workspace, run, members, manifest, start)
        else:
            _average(run, members, manifest, method, start)
    return read_run(workspace, name)


def _is_made_of(workspace: Workspace, name: str, sources: dict[str, str]) -> bool:
    """Whether a run is finished and of these very sources, by their digests: a member that was trained again is another one."""
    if not (workspace.runs / name / "config.json").is_file():
        return False
    run = read_run(workspace, name)
    return run.done and run.config.get("made_of") == sources


def _forget(run: Run) -> None:
    """Take away what says that the run is done, and what its former self said of test, before anything of it is made again."""
    for name in ("done.json", "predictions-test.csv"):
        (run.folder / name).unlink(missing_ok=True)


def _check(members: Sequence[Run]) -> None:
    if len(members) < 2:
        hint = "name more (fototeca train list), or train one with --snapshots 3"
        raise FototecaError("an ensemble needs two runs or more, or one with snapshots", hint)
    for run in members:
        if not run.done or "members" in run.config:
            raise FototecaError(f"run {run.id} is an ensemble or not finished", "name finished runs that are no ensembles")
    if len({(run.manifest_version, run.config["manifest_sha256"]) for run in members}) > 1:
        raise FototecaError("the runs are of different versions", "train them on one: fototeca train run --manifest V")


def _average(run: Run, members: Sequence[Run], manifest: Manifest, method: Method, start: float) -> None:
    """The mean of what members say, even or weighted by a greedy choice on validation."""
    said = {split: [member.predictions(split) for member in members] for split in ("train", "val")}
    labels = encode_labels(manifest.split("val"), manifest.categories, manifest.task == "multi")
    weights = np.full(len(members), 1 / len(members))
    if method == "weighted":
        weights = _greedy([part.probabilities for part in said["val"]], labels)
    joined = {
        split: np.tensordot(weights, np.stack([part.probabilities for part in parts]), axes=1).astype(np.float32)
        for split, parts in said.items()
    }
    asked = [member for member, share in zip(members, weights, strict=True) if share]  # the others would only cost time
    run.config.update(
        _config(method, asked, manifest), members=[m.id for m in asked], member_weights=weights[weights > 0].tolist()
    )
    _finish(run, manifest, joined, sum(member.facts["parameters"] for member in asked), time.perf_counter() - start)


def _greedy(said: Sequence[FloatArray], labels: torch.Tensor) -> npt.NDArray[np.float64]:
    """Shares of the members: the one that helps validation most is added again and again; the best prefix is taken."""
    counts = np.zeros(len(said))
    total = np.zeros_like(said[0])
    best, best_counts = (-1.0, 0.0), counts
    for size in range(1, ROUNDS + 1):
        keys = [_score(np.asarray((total + part) / size, dtype=np.float32), labels) for part in said]
        chosen = max(range(len(said)), key=lambda index: keys[index])
        counts = counts + np.eye(len(said))[chosen]
        total = total + said[chosen]
        if keys[chosen] > best:
            best, best_counts = keys[chosen], counts
    return np.asarray(best_counts / best_counts.sum())


def _score(probabilities: FloatArray, labels: torch.Tensor) -> tuple[float, float]:
    """Accuracy, then the negative loss, of probabilities (N, C), judged as a finished run is: with thresholds of its own."""
    given = torch.from_numpy(np.clip(probabilities, 1e-7, 1 - 1e-7))
    loss, accuracy = evaluate(torch.logit(given) if labels.dim() == 2 else given.log(), labels)
    return accuracy, -loss


def _soup(workspace: Workspace, run: Run, members: Sequence[Run], manifest: Manifest, start: float) -> None:
    """Greedy soup (Wortsman et al. 2022): the best network, and each next one whose weights do not harm it on validation."""
    ranked = sorted(members, key=lambda member: -float(member.facts["val_accuracy"]))
    first = ranked[0]
    shape = ("model", "preprocessing", "transform_input")
    alike = all(member.config[name] == first.config[name] for member in members for name in shape)
    if not alike or any(member.config["head"] == "boosting" for member in members):
        raise FototecaError("a soup needs runs of one model and one image size", "use --method mean or weighted")
    states = [read_tensors(member) for member in ranked]
    network = Network(workspace, first, manifest)

    def ask(chosen: Sequence[int], split: str) -> FloatArray:
        network.module.load_state_dict(_mean([states[index] for index in chosen]))
        return network.ask(split)

    labels = encode_labels(manifest.split("val"), manifest.categories, manifest.task == "multi")
    kept = [0]
    best = _score(ask(kept, "val"), labels)
    for index in range(1, len(ranked)):
        score = _score(ask([*kept, index], "val"), labels)
        if score >= best:
            kept, best = [*kept, index], score
    joined = {split: ask(kept, split) for split in ("train", "val")}
    inherited = {name: value for name, value in first.config.items() if name not in ("snapshot_of", "of", "made_of")}
    run.config.update({**inherited, "regime": "ensemble", "method": "soup", "soup": [ranked[index].id for index in kept]})
    write_config(run)
    save_model(run, network.module, network.preprocessing, {})
    _finish(run, manifest, joined, int(first.facts["parameters"]), time.perf_counter() - start)


class Network:
    """The network of a run, without its weights, and the images of its version, to be asked about a split."""

    def __init__(self, workspace: Workspace, run: Run, manifest: Manifest) -> None:
        self.manifest = manifest
        self.preprocessing = Preprocessing.from_dict(run.config["preprocessing"])
        self.config = TrainConfig(manifest=manifest.version, model=run.model_name, regime="scratch")
        self.fabric = make_fabric(self.config)
        self.module = build_model(run.model_name, len(manifest.categories))[0].to(self.fabric.device)
        if run.config["transform_input"]:
            setattr(self.module, "transform_input", True)  # noqa: B010  (nn.Module types attributes as tensors)
        self.pixels = PixelCache(workspace.cache / "pixels", self.preprocessing.resize, self.preprocessing.interpolation)
        rows = [row for split in ("train", "val") for row in manifest.split(split)]
        self.pixels.ensure(locate_images(workspace, rows))

    def ask(self, split: str) -> FloatArray:
        """Probabilities (N, C), with the weights it has."""
        ids = [row.image_id for row in self.manifest.split(split)]
        logits = predict(self.fabric, self.module, ImageDataset(ids, self.pixels, self.preprocessing, None, 0), self.config)
        return to_probabilities(as_float64(logits), self.manifest.task == "multi")


def _snapshot(workspace: Workspace, run: Run, path: Path, manifest: Manifest) -> Run:
    """The weights at the end of a cycle as a finished run, which other commands can load, compare and join."""
    start = time.perf_counter()
    name = f"{run.id}-{path.stem}"
    made_of = {path.name: file_sha256(path)}
    own = Run(name, workspace.runs / name, {**run.config, "snapshot_of": run.id, "made_of": made_of})
    if not _is_made_of(workspace, name, made_of):
        _forget(own)
        network = Network(workspace, run, manifest)
        network.module.load_state_dict(_read_snapshot(path, network.fabric.device))
        write_config(own)
        save_model(own, network.module, network.preprocessing, {})
        said = {split: network.ask(split) for split in ("train", "val")}
        _finish(own, manifest, said, int(run.facts["parameters"]), time.perf_counter() - start)
    return own


def _read_snapshot(path: Path, device: torch.device) -> dict[str, torch.Tensor]:
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError):
        hint = "delete it to join the others, or train the run again with --no-resume"
        raise FototecaError(f"{path} is damaged", hint) from None


def _mean(states: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0).to(states[0][name].dtype) for name in states[0]
    }


def _config(method: Method, members: Sequence[Run], manifest: Manifest) -> dict[str, object]:
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


def _finish(run: Run, manifest: Manifest, said: dict[str, FloatArray], parameters: int, seconds: float) -> None:
    """Config, predictions of both splits, and last `done.json`."""
    write_config(run)
    sizes = {"parameters": parameters, "trainable_parameters": 0, "seconds": round(seconds, 2), "images_per_second": 0.0}
    write_done(run, {**write_predictions(run, manifest, said), **sizes})
