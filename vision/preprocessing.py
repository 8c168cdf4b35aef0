"""Turn an image into the input of a network; the same in training, evaluation, prediction, maps and export."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from fototeca.vision.pixels import square

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's channel mean and standard deviation, which every torchvision model expects."""


@dataclass(frozen=True)
class Preprocessing:
    """Turn an image into network input: shorter edge to `resize`, center crop of `crop` × `crop`, (x − `mean`) / `std`."""

    resize: int
    crop: int
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    interpolation: str = "bilinear"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Create from the output of `to_dict`."""
        plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**plain)

    def at(self, side: int | None) -> Preprocessing:
        """Return a copy with `side` pixels of input and the same ratio of resize to crop; `self` if `side` is None."""
        return self if side is None else replace(self, crop=side, resize=max(side, round(side * self.resize / self.crop)))

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Return one image as (3, crop, crop) float32."""
        return self.tensor(square(np.array(image), self.resize, self.interpolation))

    def tensor(self, pixels: torch.Tensor) -> torch.Tensor:
        """Crop and normalize uint8 squares (…, 3, resize, resize) to (…, 3, crop, crop) float32."""
        return self.normalize(functional.center_crop(pixels, [self.crop, self.crop]))

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scale uint8 (…, 3, H, W) to 0…1, subtract the mean and divide by the standard deviation."""
        mean = torch.tensor(self.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(3, 1, 1)
        return pixels.float().div_(255).sub_(mean).div_(std)
