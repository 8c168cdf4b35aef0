"""Memory: what was freed is kept, and where it ends a network is asked about fewer pictures at once."""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import nn

from workspace import FototecaError

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Names that glibc's mallopt(3) gives its settings."""


@cache
def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks in the process instead of giving each back to the system; elsewhere nothing happens.

    A network on a CPU asks for the same large blocks again with every batch, and so do pictures.
    SqueezeNet's forward pass at 224 px took 1.9 times as long without: the system zeroes every page that is given again.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another system, or another C library
        return
    mallopt(MMAP_MAX, 0)
    mallopt(TRIM_THRESHOLD, 2**31 - 1)
    mallopt(TOP_PAD, 2**28)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ended: on the CPU, on CUDA or on MPS."""
    said = any(words in str(error).lower() for words in ("can't allocate memory", "out of memory"))
    return said or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def forward(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What the module says of (N, 3, H, W), without gradients; where memory ends, of one half after the other.

    FototecaError when it ends with a single picture.
    """
    try:
        said: torch.Tensor = module(inputs)
        return said
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    if len(inputs) == 1:
        hint = "use a smaller --model or --image-size, or --device cpu"
        raise FototecaError(f"out of memory with a single picture of {inputs.shape[-1]} px", hint)
    if inputs.device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(inputs) // 2
    return torch.cat([forward(module, inputs[:half]), forward(module, inputs[half:])])
