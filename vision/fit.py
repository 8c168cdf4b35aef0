"""Fit images that are not square to the square input of a network."""

from __future__ import annotations

from typing import Literal

Fit = Literal["crop", "letterbox", "squash"]
"""crop cuts the ends of the longer side off, letterbox adds bars beside the shorter one, squash distorts."""

MAX_LOST_AREA = 1 / 3
"""Share of an image's area beyond which a crop loses much of it."""

MAX_SHARE = 0.1
"""Share of images that may lose so much area without a warning."""


def cropped_share(width: int, height: int) -> float:
    """Return the share of an image's area outside of its middle square."""
    return 1 - min(width, height) / max(width, height)
