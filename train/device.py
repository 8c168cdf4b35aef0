"""What a run computes on: device, precision and processes through Lightning Fabric, and what to say when memory ends."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from train.config import TrainConfig
from workspace import FototecaError, say


def make_fabric(config: TrainConfig) -> Fabric:
    """Device, precision and processes. Under torchrun each process joins the group; else there is one."""
    precision: Any = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[config.precision]
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    several = "WORLD_SIZE" in os.environ and int(os.environ["WORLD_SIZE"]) > 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that 16 becomes bf16 on a CPU is refused below
            fabric = Fabric(
                accelerator=config.device,
                devices=processes if several else 1,
                num_nodes=int(os.environ["WORLD_SIZE"]) // processes if several else 1,
                strategy="ddp" if several else "auto",
                precision=precision,
            )
    except (RuntimeError, ValueError) as error:
        raise FototecaError(
            f"--device {config.device} will not do: {str(error).splitlines()[0]}", "use --device auto or cpu"
        ) from None
    if fabric.device.type == "cpu" and config.precision == "16":
        raise FototecaError("--precision 16 is for GPUs", "leave it out, or train with --device cuda")
    if fabric.device.type == "cpu" and config.precision == "bf16":
        say("bf16 on a CPU without units for it takes many times longer than 32 (bench/train.py measures yours)")
    fabric.launch()
    return fabric


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ended, on a GPU or on the CPU."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def memory_advice(module: nn.Module, config: TrainConfig, side: int, device: torch.device) -> FototecaError:
    """The error that names the largest halving of the batch that a forward and backward pass of empty pictures fits into."""
    parts = 1
    while config.batch_size // (2 * parts) >= 2:
        parts *= 2
        if _fits(module, config.batch_size // parts, side, device):
            batch = config.batch_size // parts
            hint = f"--batch-size {batch} --accumulate {config.accumulate * parts} fits and takes the same steps"
            return FototecaError(f"out of memory with {config.batch_size} pictures of {side} px at once", hint)
    return FototecaError(
        f"out of memory even with two pictures of {side} px at once", "use a smaller --model or --image-size, or --device cpu"
    )


def _fits(module: nn.Module, batch: int, side: int, device: torch.device) -> bool:
    if device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        module(torch.zeros(batch, 3, side, side, device=device)).sum().backward()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        module.zero_grad(set_to_none=True)
    return True
