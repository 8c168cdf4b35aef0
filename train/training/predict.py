"""What a network says of images that are cached, by one process or by several together."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm import tqdm

from fototeca.train.config import TrainConfig
from fototeca.train.training.data import ImageDataset, batches, load
from fototeca.vision.memory import forward

PATIENCE = 2.0
"""Seconds after which it is shown how far the asking is."""


def predict(fabric: Fabric, module: nn.Module, images: ImageDataset, config: TrainConfig) -> torch.Tensor:
    """Logits (N, C) on the CPU, in eval mode, in the order of `images`."""
    module.eval()
    parts = []
    cut = batches(range(len(images)), config.batch_size, least=1)
    quiet = None if fabric.is_global_zero else True
    with (
        torch.inference_mode(),
        fabric.autocast(),
        tqdm(total=len(images), desc="asking", unit="img", delay=PATIENCE, leave=False, disable=quiet) as bar,
    ):
        for batch, _ in load(images, cut, config.workers):
            batch = fabric.to_device(batch).contiguous(memory_format=torch.channels_last)
            parts.append(forward(module, images.preprocessing.normalize(batch)).float().cpu())
            bar.update(len(batch))
    return torch.cat(parts)


def predict_together(fabric: Fabric, module: nn.Module, images: ImageDataset, config: TrainConfig) -> torch.Tensor:
    """The same, each process asking about its share of the images and all of them being given all logits."""
    if fabric.world_size == 1:
        return predict(fabric, module, images, config)
    share = -(-len(images) // fabric.world_size)
    ids = [images.ids[index % len(images)] for index in range(share * fabric.world_size)]  # all shares are of one size
    mine = ImageDataset(ids[fabric.global_rank :: fabric.world_size], images.pixels, images.preprocessing, None, images.seed)
    said = cast(torch.Tensor, fabric.all_gather(fabric.to_device(predict(fabric, module, mine, config))))
    return said.transpose(0, 1).flatten(0, 1)[: len(images)].cpu()


def as_float64(logits: torch.Tensor) -> npt.NDArray[np.float64]:
    """(N, C) for `to_probabilities`."""
    return np.asarray(logits.double().numpy())
