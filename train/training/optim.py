"""What learns, how fast, and when: stages, parameter groups, schedules."""

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

CONTAINERS = ("features", "trunk_output", "layers", "encoder", "blocks")
"""Children that only hold the stages of a network."""

DROPOUT_LAYERS = (_DropoutNd, StochasticDepth)
"""What leaves out by chance."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)


def list_stages(module: nn.Module) -> list[tuple[str, list[str]]]:
    """The network's stages from the image to the classifier, which is not one: the name of each, and its parameters' names.

    A norm that stands alone belongs to the stage before it, what lies in no child (a transformer's tokens) to the first.
    """
    head = classifier_of(module)[0].split(".")[0]
    found: list[tuple[str, list[str]]] = []
    loose: list[str] = []

    def add(prefix: str, parent: nn.Module) -> None:
        loose.extend(f"{prefix}{name}" for name, _ in parent.named_parameters(recurse=False))
        for name, child in parent.named_children():
            own = [f"{prefix}{name}.{leaf}" for leaf, _ in child.named_parameters()]
            if not own or (not prefix and name == head):
                continue
            if name in CONTAINERS:
                add(f"{prefix}{name}.", child)
            elif found and isinstance(child, NORMS):
                found[-1][1].extend(own)
            else:
                found.append((f"{prefix}{name}", own))

    add("", module)
    found[0][1].extend(loose)
    return found


def unfreeze(module: nn.Module, which: str) -> list[str]:
    """Let the classifier and the chosen stages learn and nothing else; return the stages' names.

    `which`: all, head, half, the last N stages, or a stage's name (from it on). FototecaError for what is none of these.
    CBAM in a ResNet always learns: the weights of ImageNet lack it.
    """
    found = list_stages(module)
    names = [name for name, _ in found]
    counts = {"all": len(names), "head": 0, "half": (len(names) + 1) // 2}
    if which in counts:
        count = counts[which]
    elif which.isdecimal() and int(which) <= len(names):
        count = int(which)
    elif which in names:
        count = len(names) - names.index(which)
    else:
        raise FototecaError(
            f"--unfreeze {which} is no stage of this model", f"choose all, half, head, 1 to {len(names)}, or: {', '.join(names)}"
        )
    learning = names[len(names) - count :]
    if which != "all":
        head = classifier_of(module)[0].split(".")[0]
        chosen = {leaf for _, leaves in found[len(names) - count :] for leaf in leaves}
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name in chosen or name.startswith(f"{head}.") or ".cbam." in name)
    return learning


def train_mode(module: nn.Module, freeze_bn: bool) -> None:
    """Training mode, but frozen parts (dropout and statistics too) as in evaluation; with `freeze_bn` every batch norm."""
    module.train()
    for child in module.modules():
        parameters = list(child.parameters())
        frozen = bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
        if frozen or (freeze_bn and isinstance(child, _BatchNorm)):
            child.eval()


def list_per_process_effects(module: nn.Module, config: TrainConfig) -> list[str]:
    """What each of several processes draws or measures on its own part of a batch, so that they learn otherwise than one does."""
    train_mode(module, config.freeze_bn)
    learning = [child for child in module.modules() if child.training]
    found = {
        "mixing": bool(config.mixup or config.cutmix),
        "dropout": any(isinstance(child, DROPOUT_LAYERS) and child.p > 0 for child in learning),
        "batch norm": any(isinstance(child, _BatchNorm) for child in learning),
    }
    return [name for name, there in found.items() if there]


def parameter_groups(module: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Learning parameters by rate and decay: stages further from the head learn slower; only weights of layers decay.

    Not norms, biases, nor what a transformer adds to its inputs: tokens, positions and tables of them.
    """
    depth = {leaf: index for index, (_, leaves) in enumerate(reversed(list_stages(module)), start=1) for leaf in leaves}
    plain = {
        f"{name}.{leaf}" for name, child in module.named_modules() if isinstance(child, NORMS) for leaf in ("weight", "bias")
    }
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            decays = name.endswith("weight") and parameter.dim() > 1 and name not in plain
            groups.setdefault((depth.get(name, 0), decays), []).append(parameter)
    assert config.weight_decay is not None
    return [
        {"params": group, "scale": config.layer_decay**far, "weight_decay": config.weight_decay if decays else 0.0}
        for (far, decays), group in sorted(groups.items(), key=lambda item: item[0])
    ]


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum or AdamW over the module's parameter groups."""
    assert config.lr is not None
    groups = parameter_groups(module, config)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.lr)


def make_schedule(config: TrainConfig, steps: int) -> Callable[[int], float]:
    """The rate at each of `steps` optimizer steps, a function of the step alone, so that resuming needs no state."""
    assert config.lr is not None
    top, cycle = config.lr, math.ceil(steps / max(1, config.snapshots))
    warm = {"onecycle": 0.25, "cosine": 0.05, "constant": 0.0}[config.schedule] * cycle

    def rate(step: int) -> float:
        place = step % cycle
        if config.schedule == "constant":
            return top
        if place < warm:
            return top * (0.04 + 0.96 * place / warm)
        return top * max(1e-4, 0.5 * (1 + math.cos(math.pi * (place - warm) / max(1.0, cycle - warm))))

    return rate


def set_lr(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
