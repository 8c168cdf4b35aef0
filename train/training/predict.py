"""Logits of a network on cached images, computed by one process or by several."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm import tqdm

from fototeca.train.config import TrainConfig
from fototeca.train.training.data import ImageDataset, load_batches, split_batches
from fototeca.vision.memory import forward

PROGRESS_DELAY = 2.0
"""Seconds before a progress bar is shown."""


def predict(fabric: Fabric, module: nn.Module, images: ImageDataset, config: TrainConfig) -> torch.Tensor:
    """Return logits (N, C) on the CPU, computed in eval mode, in the order of `images`."""
    module.eval()
    parts = []
    batches = split_batches(range(len(images)), config.batch_size, least=1)
    disable = None if fabric.is_global_zero else True
    with (
        torch.inference_mode(),
        fabric.autocast(),
        tqdm(total=len(images), desc="predict", unit="img", delay=PROGRESS_DELAY, leave=False, disable=disable) as bar,
    ):
        for batch, _ in load_batches(images, batches, config.workers):
            batch = fabric.to_device(batch).contiguous(memory_format=torch.channels_last)
            parts.append(forward(module, images.preprocessing.normalize(batch)).float().cpu())
            bar.update(len(batch))
    return torch.cat(parts)


def predict_distributed(fabric: Fabric, module: nn.Module, images: ImageDataset, config: TrainConfig) -> torch.Tensor:
    """Return the same in every process, each of which computes the logits of its share of the images."""
    if fabric.world_size == 1:
        return predict(fabric, module, images, config)
    share = -(-len(images) // fabric.world_size)
    ids = [images.ids[index % len(images)] for index in range(share * fabric.world_size)]  # padded to shares of equal size
    own = ImageDataset(ids[fabric.global_rank :: fabric.world_size], images.pixels, images.preprocessing, None, images.seed)
    logits = cast(torch.Tensor, fabric.all_gather(fabric.to_device(predict(fabric, module, own, config))))
    return logits.transpose(0, 1).flatten(0, 1)[: len(images)].cpu()


def as_float64(logits: torch.Tensor) -> npt.NDArray[np.float64]:
    """Return (N, C) as a NumPy array, for `to_probabilities`."""
    return np.asarray(logits.double().numpy())
