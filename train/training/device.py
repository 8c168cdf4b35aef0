"""What a run computes on: device, precision and processes through Lightning Fabric; what to say of a size or a batch too much."""

from __future__ import annotations

import os
import platform
import warnings
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.func import functional_call

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.train.config import TrainConfig
from fototeca.vision.backbones import default_preprocessing
from fototeca.vision.memory import is_out_of_memory


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
        absent = "can not run on your system" in str(error)
        why = "torch finds no such device here" if absent else str(error).splitlines()[0]
        raise FototecaError(f"--device {config.device} will not do: {why}", "use --device auto or cpu") from None
    if fabric.device.type == "cpu" and config.precision == "16":
        raise FototecaError("--precision 16 is for GPUs", "leave it out, or train with --device cuda")
    if config.precision == "bf16" and not _has_bf16(fabric.device):
        notify("this processor has no units for bf16, which takes many times longer here than 32")
    fabric.launch()
    return fabric


def _has_bf16(device: torch.device) -> bool:
    """Whether it reckons in bf16 by itself. Of other processors than Intel's and AMD's (where AMX comes with it) nothing is known
    to the contrary."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    foreign = device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64")
    return foreign or torch.cpu._is_avx512_bf16_supported()


def check_forward(module: nn.Module, config: TrainConfig, side: int, images: int, processes: int) -> None:
    """Ask the module, in the mode it is in, about empty images. FototecaError when it cannot take that size or so few."""
    refused = _refusal(module, side, images)
    if not refused:
        return
    if images == 1 and not _refusal(module, side, 2):
        raise FototecaError(
            f"{config.model} cannot learn from one image of {side} px at a time: {refused}",
            f"use --batch-size {2 * processes} or more, or a larger --image-size",
        )
    usual = default_preprocessing(config.model).crop
    raise FototecaError(
        f"{config.model} cannot take images of {side} px: {refused}", f"choose another --image-size; {usual} is usual for it"
    )


def _refusal(module: nn.Module, side: int, images: int) -> str:
    """What the module says against images of this size; empty when it takes them. Its statistics stay as they are."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    try:
        with torch.no_grad():
            functional_call(module, buffers, (torch.zeros(images, 3, side, side),))
    except (AssertionError, RuntimeError, ValueError) as error:
        return "" if is_out_of_memory(error) else str(error).splitlines()[0].rstrip(".")  # memory is told of when it is needed
    return ""


def out_of_memory_error(
    fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig, side: int
) -> FototecaError:
    """The error that names the largest halving of the batch that a forward and backward pass of empty images fits into."""
    batch = config.batch_size
    for size in sorted({max(2, batch >> halvings) for halvings in range(1, batch.bit_length())} - {batch}, reverse=True):
        if _fits(fabric, module, optimizer, config, -(-size // fabric.world_size), side):
            same = "" if batch % size else " and takes the same steps"
            hint = f"--batch-size {size} --accumulate {config.accumulate * -(-batch // size)} fits{same}"
            return FototecaError(f"out of memory with {batch} images of {side} px at once", hint)
    least = "two images" if batch > 1 else "one image"
    return FototecaError(
        f"out of memory even with {least} of {side} px at once", "use a smaller --model or --image-size, or --device cpu"
    )


def _fits(
    fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig, images: int, side: int
) -> bool:
    """Whether a pass fits beside what the optimizer keeps, or will keep after its first step."""
    if fabric.device.type == "cuda":
        torch.cuda.empty_cache()
    copies = 0 if optimizer.state_dict()["state"] else 2 if config.optimizer == "adamw" else 1
    try:
        kept = [
            torch.empty_like(parameter) for parameter in module.parameters() if parameter.requires_grad for _ in range(copies)
        ]
        with fabric.autocast():
            said = module(torch.zeros(images, 3, side, side, device=fabric.device)).float().sum()
        said.backward()
        del kept
    except (MemoryError, RuntimeError):  # in whatever words: the step itself had no more to say against the images
        return False
    finally:
        module.zero_grad(set_to_none=True)
    return True
