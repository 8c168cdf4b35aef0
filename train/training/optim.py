"""Trainable stages, parameter groups, optimizers and learning rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

from fototeca.core.errors import FototecaError
from fototeca.train.config import TrainConfig
from fototeca.vision.backbones import classifier_of

CONTAINERS = ("features", "trunk_output", "layers", "encoder", "blocks", "stages")
"""Children whose own children are the stages of a network."""

DROPOUT_LAYERS = (_DropoutNd, StochasticDepth)

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)


def list_stages(module: nn.Module) -> list[tuple[str, list[str]]]:
    """Return the name of each stage from the image to the classifier (excluded), and the names of its parameters.

    A norm between stages belongs to the stage before it, parameters of no child (a transformer's tokens) to the first stage.
    """
    head = classifier_of(module)[0].split(".")[0]
    stages: list[tuple[str, list[str]]] = []
    direct: list[str] = []

    def add(prefix: str, parent: nn.Module) -> None:
        direct.extend(f"{prefix}{name}" for name, _ in parent.named_parameters(recurse=False))
        for name, child in parent.named_children():
            own = [f"{prefix}{name}.{leaf}" for leaf, _ in child.named_parameters()]
            if not own or (not prefix and name == head):
                continue
            if name in CONTAINERS:
                add(f"{prefix}{name}.", child)
            elif stages and isinstance(child, NORMS):
                stages[-1][1].extend(own)
            else:
                stages.append((f"{prefix}{name}", own))

    add("", module)
    stages[0][1].extend(direct)
    return stages


def unfreeze(module: nn.Module, which: str) -> list[str]:
    """Make only the classifier and the chosen stages trainable; return the stages' names.

    `which`: all, head, half, the last N stages, or a stage's name (it and all after it). FototecaError for anything else. CBAM in
    a ResNet is always trainable: ImageNet weights do not have it.
    """
    stages = list_stages(module)
    names = [name for name, _ in stages]
    counts = {"all": len(names), "head": 0, "half": (len(names) + 1) // 2}
    if which in counts:
        count = counts[which]
    elif which.isdecimal() and int(which) <= len(names):
        count = int(which)
    elif which in names:
        count = len(names) - names.index(which)
    else:
        hint = f"choose all, half, head, 1 to {len(names)}, or: {', '.join(names)}"
        raise FototecaError(f"--unfreeze {which} is not a stage of this model", hint)
    first = len(names) - count
    if which != "all":
        head = classifier_of(module)[0].split(".")[0]
        trainable = {leaf for _, leaves in stages[first:] for leaf in leaves}
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name in trainable or name.startswith(f"{head}.") or ".cbam." in name)
    return names[first:]


def train_mode(module: nn.Module, freeze_bn: bool) -> None:
    """Set training mode, but eval mode for frozen parts, their dropout and statistics; with `freeze_bn` for all batch norms."""
    module.train()
    for child in module.modules():
        parameters = list(child.parameters())
        is_frozen = bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
        if is_frozen or (freeze_bn and isinstance(child, _BatchNorm)):
            child.eval()


def list_per_process_effects(module: nn.Module, config: TrainConfig) -> list[str]:
    """Return what each process computes on its own part of a batch, so that several processes train another run than one."""
    train_mode(module, config.freeze_bn)
    training = [child for child in module.modules() if child.training]
    effects = {
        "mixing": bool(config.mixup or config.cutmix),
        "dropout": any(isinstance(child, DROPOUT_LAYERS) and child.p > 0 for child in training),
        "batch norm": any(isinstance(child, _BatchNorm) for child in training),
    }
    return [name for name, is_present in effects.items() if is_present]


def parameter_groups(module: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Return the trainable parameters grouped by learning rate factor and weight decay.

    Stages further from the head have a lower factor. Only layer weights decay: not norms, biases, nor a transformer's tokens and
    position tables.
    """
    depth = {leaf: index for index, (_, leaves) in enumerate(reversed(list_stages(module)), start=1) for leaf in leaves}
    norm_parameters = {
        f"{name}.{leaf}" for name, child in module.named_modules() if isinstance(child, NORMS) for leaf in ("weight", "bias")
    }
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            decays = name.endswith("weight") and parameter.dim() > 1 and name not in norm_parameters
            groups.setdefault((depth.get(name, 0), decays), []).append(parameter)
    assert config.weight_decay is not None
    return [
        {"params": group, "scale": config.layer_decay**distance, "weight_decay": config.weight_decay if decays else 0.0}
        for (distance, decays), group in sorted(groups.items(), key=lambda item: item[0])
    ]


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum, or AdamW, over the module's parameter groups."""
    assert config.lr is not None
    groups = parameter_groups(module, config)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.lr)


def make_schedule(config: TrainConfig, steps: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the step, of `steps` in all; resuming needs no state."""
    assert config.lr is not None
    peak, cycle = config.lr, math.ceil(steps / max(1, config.snapshots))
    warmup = {"onecycle": 0.25, "cosine": 0.05, "constant": 0.0}[config.schedule] * cycle

    def rate(step: int) -> float:
        position = step % cycle
        if config.schedule == "constant":
            return peak
        if position < warmup:
            return peak * (0.04 + 0.96 * position / warmup)
        return peak * max(1e-4, 0.5 * (1 + math.cos(math.pi * (position - warmup) / max(1.0, cycle - warmup))))

    return rate


def set_lr(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group to `rate` times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
