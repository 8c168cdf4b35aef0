"""Common base of head and network training: the built network, its data, checks and the files of a finished run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.train.run_spec import RunSpec
from fototeca.train.runs import Run
from fototeca.train.runs.metrics import RunMetrics
from fototeca.train.runs.registry import write_done
from fototeca.train.runs.weights_io import save_model
from fototeca.train.runs.write_predictions import write_predictions
from fototeca.train.training.data import describe_lost_area, encode_labels, locate_images, split_batches
from fototeca.train.training.device import check_forward
from fototeca.train.training.metrics_log import check_tensorboard
from fototeca.train.training.optim import train_mode, unfreeze
from fototeca.vision.backbones import classifier_of
from fototeca.vision.feature_math import FloatArray

SPLITS = ("train", "val")
"""Splits that training reads."""


@dataclass(frozen=True)
class Duration:
    """Seconds of a run."""

    preparing: float
    training: float


class Trainer:
    """A run being trained by one process or, under torchrun, by several, of which only the first writes."""

    def __init__(self, spec: RunSpec, fabric: Fabric) -> None:
        """Build the network and locate the images. FototecaError for weights or images that cannot be read."""
        self.started = time.perf_counter()
        self.spec, self.fabric = spec, fabric
        self.config, self.run, self.preprocessing = spec.config, spec.run, spec.preprocessing
        torch.manual_seed(self.config.seed)
        self.module, self.weights_id = spec.initial_weights.build(spec.num_classes)
        if self.config.regime == "finetune":
            unfreeze(self.module, self.config.unfreeze)
        rows = {split: spec.manifest.split(split) for split in SPLITS}
        items = locate_images(spec.workspace, [row for split in SPLITS for row in rows[split]])
        edge = len(rows["train"])
        self.items = {"train": items[:edge], "val": items[edge:]}
        """Image id and file of the images of each split."""
        self.labels = {split: encode_labels(rows[split], spec.manifest.categories, spec.is_multi_label) for split in SPLITS}

    def check(self) -> None:
        """FototecaError, before any image is decoded, for sizes or batches that the network or the processes cannot take.

        Tells where many images lose much of their area.
        """
        config, processes = self.config, self.fabric.world_size
        if self.fabric.is_global_zero and (line := describe_lost_area(self.spec.manifest.rows, self.preprocessing)):
            notify(line)
        if config.regime == "features" and processes > 1:
            raise FototecaError("features are computed by one process", "run the command without torchrun")
        if config.tensorboard:
            check_tensorboard()
        smallest = min(map(len, split_batches(range(len(self.items["train"])), config.batch_size, least=2 * processes)))
        if smallest < processes:
            raise FototecaError(
                f"a batch of {smallest} has less than one image per process", f"use --batch-size {2 * processes} or more"
            )
        side = self.preprocessing.crop
        check_forward(self.module.eval(), config, side, 2, processes)
        if config.regime != "features":
            train_mode(self.module, config.freeze_bn)
            check_forward(self.module, config, config.train_crop_size(side), min(2, smallest // processes), processes, side)

    def write_results(
        self,
        probabilities: Mapping[str, FloatArray],
        duration: Duration,
        details: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        """Write the predictions, the model and, last, `done.json`.

        Args:
            probabilities: (N, C) of each split.
            duration: seconds of this run, interruptions included.
            details: further fields of RunMetrics.
            arrays: of a head that is not a torch module (trees), saved beside the tensors.
        """
        accuracy = write_predictions(self.run, self.spec.manifest, probabilities)
        save_model(self.run, self.module, self.preprocessing, arrays or {})
        parameters = list(self.module.parameters())
        trainable = parameters if self.config.regime != "features" else list(classifier_of(self.module)[1].parameters())
        metrics = RunMetrics(
            **accuracy,
            parameters=sum(parameter.numel() for parameter in parameters),
            trainable_parameters=sum(parameter.numel() for parameter in trainable if parameter.requires_grad),
            seconds=round(duration.preparing + duration.training, 2),
            seconds_preparing=round(duration.preparing, 2),
            seconds_training=round(duration.training, 2),
            images_per_second=_mean_speed(self.run),
            **details,
        )
        write_done(self.run, metrics)


def _mean_speed(run: Run) -> float:
    """Images per second, averaged over epochs."""
    return round(float(np.mean([row["images_per_second"] for row in run.epochs()])), 1)
