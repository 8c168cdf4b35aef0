"""The loop: epochs over cached images, judged on validation, written down as they happen, resumed where they stopped."""

from __future__ import annotations

import io
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision.transforms import v2
from tqdm import tqdm

from fototeca.core.errors import FototecaError
from fototeca.core.files import atomic_write
from fototeca.train.config import TrainConfig
from fototeca.train.errors import TrainingAborted
from fototeca.train.training.data import ImageDataset, batches, class_weights, draw_seed, epoch_order, load
from fototeca.train.training.device import memory_advice
from fototeca.train.training.losses import compute_loss, evaluate, num_correct
from fototeca.train.training.metrics_log import EPOCH_COLUMNS, STEP_COLUMNS, Journal
from fototeca.train.training.optim import learning_rate, make_optimizer, set_rate, train_mode
from fototeca.train.training.predict import predict_together
from fototeca.vision.backbones import Preprocessing
from fototeca.vision.memory import is_out_of_memory, keep_freed_memory

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]

EpochCallback = Callable[[int, float], None]
"""Told each epoch and the best validation accuracy so far."""


@dataclass(frozen=True)
class TrainingData:
    """What the loop reads: training and validation images with their targets."""

    train: ImageDataset
    train_labels: torch.Tensor
    val: ImageDataset
    val_labels: torch.Tensor
    preprocessing: Preprocessing
    classes: int


@dataclass
class Progress:
    """Where training stands after an epoch; what a checkpoint holds beside weights and optimizer."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    best_loss: float = math.inf
    preparing: float = 0.0
    seconds: float = 0.0
    best: dict[str, torch.Tensor] = field(default_factory=dict)


class Loop:
    """Trains `module` in `folder`. After `run` the module holds the weights that were best on validation."""

    def __init__(
        self,
        fabric: Fabric,
        module: nn.Module,
        config: TrainConfig,
        material: TrainingData,
        folder: Path,
        watch: EpochCallback | None = None,
    ) -> None:
        assert config.epochs is not None
        keep_freed_memory()
        self.watch = watch
        self.fabric, self.config, self.material, self.folder = fabric, config, material, folder
        self.plain = module.to(memory_format=torch.channels_last)
        optimizer = make_optimizer(self.plain, config)
        compiled = cast(nn.Module, torch.compile(self.plain)) if config.compile else self.plain
        self.module, self.optimizer = fabric.setup(compiled, optimizer)
        self.average = averaged(self.plain, config.ema) if config.ema else None
        self.multi = material.train_labels.dim() == 2
        self.class_weights = class_weights(material.train_labels, material.classes, config.balance)
        self.weights = None if self.class_weights is None else self.class_weights.to(fabric.device)
        self.steps_per_epoch = math.ceil(len(self._batches(1)) / config.accumulate)
        self.rate = learning_rate(config, config.epochs * self.steps_per_epoch)
        self.progress = Progress()

    def run(self, preparing: float = 0.0) -> Progress:
        """Train from where the folder's checkpoint stands to the end. FototecaError when a loss is no number any more.

        `preparing`: seconds that were spent before, which are kept with those of the times before.
        """
        assert self.config.epochs is not None
        self._resume()
        self.progress.preparing += preparing
        total = self.config.epochs * self.steps_per_epoch
        quiet = None if self.fabric.is_global_zero else True
        with (
            self._journal("steps", STEP_COLUMNS, self.progress.step) as steps,
            self._journal("epochs", EPOCH_COLUMNS, self.progress.epoch) as epochs,
            tqdm(total=total, initial=self.progress.step, desc=self.folder.name, unit="step", disable=quiet) as bar,
        ):
            while self.progress.epoch < self.config.epochs and not self._stale():
                row = self._epoch(self.progress.epoch + 1, steps, bar)
                epochs.write(row)
                self._save()
                if self.watch:
                    self.watch(self.progress.epoch, self.progress.best_accuracy)
        if self.progress.best:
            self.plain.load_state_dict(self.progress.best)
        return self.progress

    def _journal(self, name: str, columns: tuple[str, ...], keep: int) -> Journal:
        path = self.folder / f"{name}.csv" if self.fabric.is_global_zero else None
        return Journal(path, columns, keep, tensorboard=self.config.tensorboard)

    def _epoch(self, epoch: int, steps: Journal, bar: tqdm[Any]) -> tuple[Any, ...]:
        """One pass over training, then a look at validation; returns the row of `epochs.csv`."""
        start = time.perf_counter()
        loss_sum, hits, seen = 0.0, 0, 0
        for loss, right_ones, size in self.steps_of(epoch):
            if not math.isfinite(loss):
                raise self._diverged(epoch)
            rate = self.optimizer.param_groups[0]["lr"]
            steps.write((self.progress.step, epoch, loss, rate))
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}", lr=f"{rate:.2g}", refresh=False)
            loss_sum, hits, seen = loss_sum + loss * size, hits + right_ones, seen + size
        spent = time.perf_counter() - start
        val_loss, val_accuracy = self._judge(epoch)
        seconds = time.perf_counter() - start
        self.progress.epoch, self.progress.seconds = epoch, self.progress.seconds + seconds
        return epoch, loss_sum / seen, hits / seen, val_loss, val_accuracy, seconds, seen / spent

    def steps_of(self, epoch: int) -> Iterator[tuple[float, int, int]]:
        """Learn from one pass over training; after each step its mean loss, how many were right, and of how many."""
        train_mode(self.plain, self.config.freeze_bn)
        self.material.train.epoch = epoch
        cut = self._batches(epoch)
        loaded = load(self.material.train, [self._share(batch) for batch in cut], self.config.workers)
        for first in range(0, len(cut), self.config.accumulate):
            group = cut[first : first + self.config.accumulate]
            outcome = None
            try:
                outcome = self._step(loaded, group)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            if outcome is None:  # here, where the error holds none of the step's memory any more
                side = self.config.learning_side(self.material.preprocessing.crop)
                raise memory_advice(self.fabric, self.plain, self.optimizer, self.config, side)
            self.progress.step += 1
            yield *outcome, sum(map(len, group))

    def _step(self, loaded: Iterator[tuple[torch.Tensor, torch.Tensor]], group: list[list[int]]) -> tuple[float, int]:
        """One optimizer step over a group of batches: mean loss, how many were right."""
        set_rate(self.optimizer, self.rate(self.progress.step))
        loss_sum, hits = torch.zeros((), device=self.fabric.device), 0
        whole = sum(map(self._mass, group))
        for part in range(len(group)):
            images, rows = next(loaded)
            torch.manual_seed(draw_seed(self.config.seed, "step", self.progress.step, part))  # dropout, mixing: no state to save
            images = self.fabric.to_device(images).contiguous(memory_format=torch.channels_last)
            labels = self.fabric.to_device(self.material.train_labels[rows])
            mixed, wanted = self._mix(self.material.preprocessing.normalize(images), labels)
            with self.fabric.no_backward_sync(self.module, enabled=part < len(group) - 1):
                logits = self.module(mixed)
                loss = compute_loss(
                    logits.float(), wanted, multi=self.multi, weights=self.weights, smoothing=self.config.label_smoothing
                )
                share = loss * (
                    self._mass(rows.tolist()) * self.fabric.world_size / whole
                )  # uneven parts weigh by what they hold
                self.fabric.backward(share)
            loss_sum += share.detach()
            mixed_ones = wanted.dim() > labels.dim()  # each is held to the class it has most of
            hits += num_correct(logits.detach(), wanted.argmax(dim=1) if mixed_ones else wanted)
        if self.config.clip:
            self.fabric.clip_gradients(  # what is no number is told with the loss, and with 16 bits the step is left out
                self.module, self.optimizer, max_norm=self.config.clip, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.plain)
        totals = self.fabric.all_reduce(
            torch.stack([loss_sum, torch.tensor(float(hits), device=loss_sum.device)]), reduce_op="sum"
        )
        assert isinstance(totals, torch.Tensor)
        return float(totals[0]) / self.fabric.world_size, int(totals[1])

    def _mass(self, rows: list[int]) -> float:
        """What the mean loss of these images is a mean over: their number, or torch's sum of their classes' weights."""
        if self.class_weights is None or self.multi or self.config.mixup or self.config.cutmix:
            return len(rows)
        return float(self.class_weights[self.material.train_labels[rows]].sum())

    def _mix(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mixup or CutMix, if asked: images and shares (N, C)."""
        ways: list[v2.Transform] = []
        if self.config.mixup:
            ways.append(v2.MixUp(alpha=self.config.mixup, num_classes=self.material.classes))
        if self.config.cutmix:
            ways.append(v2.CutMix(alpha=self.config.cutmix, num_classes=self.material.classes))
        if not ways:
            return images, labels
        mixed, wanted = v2.RandomChoice(ways)(images, labels)
        return mixed, wanted

    def _judge(self, epoch: int) -> tuple[float, float]:
        """Loss and accuracy on validation, of the averaged weights if there are any; the best are kept in mind.

        FototecaError when the loss is no number: an epoch's last step can blow the weights up, and no training loss follows it.
        """
        asked = self.average.module if self.average is not None else self.plain
        for buffer in asked.buffers():  # each process has measured batch norm's statistics on its own part of the last batch
            buffer.copy_(cast(torch.Tensor, self.fabric.all_reduce(buffer, reduce_op="mean")))
        loss, accuracy = evaluate(predict_together(self.fabric, asked, self.material.val, self.config), self.material.val_labels)
        if not math.isfinite(loss):
            raise self._diverged(epoch)
        if (accuracy, -loss) > (self.progress.best_accuracy, -self.progress.best_loss):
            self.progress.best_accuracy, self.progress.best_loss = accuracy, loss
            self.progress.best_epoch = epoch
            self.progress.best = {name: value.detach().cpu().clone() for name, value in asked.state_dict().items()}
        cycle = self.config.epochs // self.config.snapshots if self.config.snapshots and self.config.epochs else 0
        if cycle and epoch % cycle == 0 and self.fabric.is_global_zero:
            save_tensors(self.folder / f"snapshot-{epoch // cycle}.pt", asked.state_dict())
        return loss, accuracy

    def _batches(self, epoch: int) -> list[list[int]]:
        order = epoch_order(self.material.train_labels, self.config, epoch)
        return batches(order, self.config.batch_size, least=2 * self.fabric.world_size)

    def _share(self, batch: list[int]) -> list[int]:
        """This process's part of a batch."""
        return batch[self.fabric.global_rank :: self.fabric.world_size]

    def _stale(self) -> bool:
        return 0 < self.config.patience <= self.progress.epoch - self.progress.best_epoch

    def _save(self) -> None:
        """Write the checkpoint; the one before stays whole until the new one is."""
        if not self.fabric.is_global_zero:
            return
        state = {
            "module": self.plain.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "precision": self.fabric._precision.state_dict(),  # with 16 bits the scale of the loss
            "progress": self.progress.__dict__,
        }
        save_tensors(self.folder / "checkpoint.pt", state)

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.fabric.device, weights_only=True)
            self.plain.load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.fabric._precision.load_state_dict(state["precision"])
            self.progress = Progress(**state["progress"])
        except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError):
            raise FototecaError(f"{path} is damaged", "delete it to train this run from the start, or pass --no-resume") from None

    def _diverged(self, epoch: int) -> TrainingAborted:
        kept = f"the checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "no epoch was finished"
        assert self.config.lr is not None
        return TrainingAborted(
            f"the loss is no number any more at step {self.progress.step} (epoch {epoch}); {kept}",
            f"try --lr {self.config.lr / 10:g}" + ("" if self.config.clip else " or --clip 1"),
        )


def save_tensors(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one before stays whole until this one is. By way of memory: torch hides what a full disk says."""
    content = io.BytesIO()
    torch.save(state, content)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


def averaged(module: nn.Module, decay: float) -> AveragedModel:
    """A moving average of the module's weights and statistics.

    After t steps at most (1 + t) / (10 + t) of the mean is kept, as by `num_updates` of TensorFlow's ExponentialMovingAverage:
    a mean over thousands of steps would else be what some hundreds began with.
    """

    @torch.no_grad()
    def mean(means: Tensors, values: Tensors, steps: torch.Tensor | int) -> None:
        kept = min(decay, (1 + int(steps)) / (10 + int(steps)))
        if means[0].is_floating_point():  # torch gives those of one type at a time
            torch._foreach_lerp_(means, values, 1 - kept)
            return
        for old, new in zip(means, values, strict=True):
            old.copy_(old * kept + new * (1 - kept))

    return AveragedModel(module, multi_avg_fn=mean, use_buffers=True)
