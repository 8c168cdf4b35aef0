"""`train run`: a configuration and a manifest become a finished run, or an unfinished one goes on."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.heads.fit import Fitted, Split, fit_head
from fototeca.train.runs import Run
from fototeca.train.runs.locks import check_same, full_disk_told, giving_up_noted, held
from fototeca.train.runs.registry import FloatArray, to_probabilities, write_config, write_done
from fototeca.train.runs.weights_io import answers, save_model, weights_path, whole_path
from fototeca.train.runs.write_predictions import write_predictions
from fototeca.train.training.data import (
    ImageDataset,
    augmentation,
    augmented_view,
    batches,
    check_manifest,
    class_weights,
    locate,
    targets,
)
from fototeca.train.training.device import check_forward, make_fabric
from fototeca.train.training.loop import EpochCallback, Loop, TrainingData
from fototeca.train.training.metrics_log import EPOCH_COLUMNS, STEP_COLUMNS, Journal, check_tensorboard
from fototeca.train.training.optim import own_by_process, train_mode, unfreeze
from fototeca.train.training.predict import as_float64, predict_together
from fototeca.vision.backbones import (
    NO_WEIGHTS,
    Backbone,
    backbone_of,
    build_model,
    check_model,
    classifier_of,
    replace_classifier,
    take_classifier,
)
from fototeca.vision.features import extract_features
from fototeca.vision.pixels import PixelCache

NAMED = ("weights", "image_size", "unfreeze")
"""Settings of which it counts what they lead to: a default that is written out makes no other run."""

PROBE_EPOCHS = 40
"""Epochs of the head alone, over cached features, before fine-tuning."""


def train_run(workspace: Workspace, config: TrainConfig, *, resume: bool = True, watch: EpochCallback | None = None) -> Run:
    """Train, or go on with, the run that this configuration names; a finished one is returned as it is.

    `watch` is told every epoch with its best validation accuracy so far; what it raises ends the run, which can go on later
    unless that is GivenUpError.

    FototecaError for a manifest, model, weights or setting that will not do, and when the loss is no number any more.
    """
    manifest = read_manifest(workspace, config.manifest)
    check_model(config.model)
    check_manifest(manifest, workspace.settings.task)
    config = replace(config, manifest=manifest.version).resolved()
    job = TrainingRun(workspace, config, manifest)
    with full_disk_told(), held(workspace, job.run.id) if job.first else nullcontext():
        if job.fabric.broadcast(job.run.done) and resume:
            check_same(workspace, job.run, job.identity)
            notify(f"run {job.run.id} is finished already")
            return job.run
        job.check()
        job.train(resume=resume, watch=watch)
    return job.run


class TrainingRun:
    """One run being trained, by one process or, under torchrun, by several, of which only the first writes."""

    def __init__(self, workspace: Workspace, config: TrainConfig, manifest: Manifest) -> None:
        self.workspace, self.config, self.manifest = workspace, config, manifest
        self.start = time.perf_counter()
        self.multi = manifest.task == "multi"
        self.classes = len(manifest.categories)
        self.fabric = make_fabric(config)
        self.first = self.fabric.is_global_zero
        torch.manual_seed(config.seed)
        self.weights = weights_path(workspace, config.weights)
        self.module, preprocessing, self.weights_id = build_model(config.model, self.classes, self.weights)
        self.preprocessing = preprocessing.at(config.image_size)
        self.learning = unfreeze(self.module, config.unfreeze) if config.regime == "finetune" else []
        several = self.fabric.world_size > 1 and config.regime != "features"
        self.own = own_by_process(self.module, config) if several else []
        self.goes_on = config.regime == "finetune" and self.weights is not None and self._take_classifier(self.weights)
        self.splits = {name: manifest.split(name) for name in ("train", "val")}
        items = locate(workspace, [row for rows in self.splits.values() for row in rows])
        self.items = {"train": items[: len(self.splits["train"])], "val": items[len(self.splits["train"]) :]}
        self.labels = {name: targets(rows, manifest.categories, self.multi) for name, rows in self.splits.items()}
        self.identity = self._identity()
        self.run = self._name()

    def _take_classifier(self, weights: str) -> bool:
        """Go on with the classifier of a run that tells the same categories apart; whether there is one."""
        return take_classifier(self.config.model, self.module, weights, answers(self.manifest.categories, self.manifest.task))

    def _identity(self) -> dict[str, Any]:
        """What makes it another run: its settings, its data, and its weights, sizes and stages by what they are."""
        facts = {"weights_id": self.weights_id, "manifest_sha256": self.manifest.sha256}
        meant = {
            "preprocessing": self.preprocessing.to_dict(),
            "learning_side": self.config.learning_side(self.preprocessing.crop),
            "learning_stages": self.learning,
        }
        start = {"classifier": "kept"} if self.goes_on else {}
        parts = {"processes": self.fabric.world_size} if self.own else {}
        told = {name: value for name, value in self.config.identity().items() if name not in NAMED}
        return {**told, **facts, **meant, **start, **parts}

    def _name(self) -> Run:
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:6]
        kind = f"-{self.config.head}" if self.config.regime == "features" else ""
        name = f"{self.config.model}-{self.config.regime}{kind}-{self.manifest.version}-{digest}"
        facts = {
            **self.identity,
            **{name: getattr(self.config, name) for name in NAMED},
            "weights": whole_path(self.config),
            "task": self.manifest.task,
            "categories": list(self.manifest.categories),
            "transform_input": bool(getattr(self.module, "transform_input", False)),
        }
        return Run(name, self.workspace.runs / name, facts)

    def check(self) -> None:
        """FototecaError, before anything is decoded, for images or batches that the network or the processes cannot take."""
        config, processes = self.config, self.fabric.world_size
        if config.regime == "features" and processes > 1:
            raise FototecaError("features are computed by one process", "give the command without torchrun")
        if config.tensorboard:
            check_tensorboard()
        smallest = min(map(len, batches(range(len(self.items["train"])), config.batch_size, least=2 * processes)))
        if smallest < processes:
            raise FototecaError(
                f"a batch of {smallest} is less than an image a process", f"use --batch-size {2 * processes} or more"
            )
        asked = self.preprocessing.crop
        check_forward(self.module.eval(), config, asked, 2, processes)
        if config.regime != "features":
            train_mode(self.module, config.freeze_bn)
            check_forward(self.module, config, config.learning_side(asked), min(2, smallest // processes), processes)

    def train(self, *, resume: bool, watch: EpochCallback | None) -> None:
        """Train it from its start, or on from where it was. All processes end together."""
        check_same(self.workspace, self.run, self.identity)
        self.fabric.barrier()
        if self.first:
            if self.own:
                what = f"{', '.join(self.own)} are each process's own"
                notify(f"{what}: {self.fabric.world_size} processes make another run than one, with an id of its own")
            if not resume and self.run.folder.exists():
                shutil.rmtree(self.run.folder)
            write_config(self.run)
        self.fabric.barrier()
        with giving_up_noted(self.run) if self.first else nullcontext():
            if self.config.regime != "features":
                self.train_network(watch)
            elif self.first:
                self.train_features()
        self.fabric.barrier()

    def train_features(self) -> None:
        """Fit a head on cached features and write it as the network's classifier."""
        splits, learned = self._extract()
        ready = time.perf_counter()
        fitted = self._fit_head(self.config.head, learned, splits["val"], self.config.epochs, self.config.lr)
        spent = (ready - self.start, time.perf_counter() - ready)
        self._write_curves(fitted, spent[1])
        if fitted.boosting is None:
            self._take_head(fitted)
        extra = fitted.boosting.arrays() if fitted.boosting else {}
        if extra:  # the trees are the classifier: what the network ends in is not asked
            replace_classifier(self.module, 1)
        write_text(self.run.folder / "regularisation.json", json.dumps(fitted.tried, indent=2) + "\n")
        probabilities = {name: to_probabilities(fitted.logits(split.features), self.multi) for name, split in splits.items()}
        strength = next(row["strength"] for row in fitted.tried if row["chosen"])
        self._finish(probabilities, extra, spent, {"strength": strength})

    def _extract(self) -> tuple[dict[str, Split], Split]:
        """The features of both splits, and those to learn from: training's and its views'. Of this very network."""
        if self.weights_id == NO_WEIGHTS:
            raise FototecaError("frozen features need pretrained weights", "pass --weights NAME, PATH or run:ID")
        backbone = backbone_of(self.config.model, copy.deepcopy(self.module), self.preprocessing, self.weights_id)
        device = str(self.fabric.device)
        both = extract_features(self.workspace, [*self.items["train"], *self.items["val"]], backbone, device=device)
        edge = len(self.items["train"])
        splits = {"train": Split(both[:edge], self.labels["train"]), "val": Split(both[edge:], self.labels["val"])}
        return splits, self._with_views(splits["train"], backbone)

    def _fit_head(self, kind: str, learned: Split, val: Split, epochs: int | None, lr: float | None) -> Fitted:
        options: dict[str, Any] = {"weights": class_weights(self.labels["train"], self.classes, self.config.balance)}
        if kind == "linear":  # the only one that takes steps
            options |= {"smoothing": self.config.label_smoothing, "lr": lr, "epochs": epochs}
        return fit_head(kind, learned, val, self.classes, seed=self.config.seed, **options)

    def _with_views(self, train: Split, backbone: Backbone) -> Split:
        """The training features, and those of each augmented view of the same images."""
        if not self.config.views:
            return train
        assert self.config.augment is not None
        parts = [train.features]
        for number in range(1, self.config.views + 1):
            view = augmented_view(number, self.config.augment, self.preprocessing.crop, self.config.seed)
            device = str(self.fabric.device)
            parts.append(extract_features(self.workspace, self.items["train"], backbone, device=device, view=view))
        return Split(np.concatenate(parts), torch.cat([train.labels] * len(parts)))

    def _take_head(self, fitted: Fitted) -> None:
        assert fitted.weight is not None and fitted.bias is not None
        layer = classifier_of(self.module)[1]
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(fitted.weight))
            layer.bias.copy_(torch.from_numpy(fitted.bias))

    def _write_curves(self, fitted: Fitted, spent: float) -> None:
        """The head's own steps; its epochs share the time evenly, since they run without a pause."""
        seconds = spent / len(fitted.epochs)
        shown = self.config.tensorboard
        with Journal(self.run.folder / "steps.csv", STEP_COLUMNS, 0, tensorboard=shown) as steps:
            for step in fitted.steps:
                steps.write(step)
        with Journal(self.run.folder / "epochs.csv", EPOCH_COLUMNS, 0, tensorboard=shown) as epochs:
            for row in fitted.epochs:
                epochs.write((*row, seconds, len(self.items["train"]) / seconds))

    def train_network(self, watch: EpochCallback | None = None) -> None:
        """Train the network itself; what is best on validation is kept."""
        material = self.prepare(onward=(self.run.folder / "checkpoint.pt").exists())
        loop = Loop(self.fabric, self.module, self.config, material, self.run.folder, watch)
        progress = loop.run(time.perf_counter() - self.start)
        probabilities = {name: self._ask(material.val.pixels, name) for name in ("train", "val")}
        if self.first:
            spent = (progress.preparing, progress.seconds)
            self._finish(probabilities, {}, spent, {"best_epoch": progress.best_epoch, "epochs_run": progress.epoch})

    def prepare(self, *, onward: bool = False) -> TrainingData:
        """Decode what is not decoded yet; in fine-tuning fit the head first, alone, over cached features (Kumar et al. 2022).

        Not a head that has learned already: with `onward` that of a checkpoint, else that of the run that lends its weights.
        """
        pixels = PixelCache(self.workspace.cache / "pixels", self.preprocessing.resize, self.preprocessing.interpolation)
        pixels.ensure([*self.items["train"], *self.items["val"]])
        if self.config.regime == "finetune" and not (onward or self.goes_on):
            splits, learned = self._extract()
            self._take_head(self._fit_head("linear", learned, splits["val"], PROBE_EPOCHS, 1e-2))
        assert self.config.augment is not None
        side = self.config.learning_side(self.preprocessing.crop)
        transform = augmentation(self.config.augment, side, self.config.erasing)
        train, val = ([image_id for image_id, _ in self.items[name]] for name in ("train", "val"))
        return TrainingData(
            ImageDataset(train, pixels, self.preprocessing, transform, self.config.seed),
            self.labels["train"],
            ImageDataset(val, pixels, self.preprocessing, None, self.config.seed),
            self.labels["val"],
            self.preprocessing,
            self.classes,
        )

    def _ask(self, pixels: PixelCache, split: str) -> FloatArray:
        images = ImageDataset([image_id for image_id, _ in self.items[split]], pixels, self.preprocessing, None, self.config.seed)
        return to_probabilities(as_float64(predict_together(self.fabric, self.module, images, self.config)), self.multi)

    def _finish(
        self,
        probabilities: Mapping[str, FloatArray],
        extra: Mapping[str, Any],
        spent: tuple[float, float],
        facts: Mapping[str, Any],
    ) -> None:
        """What it says, the model, and last `done.json`. `spent`: seconds of preparing and of training."""
        accuracy = write_predictions(self.run, self.manifest, probabilities)
        save_model(self.run, self.module, self.preprocessing, extra)
        learning = sum(parameter.numel() for parameter in self.module.parameters() if parameter.requires_grad)
        document = {
            **accuracy,
            "parameters": sum(parameter.numel() for parameter in self.module.parameters()),
            "learning_parameters": classifier_size(self.module) if self.config.regime == "features" else learning,
            "seconds": round(sum(spent), 2),
            "seconds_preparing": round(spent[0], 2),
            "seconds_training": round(spent[1], 2),
            "images_per_second": _speed(self.run),
            **facts,
        }
        write_done(self.run, document)


def classifier_size(module: nn.Module) -> int:
    """Parameters of the classifier alone."""
    return sum(parameter.numel() for parameter in classifier_of(module)[1].parameters())


def _speed(run: Run) -> float:
    rows = run.epochs()
    return round(float(np.mean([row["images_per_second"] for row in rows])), 1)
