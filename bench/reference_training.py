"""The peer of `train sweep`: one run like torchvision's reference scripts for classification, on folders of images.

ImageFolder, RandomResizedCrop and horizontal flips, a DataLoader, AdamW, an evaluation after every epoch. A frozen backbone
runs again in every epoch.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from fototeca.train.config import TrainConfig
from fototeca.train.training.optim import unfreeze
from fototeca.vision.backbones import build_model, classifier_of
from fototeca.vision.preprocessing import MEAN, STD


def reference_run(folder: Path, config: TrainConfig, side: int) -> float:
    """Train on `folder/train` at `side` pixels, evaluate on `folder/val` after every epoch; return the last accuracy."""
    settings = config.resolved()
    assert settings.epochs is not None and settings.lr is not None
    torch.manual_seed(settings.seed)
    tail = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    crop = v2.RandomResizedCrop(settings.train_crop_size(side), scale=(0.35, 1.0), antialias=True)
    train_transform = v2.Compose([crop, v2.RandomHorizontalFlip(), *tail])
    val_transform = v2.Compose([v2.Resize(round(side * 8 / 7), antialias=True), v2.CenterCrop(side), *tail])
    loaders = [
        DataLoader(
            ImageFolder(str(folder / split), steps), settings.batch_size, shuffle=split == "train", num_workers=settings.workers
        )
        for split, steps in (("train", train_transform), ("val", val_transform))
    ]
    module = build_model(settings.model, len(loaders[0].dataset.classes), settings.weights)[0]  # type: ignore[attr-defined]
    if settings.regime == "features":
        module.requires_grad_(False)
        classifier_of(module)[1].requires_grad_(True)
    elif settings.regime == "finetune":
        unfreeze(module, settings.unfreeze)
    decay = settings.weight_decay or 0.05  # the default for features is None, since its regularization is chosen on validation
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], settings.lr, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    accuracy = 0.0
    for _ in range(settings.epochs):
        train_epoch(module, loaders[0], optimizer)
        schedule.step()
        accuracy = evaluate(module, loaders[1])
    return accuracy


def train_epoch(module: nn.Module, loader: DataLoader[object], optimizer: torch.optim.Optimizer) -> None:
    """Train for one epoch."""
    module.train()
    for images, labels in loader:
        loss = F.cross_entropy(module(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


def evaluate(module: nn.Module, loader: DataLoader[object]) -> float:
    """Return the accuracy."""
    module.eval()
    num_correct, num_images = 0, 0
    with torch.inference_mode():
        for images, labels in loader:
            num_correct, num_images = num_correct + int((module(images).argmax(1) == labels).sum()), num_images + len(labels)
    return num_correct / num_images
