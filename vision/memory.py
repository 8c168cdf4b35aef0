"""Keep freed memory in the process, and run a network in smaller batches when memory runs out."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from fototeca.core.errors import FototecaError

if TYPE_CHECKING:  # torch is not imported to keep memory only
    import torch
    from torch import nn

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
"""Parameters of glibc's mallopt(3)."""


@cache
def keep_freed_memory() -> None:
    """Make glibc keep freed blocks in the process; a no-op with any other C library.

    A network on a CPU allocates the same large blocks with every batch, and so do images. SqueezeNet's forward pass at 224 px
    takes 1.9 times as long otherwise, because the system zeroes every page it hands out again.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc
        return
    mallopt(ARENA_MAX, 1)  # per-thread arenas would keep freed memory that malloc_trim cannot release
    mallopt(MMAP_MAX, 0)
    mallopt(TRIM_THRESHOLD, 2**31 - 1)
    mallopt(TOP_PAD, 2**28)


def release_memory() -> None:
    """Return kept memory to the system, for example after an exceptionally large image."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


_MESSAGES = (
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "could not create a primitive",
    "could not execute a primitive",
)
"""Error texts of torch and, the last two, of oneDNN when memory runs out."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error means that memory ran out, on CPU, CUDA or MPS."""
    has_message = any(words in str(error).lower() for words in _MESSAGES)
    import torch

    return has_message or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def forward(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Run a module on (N, 3, H, W) without gradients, halving the batch as long as memory runs out.

    FototecaError if it runs out with a single image.
    """
    import torch

    try:
        outputs: torch.Tensor = module(inputs)
        return outputs
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    if len(inputs) == 1:
        hint = "use a smaller --model or --image-size, or --device cpu"
        raise FototecaError(f"out of memory with a single image of {inputs.shape[-1]} px", hint)
    if inputs.device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(inputs) // 2
    return torch.cat([forward(module, inputs[:half]), forward(module, inputs[half:])])
