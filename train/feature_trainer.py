"""Training of a head on the cached features of a frozen network."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.train.base_trainer import Duration, Trainer
from fototeca.train.heads.fit import fit_head
from fototeca.train.heads.fitted import FeatureSet, FittedHead
from fototeca.train.runs.inference import to_probabilities
from fototeca.train.training.data import augmented_view, class_weights
from fototeca.train.training.metrics_log import EPOCH_COLUMNS, STEP_COLUMNS, MetricsLog
from fototeca.vision.backbones import NO_WEIGHTS, Backbone, backbone_of, classifier_of, replace_classifier
from fototeca.vision.features import extract_features


@dataclass(frozen=True)
class SplitFeatures:
    """Features of the training and validation images, and the training features with those of augmented copies appended."""

    train: FeatureSet
    val: FeatureSet
    augmented: FeatureSet
    """Equal to `train` without --augmented-copies."""


class FeatureTrainer(Trainer):
    """Fits a head on cached features and writes it as the network's classifier."""

    def train(self) -> None:
        """Extract features, fit the head, and write the run's files."""
        features = extract_split_features(self)
        ready = time.perf_counter()
        head = fit_head_on(self, self.config.head, features, self.config.epochs, self.config.lr)
        duration = Duration(ready - self.started, time.perf_counter() - ready)
        self._write_curves(head, duration.training)
        if head.boosting is None:
            copy_head(self.module, head)
        else:  # the trees are the classifier: the network's own layer has no function
            replace_classifier(self.module, 1)
        rows = [candidate.to_json() for candidate in head.candidates]
        write_text(self.run.folder / "regularization.json", json.dumps(rows, indent=2) + "\n")
        multi = self.spec.is_multi_label
        probabilities = {
            split: to_probabilities(head.logits(part.features), multi)
            for split, part in (("train", features.train), ("val", features.val))
        }
        strength = next(candidate.strength for candidate in head.candidates if candidate.chosen)
        self.write_results(probabilities, duration, {"strength": strength}, head.boosting.arrays() if head.boosting else None)

    def _write_curves(self, head: FittedHead, seconds: float) -> None:
        """Write the head's steps and epochs; each epoch gets an equal share of the time, since they run without a pause."""
        per_epoch = seconds / len(head.epochs)
        tensorboard = self.config.tensorboard
        with MetricsLog(self.run.folder / "steps.csv", STEP_COLUMNS, 0, tensorboard=tensorboard) as steps:
            for step in head.steps:
                steps.write(step)
        with MetricsLog(self.run.folder / "epochs.csv", EPOCH_COLUMNS, 0, tensorboard=tensorboard) as epochs:
            for row in head.epochs:
                epochs.write((*row, per_epoch, len(self.items["train"]) / per_epoch))


def extract_split_features(trainer: Trainer) -> SplitFeatures:
    """Compute or read from the cache the features of a trainer's images, from its network as it is now.

    FototecaError if the network has random weights.
    """
    if trainer.weights_id == NO_WEIGHTS:
        raise FototecaError("frozen features need pretrained weights", "pass --weights NAME, PATH or run:ID")
    backbone = backbone_of(trainer.config.model, copy.deepcopy(trainer.module), trainer.preprocessing, trainer.weights_id)
    items = [*trainer.items["train"], *trainer.items["val"]]
    features = extract_features(trainer.spec.workspace, items, backbone, device=str(trainer.fabric.device))
    edge = len(trainer.items["train"])
    train = FeatureSet(features[:edge], trainer.labels["train"])
    val = FeatureSet(features[edge:], trainer.labels["val"])
    return SplitFeatures(train, val, _append_augmented_copies(trainer, train, backbone))


def _append_augmented_copies(trainer: Trainer, train: FeatureSet, backbone: Backbone) -> FeatureSet:
    """Return the training features followed by those of each augmented copy of the same images."""
    config = trainer.config
    if not config.augmented_copies:
        return train
    assert config.augment is not None
    parts = [train.features]
    for number in range(1, config.augmented_copies + 1):
        view = augmented_view(number, config, trainer.preprocessing.crop)
        device = str(trainer.fabric.device)
        parts.append(extract_features(trainer.spec.workspace, trainer.items["train"], backbone, device=device, view=view))
    return FeatureSet(np.concatenate(parts), torch.cat([train.labels] * len(parts)))


def fit_head_on(trainer: Trainer, kind: str, features: SplitFeatures, epochs: int | None, lr: float | None) -> FittedHead:
    """Fit a head of `kind` with the trainer's class weights; `epochs` and `lr` are for the linear one."""
    config, num_classes = trainer.config, trainer.spec.num_classes
    options: dict[str, Any] = {"weights": class_weights(trainer.labels["train"], num_classes, config.balance)}
    if kind == "linear":  # the other heads have no optimizer steps
        options |= {"smoothing": config.label_smoothing, "lr": lr, "epochs": epochs}
    return fit_head(kind, features.augmented, features.val, num_classes, seed=config.seed, **options)


def copy_head(module: nn.Module, head: FittedHead) -> None:
    """Copy a linear head's weight and bias into the network's classifier."""
    assert head.weight is not None and head.bias is not None
    layer = classifier_of(module)[1]
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))
