"""A trained model, or an ensemble of several, applied to images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fototeca.vision.feature_math import DoubleArray, FloatArray, concatenate_features

if TYPE_CHECKING:
    from PIL import Image
    from torch import nn

    from fototeca.train.heads.tree_arrays import BoostedTrees
    from fototeca.vision.preprocessing import Preprocessing

BATCH_SIZE = 32
"""Images in one forward pass."""


class LoadedModel:
    """A trained model in eval mode."""

    def __init__(
        self,
        multi: bool,
        network: nn.Module,
        preprocessing: Preprocessing,
        boosting: BoostedTrees | None,
        *,
        mirror: bool = True,
    ) -> None:
        self.preprocessing = preprocessing
        self.multi = multi
        self.mirror = mirror
        """False: no method may mirror an image that the model sees."""
        self.boosting = boosting
        self.network = network
        self.module: nn.Module | None = None if boosting else network
        """(N, 3, H, W) to logits (N, C); None where the head is not a torch module (boosting)."""

    @cached_property
    def _fused(self) -> nn.Module:
        """The network with batch norm folded into convolutions, which is faster."""
        import torch

        from fototeca.vision.bn_fusion import fuse_batch_norm

        return fuse_batch_norm(self.network).to(memory_format=torch.channels_last)

    def probabilities(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> FloatArray:
        """Return probabilities (N, C) of images or paths."""
        return self.predict(images, batch_size)[0]

    def features(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> FloatArray:
        """Return features (N, D), the classifier's input."""
        return self._forward(images, batch_size)[1]

    def predict(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> tuple[FloatArray, FloatArray]:
        """Return probabilities (N, C) and features (N, D) from one pass."""
        logits, features = self._forward(images, batch_size)
        outputs = self.boosting.decision(features) if self.boosting else logits.astype(np.float64)
        return to_probabilities(outputs, self.multi), features

    def _forward(self, images: Sequence[Image.Image | Path], batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Return logits (N, C) and features (N, D)."""
        import torch

        from fototeca.vision.backbones import classifier_of
        from fototeca.vision.image import decode

        features: list[torch.Tensor] = []
        classifier = classifier_of(self._fused)[1]
        handle = classifier.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].float()))
        logits = []
        try:
            with torch.inference_mode():
                for start in range(0, len(images), batch_size):
                    part = images[start : start + batch_size]
                    decoded = (decode(image) if isinstance(image, Path) else image for image in part)
                    batch = torch.stack([self.preprocessing(image) for image in decoded])
                    logits.append(self._fused(batch.contiguous(memory_format=torch.channels_last)).float())
        finally:
            handle.remove()
        return torch.cat(logits).numpy(), torch.cat(features).numpy()


class LoadedEnsemble:
    """Runs whose probabilities are averaged. Its features are its members', concatenated; it has no single module."""

    def __init__(self, members: Sequence[LoadedModel], weights: Sequence[float]) -> None:
        self.members = members
        self.weights = weights
        self.module = None
        self.preprocessing = members[0].preprocessing
        self.mirror = all(member.mirror for member in members)

    def probabilities(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> FloatArray:
        """Return the weighted mean (N, C) of the members' probabilities."""
        return self.predict(images, batch_size)[0]

    def predict(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> tuple[FloatArray, FloatArray]:
        """Return probabilities (N, C) and the members' features, concatenated, from one pass of each member."""
        predictions = [member.predict(images, batch_size) for member in self.members]
        mean = sum(weight * probabilities for weight, (probabilities, _) in zip(self.weights, predictions, strict=True))
        return np.asarray(mean, dtype=np.float32), concatenate_features([features for _, features in predictions])


def to_probabilities(logits: DoubleArray, multi: bool) -> FloatArray:
    """Return the softmax of logits (N, C), or multi-label the sigmoid of each."""
    from scipy.special import expit, softmax

    return np.asarray(expit(logits) if multi else softmax(logits, axis=1), dtype=np.float32)
