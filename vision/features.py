"""Extract features with a frozen backbone, cached per image, weights and preprocessing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from fototeca.core.workspace import Workspace
from fototeca.vision.backbones import NO_WEIGHTS, Backbone
from fototeca.vision.bn_fusion import fuse_batch_norm
from fototeca.vision.image import DECODE_VERSION
from fototeca.vision.memory import forward, keep_freed_memory
from fototeca.vision.pixels import PixelCache
from fototeca.vision.store import RowStore

BATCH = 32
"""Images per forward pass; larger batches are no faster on a CPU."""


@dataclass(frozen=True)
class FeatureView:
    """A named transform of every image, for example an augmentation."""

    name: str
    """Key in the cache; one name must always mean the same transform."""
    transform: Callable[[str, torch.Tensor], torch.Tensor]
    """Maps an image id and its uint8 (3, resize, resize) to uint8 (3, crop, crop)."""


def extract_features(
    workspace: Workspace,
    items: Sequence[tuple[str, Path]],
    backbone: Backbone,
    *,
    device: str = "cpu",
    batch_size: int = BATCH,
    progress: bool = True,
    view: FeatureView | None = None,
) -> npt.NDArray[np.float32]:
    """Return the features (N, D) float32 of images, in order.

    Features are cached in the workspace; a killed process loses at most one batch. Convolutions run channels_last, the
    layout of the cached pixels.

    Args:
        workspace: holds the cache.
        items: image id and file of each image.
        backbone: the frozen network; its weights must not be random.
        device: torch device.
        batch_size: images per forward pass.
        progress: show a progress bar.
        view: transform to apply; by default the center crop.
    """
    assert backbone.weights_id != NO_WEIGHTS, "features of random weights have no key in the cache"
    store = RowStore(features_folder(workspace, backbone, view), (backbone.dimension,), np.float32)
    if any(image_id not in store for image_id, _ in items):
        steps = backbone.preprocessing
        pixels = steps.pixel_cache(workspace.cache / "pixels")
        pixels.ensure(items, progress=progress)
        with store.writing():
            missing = [image_id for image_id in dict(items) if image_id not in store]
            _compute(store, missing, pixels, backbone, device, batch_size, progress, view)
    return np.asarray(store.take([image_id for image_id, _ in items]), dtype=np.float32)


def features_folder(workspace: Workspace, backbone: Backbone, view: FeatureView | None = None) -> Path:
    """Return the cache folder of one model, weights, preprocessing, view and version of the decoding rules."""
    parts = [DECODE_VERSION, backbone.name, backbone.weights_id, backbone.preprocessing.to_dict(), *([view.name] if view else [])]
    key = json.dumps(parts, sort_keys=True)
    return workspace.cache / "features" / f"{backbone.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _compute(
    store: RowStore,
    missing: list[str],
    pixels: PixelCache,
    backbone: Backbone,
    device: str,
    batch_size: int,
    progress: bool,
    view: FeatureView | None,
) -> None:
    keep_freed_memory()
    module = fuse_batch_norm(backbone.module).to(device).to(memory_format=torch.channels_last)
    with (
        tqdm(total=len(missing), desc=f"features of {backbone.name}", unit="img", disable=None if progress else True) as bar,
        torch.inference_mode(),
    ):
        for start in range(0, len(missing), batch_size):
            part = missing[start : start + batch_size]
            batch = torch.from_numpy(pixels.take(part)).permute(0, 3, 1, 2)  # NHWC memory is channels_last already
            if view:
                transformed = torch.stack([view.transform(name, image) for name, image in zip(part, batch, strict=True)])
                inputs = backbone.preprocessing.normalize(transformed.to(device).contiguous(memory_format=torch.channels_last))
            else:
                inputs = backbone.preprocessing.tensor(batch.to(device))
            values = forward(module, inputs).float().cpu().numpy()
            store.append(part, list(values))
            bar.update(len(part))
