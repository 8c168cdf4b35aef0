"""The training loop: epochs over cached images, validation after each, curves written as they grow, resume from a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import nn
from torchvision.transforms import v2
from tqdm import tqdm

from fototeca.train.config import TrainConfig
from fototeca.train.errors import TrainingAborted
from fototeca.train.training.checkpoints import Progress, load_checkpoint, make_average, save_checkpoint, save_tensors
from fototeca.train.training.data import ImageDataset, class_weights, derive_seed, epoch_order, load_batches, split_batches
from fototeca.train.training.device import out_of_memory_error
from fototeca.train.training.losses import compute_loss, evaluate, num_correct
from fototeca.train.training.metrics_log import EPOCH_COLUMNS, STEP_COLUMNS, MetricsLog
from fototeca.train.training.optim import make_optimizer, make_schedule, set_lr, train_mode
from fototeca.train.training.predict import predict_distributed
from fototeca.vision.loading import load_own
from fototeca.vision.memory import is_out_of_memory, keep_freed_memory
from fototeca.vision.preprocessing import Preprocessing

EpochCallback = Callable[[int, float], None]
"""Called after each epoch with its number and the best validation accuracy so far."""


@dataclass(frozen=True)
class TrainingData:
    """Training and validation images with their labels, as the loop reads them."""

    train: ImageDataset
    train_labels: torch.Tensor
    """(N,) class indices, or multi-label (N, C)."""
    val: ImageDataset
    val_labels: torch.Tensor
    preprocessing: Preprocessing
    num_classes: int


@dataclass(frozen=True)
class StepResult:
    """Result of one optimizer step over `size` images."""

    loss: float
    """Mean over the images."""
    num_correct: int
    size: int


class TrainingLoop:
    """Trains `module`, with its files in `folder`. After `run` the module has the weights that were best on validation."""

    def __init__(
        self,
        fabric: Fabric,
        module: nn.Module,
        config: TrainConfig,
        data: TrainingData,
        folder: Path,
        callback: EpochCallback | None = None,
    ) -> None:
        assert config.epochs is not None
        keep_freed_memory()
        self.fabric, self.config, self.data, self.folder, self.callback = fabric, config, data, folder, callback
        self.plain = module.to(memory_format=torch.channels_last)
        optimizer = make_optimizer(self.plain, config)
        compiled = cast(nn.Module, torch.compile(self.plain)) if config.compile else self.plain
        self.module, self.optimizer = fabric.setup(compiled, optimizer)
        self.average = make_average(self.plain, config.ema) if config.ema else None
        self.multi = data.train_labels.dim() == 2
        self.class_weights = class_weights(data.train_labels, data.num_classes, config.balance)
        self.loss_weights = None if self.class_weights is None else self.class_weights.to(fabric.device)
        self.steps_per_epoch = math.ceil(len(self._batches(1)) / config.accumulate)
        self.schedule = make_schedule(config, config.epochs * self.steps_per_epoch)
        self.progress = Progress()

    def run(self, preparing: float = 0.0) -> Progress:
        """Train from the folder's checkpoint, if there is one, to the end. TrainingAborted if a loss becomes NaN or infinite.

        `preparing`: seconds spent before, which are added to those of earlier, interrupted processes.
        """
        assert self.config.epochs is not None
        self.progress = load_checkpoint(self.folder, self.fabric, self.plain, self.optimizer, self.average)
        self.progress.preparing += preparing
        total = self.config.epochs * self.steps_per_epoch
        disable = None if self.fabric.is_global_zero else True
        with (
            self._log("steps", STEP_COLUMNS, self.progress.step) as steps,
            self._log("epochs", EPOCH_COLUMNS, self.progress.epoch) as epochs,
            tqdm(total=total, initial=self.progress.step, desc=self.folder.name, unit="step", disable=disable) as bar,
        ):
            while self.progress.epoch < self.config.epochs and not self._is_out_of_patience():
                epochs.write(self._epoch(self.progress.epoch + 1, steps, bar))
                if self.fabric.is_global_zero:
                    self._save()
                if self.callback:
                    self.callback(self.progress.epoch, self.progress.best_accuracy)
        if self.progress.best:
            load_own(self.plain, self.progress.best)
        return self.progress

    def _log(self, name: str, columns: tuple[str, ...], keep: int) -> MetricsLog:
        path = self.folder / f"{name}.csv" if self.fabric.is_global_zero else None
        return MetricsLog(path, columns, keep, tensorboard=self.config.tensorboard)

    def _epoch(self, epoch: int, steps: MetricsLog, bar: tqdm[Any]) -> tuple[Any, ...]:
        """Train for one pass, then evaluate on validation; return the row of `epochs.csv`."""
        start = time.perf_counter()
        loss_sum, correct, images = 0.0, 0, 0
        for result in self.train_epoch(epoch):
            if not math.isfinite(result.loss):
                raise self._divergence_error(epoch)
            lr = self.optimizer.param_groups[0]["lr"]
            steps.write((self.progress.step, epoch, result.loss, lr))
            bar.update()
            bar.set_postfix(loss=f"{result.loss:.3f}", lr=f"{lr:.2g}", refresh=False)
            loss_sum, correct, images = (
                loss_sum + result.loss * result.size,
                correct + result.num_correct,
                images + result.size,
            )
        train_seconds = time.perf_counter() - start
        val_loss, val_accuracy = self._evaluate(epoch)
        seconds = time.perf_counter() - start
        self.progress.epoch, self.progress.seconds = epoch, self.progress.seconds + seconds
        return epoch, loss_sum / images, correct / images, val_loss, val_accuracy, seconds, images / train_seconds

    def train_epoch(self, epoch: int) -> Iterator[StepResult]:
        """Train for one pass over the training images, yielding the result of each optimizer step."""
        train_mode(self.plain, self.config.freeze_bn)
        self.data.train.epoch = epoch
        batches = self._batches(epoch)
        loaded = load_batches(self.data.train, [self._own_part(batch) for batch in batches], self.config.workers)
        for first in range(0, len(batches), self.config.accumulate):
            group = batches[first : first + self.config.accumulate]
            result = None
            try:
                result = self._step(loaded, group)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            if result is None:  # outside of the except block, where the traceback would still hold the step's memory
                size = self.data.preprocessing.crop
                raise out_of_memory_error(self.fabric, self.plain, self.optimizer, self.config, size)
            self.progress.step += 1
            yield result

    def _step(self, loaded: Iterator[tuple[torch.Tensor, torch.Tensor]], group: list[list[int]]) -> StepResult:
        """Take one optimizer step over a group of batches."""
        set_lr(self.optimizer, self.schedule(self.progress.step))
        loss_sum, correct = torch.zeros((), device=self.fabric.device), 0
        total_weight = sum(map(self._weight_sum, group))
        for part in range(len(group)):
            images, rows = next(loaded)
            torch.manual_seed(derive_seed(self.config.seed, "step", self.progress.step, part))  # no dropout state to save
            images = self.fabric.to_device(images).contiguous(memory_format=torch.channels_last)
            labels = self.fabric.to_device(self.data.train_labels[rows])
            mixed, mixed_labels = self._mix(self.data.preprocessing.normalize(images), labels)
            with self.fabric.no_backward_sync(self.module, enabled=part < len(group) - 1):
                logits = self.module(mixed)
                smoothing = self.config.label_smoothing
                loss = compute_loss(
                    logits.float(), mixed_labels, multi=self.multi, weights=self.loss_weights, smoothing=smoothing
                )
                # batches and processes of unequal size count by their weight
                scaled = loss * (self._weight_sum(rows.tolist()) * self.fabric.world_size / total_weight)
                self.fabric.backward(scaled)
            loss_sum += scaled.detach()
            is_mixed = mixed_labels.dim() > labels.dim()  # a mixed image counts as its larger part's class
            correct += num_correct(logits.detach(), mixed_labels.argmax(dim=1) if is_mixed else mixed_labels)
        if self.config.clip:
            self.fabric.clip_gradients(  # an infinite norm is reported with the loss; with 16 bits the step is skipped
                self.module, self.optimizer, max_norm=self.config.clip, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.plain)
        sums = torch.stack([loss_sum, torch.tensor(float(correct), device=loss_sum.device)])
        totals = self.fabric.all_reduce(sums, reduce_op="sum")
        assert isinstance(totals, torch.Tensor)
        return StepResult(float(totals[0]) / self.fabric.world_size, int(totals[1]), sum(map(len, group)))

    def _weight_sum(self, rows: list[int]) -> float:
        """Return the divisor of the mean loss over these images: their number, or the sum of their classes' weights."""
        if self.class_weights is None or self.multi or self.config.mixup or self.config.cutmix:
            return len(rows)
        return float(self.class_weights[self.data.train_labels[rows]].sum())

    def _mix(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Apply mixup or CutMix where configured: images and fractions (N, C), else both unchanged."""
        transforms: list[v2.Transform] = []
        if self.config.mixup:
            transforms.append(v2.MixUp(alpha=self.config.mixup, num_classes=self.data.num_classes))
        if self.config.cutmix:
            transforms.append(v2.CutMix(alpha=self.config.cutmix, num_classes=self.data.num_classes))
        if not transforms:
            return images, labels
        mixed, fractions = v2.RandomChoice(transforms)(images, labels)
        return mixed, fractions

    def _evaluate(self, epoch: int) -> tuple[float, float]:
        """Return loss and accuracy on validation, of the averaged weights if there are any; remember the best weights.

        TrainingAborted if the loss is NaN or infinite: an epoch's last step can diverge, and no training loss follows it.
        """
        module = self.average.module if self.average is not None else self.plain
        for buffer in module.buffers():  # each process has measured batch-norm statistics on its own part of the last batch
            buffer.copy_(cast(torch.Tensor, self.fabric.all_reduce(buffer, reduce_op="mean")))
        logits = predict_distributed(self.fabric, module, self.data.val, self.config)
        loss, accuracy = evaluate(logits, self.data.val_labels)
        if not math.isfinite(loss):
            raise self._divergence_error(epoch)
        if (accuracy, -loss) > (self.progress.best_accuracy, -self.progress.best_loss):
            self.progress.best_accuracy, self.progress.best_loss = accuracy, loss
            self.progress.best_epoch = epoch
            self.progress.best = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
        cycle = self.config.epochs // self.config.snapshots if self.config.snapshots and self.config.epochs else 0
        if cycle and epoch % cycle == 0 and self.fabric.is_global_zero:
            save_tensors(self.folder / f"snapshot-{epoch // cycle}.pt", module.state_dict())
        return loss, accuracy

    def _batches(self, epoch: int) -> list[list[int]]:
        order = epoch_order(self.data.train_labels, self.config, epoch)
        return split_batches(order, self.config.batch_size, least=2 * self.fabric.world_size)

    def _own_part(self, batch: list[int]) -> list[int]:
        """Return this process's part of a batch."""
        return batch[self.fabric.global_rank :: self.fabric.world_size]

    def _is_out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.progress.epoch - self.progress.best_epoch

    def _save(self) -> None:
        save_checkpoint(self.folder, self.fabric, self.plain, self.optimizer, self.average, self.progress)

    def _divergence_error(self, epoch: int) -> TrainingAborted:
        checkpoint = f"the checkpoint of epoch {epoch - 1} is available" if epoch > 1 else "no epoch was finished"
        assert self.config.lr is not None
        return TrainingAborted(
            f"loss became NaN or infinite at step {self.progress.step} (epoch {epoch}); {checkpoint}",
            f"try --lr {self.config.lr / 10:g}" + ("" if self.config.clip else " or --clip 1"),
        )
