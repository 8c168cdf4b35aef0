"""Limits of pixels, time and memory. Standard library only, so that options can name them."""

from dataclasses import dataclass

MAX_PIXELS = 50_000_000
"""Images with more pixels are rejected when they are collected, unless `--max-pixels` allows more (200 MB as RGB)."""

MAX_STORED_PIXELS = 250_000_000
"""Largest value of `--max-pixels`, which every reader of stored images accepts (1 GB as RGB)."""

MAX_COST_SECONDS = 2.0
"""CPU time that decoding one image of up to MAX_PIXELS may take, as estimated for one core of 2020."""

MAX_COST_BYTES = 400_000_000
"""Memory that decoding one image of up to MAX_PIXELS may take beside the file: 8 bytes a pixel, as RGBA and RGB take together."""


@dataclass(frozen=True)
class Cost:
    """Estimated cost of decoding one image: CPU seconds, bytes of memory, and what makes it large."""

    seconds: float
    size: int = 0
    why: str = ""
