"""Memory: what was freed is kept, and where it ends a network is asked about fewer images at once."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from fototeca.core.errors import FototecaError

if TYPE_CHECKING:  # whoever only keeps memory does not pay for torch
    import torch
    from torch import nn

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
"""Names that glibc's mallopt(3) gives its settings."""


@cache
def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks in the process instead of giving each back to the system; elsewhere nothing happens.

    A network on a CPU asks for the same large blocks again with every batch, and so do images.
    SqueezeNet's forward pass at 224 px took 1.9 times as long without: the system zeroes every page that is given again.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another system, or another C library
        return
    mallopt(ARENA_MAX, 1)  # an arena for each thread would keep what that thread has freed, whatever is given back
    mallopt(MMAP_MAX, 0)
    mallopt(TRIM_THRESHOLD, 2**31 - 1)
    mallopt(TOP_PAD, 2**28)


def give_back_memory() -> None:
    """Give what is kept back to the system: after an image so large that few others will need as much."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


WORDS = ("can't allocate memory", "out of memory", "bad_alloc", "could not create a primitive", "could not execute a primitive")
"""What torch and, in the last two, oneDNN say where memory ends."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ended: on the CPU, on CUDA or on MPS."""
    said = any(words in str(error).lower() for words in WORDS)
    import torch

    return said or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def forward(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What the module says of (N, 3, H, W), without gradients; where memory ends, of one half after the other.

    FototecaError when it ends with a single image.
    """
    import torch

    try:
        said: torch.Tensor = module(inputs)
        return said
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    if len(inputs) == 1:
        hint = "use a smaller --model or --image-size, or --device cpu"
        raise FototecaError(f"out of memory with a single image of {inputs.shape[-1]} px", hint)
    if inputs.device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(inputs) // 2
    return torch.cat([forward(module, inputs[:half]), forward(module, inputs[half:])])
