"""Device, precision and processes of a run through Lightning Fabric, and errors for input sizes and batches that do not fit."""

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
    """Set up device, precision and processes. Under torchrun each process joins the group; otherwise there is one process.

    FototecaError for a device that is not available and for 16-bit precision on a CPU.
    """
    precision: Any = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[config.precision]
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    several = "WORLD_SIZE" in os.environ and int(os.environ["WORLD_SIZE"]) > 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Fabric's change of 16 to bf16 on a CPU is rejected below
            fabric = Fabric(
                accelerator=config.device,
                devices=processes if several else 1,
                num_nodes=int(os.environ["WORLD_SIZE"]) // processes if several else 1,
                strategy="ddp" if several else "auto",
                precision=precision,
            )
    except (RuntimeError, ValueError) as error:
        is_absent = "can not run on your system" in str(error)
        reason = "torch finds no such device" if is_absent else str(error).splitlines()[0]
        raise FototecaError(f"--device {config.device} is not available: {reason}", "use --device auto or cpu") from None
    if fabric.device.type == "cpu" and config.precision == "16":
        raise FototecaError("--precision 16 is for GPUs", "omit it, or train with --device cuda")
    if config.precision == "bf16" and not _has_bf16(fabric.device):
        notify("this CPU has no bf16 units: --precision bf16 takes many times longer than 32")
    fabric.launch()
    return fabric


def _has_bf16(device: torch.device) -> bool:
    """Return True if the device computes in bf16 natively; assumed for CPUs other than x86."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    is_other = device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64")
    return is_other or torch.cpu._is_avx512_bf16_supported()


def check_forward(
    module: nn.Module, config: TrainConfig, side: int, num_images: int, processes: int, image_size: int | None = None
) -> None:
    """Run the module, in its current mode, on blank images of `side` px. FototecaError if it rejects their size or number.

    `image_size`: size of the run, where `side` is that of its training crops.
    """
    error = _forward_error(module, side, num_images)
    if not error:
        return
    size = side if image_size is None else image_size
    crops = "" if size == side else f" (it is trained on crops of {side} px of them)"
    if num_images == 1 and not _forward_error(module, side, 2):
        raise FototecaError(
            f"{config.model} cannot be trained on one image of {size} px{crops} at a time: {error}",
            f"use --batch-size {2 * processes} or more, or a larger --image-size",
        )
    default = default_preprocessing(config.model).crop
    hint = f"choose another --image-size; its default is {default}"
    raise FototecaError(f"{config.model} does not accept images of {size} px{crops}: {error}", hint)


def _forward_error(module: nn.Module, side: int, num_images: int) -> str:
    """Return the module's error for images of this size; empty if it accepts them. Its statistics do not change."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    try:
        with torch.no_grad():
            functional_call(module, buffers, (torch.zeros(num_images, 3, side, side),))
    except (AssertionError, RuntimeError, ValueError) as error:
        return "" if is_out_of_memory(error) else str(error).splitlines()[0].rstrip(".")  # reported when training needs it
    return ""


def out_of_memory_error(
    fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig, image_size: int
) -> FototecaError:
    """Return the error that suggests the largest halving of the batch with which a forward and backward pass fits in memory.

    `image_size`: size of the run, which the error names; passes are made on crops of the size that it trains on.
    """
    batch, side = config.batch_size, config.train_crop_size(image_size)
    for size in sorted({max(2, batch >> halvings) for halvings in range(1, batch.bit_length())} - {batch}, reverse=True):
        if _fits(fabric, module, optimizer, config, -(-size // fabric.world_size), side):
            same = "" if batch % size else " and gives the same steps"
            hint = f"--batch-size {size} --accumulate {config.accumulate * -(-batch // size)} fits{same}"
            return FototecaError(f"out of memory with {batch} images of {image_size} px at once", hint)
    minimum = "two images" if batch > 1 else "one image"
    return FototecaError(
        f"out of memory even with a batch of {minimum} at {image_size} px",
        "use a smaller --model or --image-size, or --device cpu",
    )


def _fits(
    fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer, config: TrainConfig, images: int, side: int
) -> bool:
    """Return True if a pass fits beside the optimizer's state, allocated already or in its first step."""
    if fabric.device.type == "cuda":
        torch.cuda.empty_cache()
    copies = 0 if optimizer.state_dict()["state"] else 2 if config.optimizer == "adamw" else 1
    try:
        state = [
            torch.empty_like(parameter) for parameter in module.parameters() if parameter.requires_grad for _ in range(copies)
        ]
        with fabric.autocast():
            total = module(torch.zeros(images, 3, side, side, device=fabric.device)).float().sum()
        total.backward()
        del state
    except (MemoryError, RuntimeError):  # any message: the step itself failed for memory
        return False
    finally:
        module.zero_grad(set_to_none=True)
    return True
