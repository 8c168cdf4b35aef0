"""Losses and accuracies equal torch's and scikit-learn's."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run, decide_labels
from fototeca.train.training.data import class_weights, epoch_order, sampling_weights
from fototeca.train.training.losses import choose_thresholds, compute_loss, num_correct


def test_class_weights_equal_scikit_learn_and_loss_equals_torch() -> None:
    """Balanced weights in nn.CrossEntropyLoss."""
    labels = torch.tensor([0] * 7 + [1] * 2 + [2])
    logits = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    weights = class_weights(labels, 3, "weights")
    assert weights is not None
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    assert weights.numpy() == pytest.approx(expected)
    own = nn.CrossEntropyLoss(weight=torch.tensor(expected, dtype=torch.float32))
    assert compute_loss(logits, labels, multi=False, weights=weights).item() == pytest.approx(own(logits, labels).item())


def reference_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, smoothing: float) -> float:
    """Smoothed cross-entropy of each image by hand, times the weight of its class; multi-label, of each decision."""
    total, divisor = 0.0, 0.0
    for scores, label in zip(logits.double(), labels, strict=True):
        if labels.dim() == 1:
            target = [(1 - smoothing) * (c == int(label)) + smoothing / len(scores) for c in range(len(scores))]
            loss = -sum(t * float(p) for t, p in zip(target, scores.log_softmax(dim=0), strict=True))
            total += float(weights[label]) * loss
            divisor += float(weights[label])
            continue
        for score, is_true, weight in zip(scores, label, weights, strict=True):
            target_one = 1 - smoothing / 2 if is_true else smoothing / 2
            p = float(score.sigmoid())
            loss = -target_one * math.log(p) - (1 - target_one) * math.log(1 - p)
            total += (float(weight) if is_true else 1.0) * loss
            divisor += 1
    return total / divisor


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_weights_with_smoothing_equal_the_reference(multi: bool, smoothing: float) -> None:
    """Single- and multi-label, with classes of 1 to 19 images in 20."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(30, 3, generator=generator)
    rare = (torch.rand(30, 3, generator=generator) < torch.tensor([0.9, 0.5, 0.1])).float()
    labels = rare if multi else (torch.arange(30) % 20).clamp(min=17) - 17
    weights = class_weights(labels, 3, "weights")
    assert weights is not None
    own = compute_loss(logits, labels, multi=multi, weights=weights, smoothing=smoothing).item()
    assert own == pytest.approx(reference_loss(logits, labels, weights, smoothing), rel=1e-5)
    if not multi:  # fractions that are all of one class are that class, but for the divisor
        fractions = nn.functional.one_hot(labels, 3).float()
        mixed = compute_loss(logits, fractions, multi=False, weights=weights, smoothing=smoothing).item()
        assert mixed * len(labels) == pytest.approx(own * float(weights[labels].sum()), rel=1e-5)


@pytest.mark.parametrize("multi", [False, True])
def test_the_rare_class_is_still_predicted_with_smoothing(multi: bool) -> None:
    """At 32:1 the lowest loss of images of the frequent class is on its side of the border."""
    labels = torch.tensor([0] * 97 + [1] * 3)
    targets = labels[:, None].float() if multi else labels
    weights = class_weights(targets, 1 if multi else 2, "weights")
    logits = torch.zeros(100, 1 if multi else 2, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], lr=1.0, max_iter=60)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = compute_loss(logits, targets, multi=multi, weights=weights, smoothing=0.1)
        torch.autograd.backward(loss)
        return loss

    for _ in range(5):
        optimizer.step(closure)
    predicted = (logits[:, 0] > 0).long() if multi else logits.argmax(dim=1)
    assert torch.equal(predicted, labels)


def test_multi_label_loss_equals_torch() -> None:
    """nn.BCEWithLogitsLoss with negatives over positives as pos_weight."""
    labels = (torch.rand(20, 3, generator=torch.Generator().manual_seed(1)) < torch.tensor([0.2, 0.5, 0.8])).float()
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(2))
    weights = class_weights(labels, 3, "weights")
    assert weights is not None
    ratio = torch.tensor([(column == 0).sum() / (column == 1).sum() for column in labels.T])
    assert torch.allclose(weights, ratio)
    assert compute_loss(logits, labels, multi=True, weights=weights).item() == pytest.approx(
        nn.BCEWithLogitsLoss(pos_weight=ratio)(logits, labels).item()
    )
    assert compute_loss(logits, labels, multi=True).item() == pytest.approx(nn.BCEWithLogitsLoss()(logits, labels).item())


def test_class_weights_are_positive_and_finite() -> None:
    """A class of all images has a positive weight, a class of none a finite one."""
    weights = class_weights(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 2, "weights")
    assert weights is not None and weights.tolist() == [0.5, 2.0]


def test_balanced_sampling_draws_classes_equally() -> None:
    """A class of 10 among 1,000 images is drawn as often as the others, within sampling error."""
    labels = torch.tensor([0] * 500 + [1] * 490 + [2] * 10)
    config = TrainConfig(manifest="v001", model="cnn", regime="scratch", balance="sampling")
    drawn = torch.bincount(labels[epoch_order(labels, config, 1)], minlength=3) / 1000
    assert drawn.numpy() == pytest.approx([1 / 3] * 3, abs=0.06)


def test_balanced_sampling_uses_the_rarest_label() -> None:
    """Multi-label: an image is drawn by its rarest label, one without labels by chance."""
    labels = torch.zeros(1000, 3)
    labels[:900, 0], labels[850:950, 1], labels[940:960, 2] = 1, 1, 1
    weights = sampling_weights(labels)
    assert weights[[0, 860, 945, 999]].tolist() == pytest.approx([1 / 900, 1 / 100, 1 / 20, 1 / 1000])
    config = TrainConfig(manifest="v001", model="cnn", regime="scratch", balance="sampling")
    drawn = torch.tensor([index for epoch in range(1, 11) for index in epoch_order(labels, config, epoch)])
    counts = torch.bincount(drawn, minlength=1000).float()
    share = (weights / weights.sum()).float()
    groups = [slice(0, 850), slice(850, 940), slice(940, 960), slice(960, 1000)]
    assert [float(counts[part].sum()) / 10_000 for part in groups] == pytest.approx(
        [float(share[part].sum()) for part in groups], abs=0.02
    )


def test_labels_are_predicted_from_their_threshold(tmp_path: Path) -> None:
    """Each category has its own threshold, which is inclusive."""
    run = Run("a", tmp_path, {"task": "multi", "categories": ["red", "green", "blue"]})
    probabilities = np.array([[0.25, 0.6, 0.5], [0.24, 0.8, 0.49], [0.9, 0.7, 0.0]], dtype=np.float32)
    assert decide_labels(run, probabilities) == ["blue|green", "green", "green|red"]
    (tmp_path / "thresholds.json").write_text('{"blue": 0.5, "red": 0.25, "green": 0.7}')
    run = Run("a", tmp_path, run.config)
    assert decide_labels(run, probabilities) == ["blue|red", "green", "green|red"]


def test_thresholds_maximize_f1() -> None:
    """No threshold of a grid of hundredths has a better F1 for a class."""
    rng = np.random.default_rng(0)
    labels = rng.random((60, 3)) < [0.1, 0.4, 0.7]
    scores = np.clip(labels * 0.3 + rng.random((60, 3)) * 0.7, 0, 1).astype(np.float32)
    chosen = choose_thresholds(scores, labels)
    for c in range(3):
        best = max(f1_score(labels[:, c], scores[:, c] >= cut, zero_division=0) for cut in np.linspace(0, 1, 101))
        assert f1_score(labels[:, c], scores[:, c] >= chosen[c]) >= best - 1e-9


def test_multi_label_accuracy_needs_all_labels_correct() -> None:
    """Accuracy is exact match of the label set."""
    assert num_correct(torch.tensor([[1.0, -1.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])) == 1
    assert num_correct(torch.tensor([[1.0, 2.0], [3.0, 1.0]]), torch.tensor([1, 1])) == 1
