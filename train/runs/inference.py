"""A trained model, or several that are asked together, as a person's images are given to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fototeca.vision.feature_math import concatenate_features

if TYPE_CHECKING:
    from PIL import Image
    from torch import nn

    from fototeca.train.heads.tree_arrays import BoostedTrees
    from fototeca.vision.backbones import Preprocessing

BATCH_SIZE = 32
"""Images in one forward pass when a model is only asked."""

FloatArray = npt.NDArray[np.float32]


class LoadedModel:
    """A trained model, ready to be asked."""

    def __init__(self, multi: bool, network: nn.Module, preprocessing: Preprocessing, boosting: BoostedTrees | None) -> None:
        self.preprocessing = preprocessing
        self.multi = multi
        self.boosting = boosting
        self.network = network
        self.module: nn.Module | None = None if boosting else network
        """(N, 3, H, W) to logits (N, C), in eval mode; None where the head is no torch module (boosting)."""

    @cached_property
    def _quick(self) -> nn.Module:
        """The same network in the form that answers fastest."""
        import torch

        from fototeca.vision.bn_fusion import fuse_batch_norm

        return fuse_batch_norm(self.network).to(memory_format=torch.channels_last)

    def probabilities(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> FloatArray:
        """(N, C) of images or paths."""
        return self.answers(images, batch_size)[0]

    def features(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> FloatArray:
        """(N, D): what the classifier is given."""
        return self._forward(images, batch_size)[1]

    def answers(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> tuple[FloatArray, FloatArray]:
        """Probabilities (N, C) and features (N, D) from one pass."""
        logits, features = self._forward(images, batch_size)
        said = self.boosting.decision(features) if self.boosting else logits.astype(np.float64)
        return to_probabilities(said, self.multi), features

    def _forward(self, images: Sequence[Image.Image | Path], batch_size: int) -> tuple[FloatArray, FloatArray]:
        """Logits and features of every image, in one pass."""
        import torch

        from fototeca.vision.backbones import classifier_of
        from fototeca.vision.image import decode

        seen: list[torch.Tensor] = []
        handle = classifier_of(self._quick)[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
        logits = []
        try:
            with torch.inference_mode():
                for start in range(0, len(images), batch_size):
                    opened = (decode(image) if isinstance(image, Path) else image for image in images[start : start + batch_size])
                    batch = torch.stack([self.preprocessing(image) for image in opened])
                    logits.append(self._quick(batch.contiguous(memory_format=torch.channels_last)).float())
        finally:
            handle.remove()
        return torch.cat(logits).numpy(), torch.cat(seen).numpy()


class LoadedEnsemble:
    """Runs that are asked together. Its features are its members', and it has no single module."""

    def __init__(self, members: Sequence[LoadedModel], weights: Sequence[float]) -> None:
        self.members = members
        self.weights = weights
        self.module = None
        self.preprocessing = members[0].preprocessing

    def probabilities(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> FloatArray:
        """(N, C): the members' probabilities, averaged by weight."""
        return self.answers(images, batch_size)[0]

    def answers(self, images: Sequence[Image.Image | Path], batch_size: int = BATCH_SIZE) -> tuple[FloatArray, FloatArray]:
        """Probabilities (N, C), and the members' features `side_by_side`, from one pass of each."""
        said = [member.answers(images, batch_size) for member in self.members]
        joined = sum(weight * probabilities for weight, (probabilities, _) in zip(self.weights, said, strict=True))
        return np.asarray(joined, dtype=np.float32), concatenate_features([features for _, features in said])


def to_probabilities(logits: npt.NDArray[np.float64], multi: bool) -> FloatArray:
    """(N, C) of logits: softmax, or a sigmoid of each when labels do not exclude one another."""
    if multi:
        return (1 / (1 + np.exp(-np.clip(logits, -60, 60)))).astype(np.float32)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
