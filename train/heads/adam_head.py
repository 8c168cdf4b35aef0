"""The `linear` head: softmax or sigmoid regression by Adam."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from fototeca.train.errors import TrainingAborted
from fototeca.train.heads.fitted import PROGRESS, FeatureSet, FittedHead, choose_best, evaluate_train, make_candidates
from fototeca.train.heads.standardize import Scaler
from fototeca.train.training.losses import compute_loss, evaluate

DECAYS = (1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
"""Strengths of L2 that are fitted together."""

BATCH_SIZE = 256


def fit_adam(
    train: FeatureSet,
    val: FeatureSet,
    num_classes: int,
    *,
    epochs: int,
    seed: int,
    lr: float = 1e-2,
    **options: Any,  # noqa: ANN401  (compute_loss's)
) -> FittedHead:
    """Fit on mini-batches with a cosine schedule; all strengths of DECAYS are fitted at once, as one matrix product.

    `options`: weights and smoothing of `compute_loss`. TrainingAborted if a loss becomes NaN or infinite.
    """
    scaler = Scaler.fit(train.features)
    x, x_val = torch.from_numpy(scaler.transform(train.features)), torch.from_numpy(scaler.transform(val.features))
    y = train.labels
    multi = y.dim() == 2
    generator = torch.Generator().manual_seed(seed)
    weight = torch.zeros(x.shape[1], len(DECAYS), num_classes, requires_grad=True)  # one product for all strengths
    bias = torch.zeros(len(DECAYS), num_classes, requires_grad=True)

    def compute_logits(inputs: torch.Tensor) -> torch.Tensor:
        """(N, D) to (strengths, N, C)."""
        return ((inputs @ weight.flatten(1)).view(-1, *bias.shape) + bias).transpose(0, 1)

    decays = torch.tensor(DECAYS)
    optimizer = torch.optim.Adam([weight, bias], lr=lr)
    total = epochs * -(-len(x) // BATCH_SIZE)
    history: list[tuple[int, int, torch.Tensor, float]] = []
    curves = []
    for epoch in tqdm(range(1, epochs + 1), desc="head", unit="epoch", **PROGRESS):
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            rate = lr * 0.5 * (1 + np.cos(np.pi * len(history) / total))
            optimizer.param_groups[0]["lr"] = rate
            losses = torch.stack([compute_loss(part, y[rows], multi=multi, **options) for part in compute_logits(x[rows])])
            if not losses.isfinite().all():
                message = f"loss of the head became NaN or infinite at step {len(history) + 1} (epoch {epoch})"
                raise TrainingAborted(message, f"try --lr {lr / 10:g}")
            optimizer.zero_grad()
            torch.autograd.backward((losses + 0.5 * decays * weight.pow(2).sum(dim=(0, 2))).sum())
            optimizer.step()
            history.append((len(history) + 1, epoch, losses.detach(), rate))
        with torch.no_grad():
            train_logits, val_logits = compute_logits(x), compute_logits(x_val)
        scores = [
            (evaluate_train(train_part, y), evaluate(val_part, val.labels))
            for train_part, val_part in zip(train_logits, val_logits, strict=True)
        ]
        curves.append(scores)
    final = [val_score for _, val_score in curves[-1]]
    chosen = choose_best(final)
    chosen_weight, chosen_bias = weight[:, chosen].detach().double().T.numpy(), bias[chosen].detach().double().numpy()
    head = FittedHead(*scaler.fold(chosen_weight, chosen_bias))
    head.candidates = make_candidates(DECAYS, final, chosen)
    head.steps = [(step, epoch, float(losses[chosen]), rate) for step, epoch, losses, rate in history]
    head.epochs = [(number, *scores[chosen][0], *scores[chosen][1]) for number, scores in enumerate(curves, start=1)]
    return head
