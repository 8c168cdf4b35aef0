"""Training of a network, from scratch or from pretrained weights."""

from __future__ import annotations

import time

from lightning_fabric import Fabric

from fototeca.train.base_trainer import SPLITS, Duration, Trainer
from fototeca.train.feature_trainer import copy_head, extract_split_features, fit_head_on
from fototeca.train.run_spec import RunSpec
from fototeca.train.runs.inference import to_probabilities
from fototeca.train.training.data import ImageDataset, augmentation
from fototeca.train.training.loop import EpochCallback, TrainingData, TrainingLoop
from fototeca.train.training.predict import as_float64, predict_distributed
from fototeca.vision.backbones import load_classifier
from fototeca.vision.feature_math import FloatArray
from fototeca.vision.pixels import PixelCache

PROBE_EPOCHS = 40
"""Epochs of the head alone, over cached features, before fine-tuning."""

PROBE_LR = 1e-2
"""Learning rate of that head."""


class NetworkTrainer(Trainer):
    """Trains the network itself; the weights that were best on validation are written."""

    def __init__(self, spec: RunSpec, fabric: Fabric) -> None:
        super().__init__(spec, fabric)
        if spec.inherits_classifier:
            assert spec.initial_weights.file is not None
            load_classifier(self.module, spec.initial_weights.file)

    def train(self, callback: EpochCallback | None = None) -> None:
        """Train from the start or from the run's checkpoint, and write the run's files.

        `callback` is called after every epoch. FototecaError for a damaged checkpoint, TrainingAborted if the loss becomes NaN or
        infinite.
        """
        data = self.prepare_data(is_resumed=(self.run.folder / "checkpoint.pt").exists())
        loop = TrainingLoop(self.fabric, self.module, self.config, data, self.run.folder, callback)
        progress = loop.run(time.perf_counter() - self.started)
        probabilities = {split: self._predict(data.val.pixels, split) for split in SPLITS}
        if self.fabric.is_global_zero:
            duration = Duration(progress.preparing, progress.seconds)
            self.write_results(probabilities, duration, {"best_epoch": progress.best_epoch, "epochs_run": progress.epoch})

    def prepare_data(self, *, is_resumed: bool = False) -> TrainingData:
        """Decode images into the pixel cache; before fine-tuning, fit the head over cached features (Kumar et al. 2022).

        A head that is trained already, in a checkpoint (`is_resumed`) or in the run that provides the weights, is not fitted.
        """
        pixels = self.preprocessing.pixel_cache(self.spec.workspace.cache / "pixels")
        pixels.ensure([*self.items["train"], *self.items["val"]])
        if self.config.regime == "finetune" and not (is_resumed or self.spec.inherits_classifier):
            features = extract_split_features(self)
            copy_head(self.module, fit_head_on(self, "linear", features, PROBE_EPOCHS, PROBE_LR))
        assert self.config.augment is not None
        side = self.config.train_crop_size(self.preprocessing.crop)
        transform = augmentation(self.config.augment, side, self.config.random_erasing, mirror=self.config.mirror)
        train, val = ([image_id for image_id, _ in self.items[split]] for split in SPLITS)
        return TrainingData(
            ImageDataset(train, pixels, self.preprocessing, transform, self.config.seed),
            self.labels["train"],
            ImageDataset(val, pixels, self.preprocessing, None, self.config.seed),
            self.labels["val"],
            self.preprocessing,
            self.spec.num_classes,
        )

    def _predict(self, pixels: PixelCache, split: str) -> FloatArray:
        """Return probabilities (N, C) of a split, without augmentation."""
        images = ImageDataset([image_id for image_id, _ in self.items[split]], pixels, self.preprocessing, None, self.config.seed)
        logits = predict_distributed(self.fabric, self.module, images, self.config)
        return to_probabilities(as_float64(logits), self.spec.is_multi_label)
