"""Turn an image into the input of a network; the same in training, evaluation, prediction, maps and export."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from fototeca.vision.fit import Fit
from fototeca.vision.pixels import PixelCache, square

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's channel mean and standard deviation, which every torchvision model expects."""


@dataclass(frozen=True)
class Preprocessing:
    """Turn an image into network input: a square of `resize` pixels, center crop of `crop` × `crop`, (x − `mean`) / `std`."""

    resize: int
    crop: int
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    interpolation: str = "bilinear"
    fit: Fit = "crop"
    """Method for making an image square, see `square`; all but crop show it whole, so `resize` is `crop`."""

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit) or (self.fit != "crop" and self.resize != self.crop):
            raise ValueError(f"fit {self.fit!r} of {self.resize} and {self.crop} pixels")

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

    def fitted(self, fit: Fit | None) -> Preprocessing:
        """Return a copy with another `fit`; `self` if it is None."""
        if fit is None or fit == self.fit:
            return self
        return replace(self, fit=fit, resize=round(self.crop * 8 / 7) if fit == "crop" else self.crop)

    def pixel_cache(self, folder: Path) -> PixelCache:
        """Return the cache of decoded squares below a folder that this preprocessing reads."""
        return PixelCache(folder, self.resize, self.interpolation, self.fit)

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Return one image as (3, crop, crop) float32."""
        return self.tensor(square(np.array(image), self.resize, self.interpolation, self.fit))

    def tensor(self, pixels: torch.Tensor) -> torch.Tensor:
        """Crop and normalize uint8 squares (…, 3, resize, resize) to (…, 3, crop, crop) float32."""
        return self.normalize(functional.center_crop(pixels, [self.crop, self.crop]))

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scale uint8 (…, 3, H, W) to 0…1, subtract the mean and divide by the standard deviation."""
        mean = torch.tensor(self.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(3, 1, 1)
        return pixels.float().div_(255).sub_(mean).div_(std)
