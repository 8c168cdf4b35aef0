"""Classifiers over frozen features, each with its regularisation chosen on validation.

The linear ones (linear, logistic, svm) come back as one weight matrix over the raw features, so that they become the
network's own classifier; boosting comes back as arrays of trees.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from fototeca.core.errors import FototecaError
from fototeca.train.errors import TrainingAborted
from fototeca.train.heads.linear_solvers import CERTAIN, SMALL, solve_all
from fototeca.train.heads.standardize import Scaler
from fototeca.train.heads.tree_arrays import Boosting, by_blocks, from_sklearn
from fototeca.train.training.losses import compute_loss, evaluate, num_correct
from fototeca.vision.threads import single_thread

Floats = npt.NDArray[np.float64]

DECAYS = (1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
"""Strengths of L2 that `linear` tries, all at once."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Values of scikit-learn's C that `logistic` tries, on standardised features; `svm` all but the last, which takes it longest."""

_LOST = 0.002
"""Validation accuracy below the best so far at which stronger fits, each slower than the last, are no longer tried."""

BAR: dict[str, Any] = {"delay": 2.0, "leave": False, "disable": None}
"""How it is shown how far a fit is: once it has lasted a while, to a person only."""

FEW = 3_000_000
"""Numbers in the training features from which the products of `linear`, of all strengths at once, keep several threads busy: of
2,100 × 2,048 it is fitted in 3.1 s with two and 5.3 s with one; a solver of scikit-learn's in 2.7 and 0.8 s."""

BATCH = 256
COMPONENTS = 64
ROUNDS = 60
JUDGED = 5
"""Rounds of boosting after which validation is asked, again and again."""


@dataclass(frozen=True)
class Split:
    """Features (N, D) with their targets: classes (N,), or multi-label (N, C)."""

    features: npt.NDArray[np.float32]
    labels: torch.Tensor


@dataclass
class Fitted:
    """A head, how it was chosen, and its curves."""

    weight: Floats | None = None
    """(C, D) over raw features; None for boosting."""
    bias: Floats | None = None
    """(C,)."""
    boosting: Boosting | None = None
    tried: list[dict[str, float]] = field(default_factory=list)
    """A row per strength: strength, val_loss, val_accuracy, chosen (1 or 0)."""
    steps: list[tuple[int, int, float, float]] = field(default_factory=list)
    """step, epoch, loss, learning_rate."""
    epochs: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    """epoch, train_loss, train_accuracy, val_loss, val_accuracy."""

    def logits(self, features: npt.NDArray[np.float32]) -> Floats:
        """(N, C) of (N, D)."""
        if self.boosting:
            return self.boosting.decision(features)
        assert self.weight is not None and self.bias is not None
        weight, bias = self.weight, self.bias
        return by_blocks(lambda rows: np.asarray(rows @ weight.T + bias, dtype=np.float64), features)


def fit_head(kind: str, train: Split, val: Split, classes: int, *, seed: int, **options: Any) -> Fitted:  # noqa: ANN401  (a head's own)
    """Fit a head of `kind` on `train`, its strength chosen by validation accuracy, then loss. Bit for bit the same each time.

    `options`: class weights, and what `fit_linear` takes. FototecaError for features or a loss that are no numbers.
    """
    if not all(np.isfinite(split.features.sum(dtype=np.float64)) for split in (train, val)):
        raise FototecaError(
            "some features are no numbers", "the weights are damaged or of no use: fetch them again, or name others"
        )
    with single_thread() if train.features.size <= (FEW if kind == "linear" else SMALL) else nullcontext():
        return _fitted(kind, train, val, classes, seed, **options)


def _fitted(kind: str, train: Split, val: Split, classes: int, seed: int, **options: Any) -> Fitted:  # noqa: ANN401
    if kind == "linear":
        return fit_linear(train, val, classes, seed=seed, **options)
    weights = options.get("weights")
    fit = {"logistic": _logistic, "svm": _svm, "boosting": _boosting}[kind]
    fitted = fit(train, val, classes, seed, None if weights is None else weights.numpy())
    if not fitted.epochs:
        scores = _both(fitted.logits, train, val)
        fitted.epochs = [(1, *scores[0], *scores[1])]
        fitted.steps = [(1, 1, scores[0][0], 0.0)]
    return fitted


def fit_linear(train: Split, val: Split, classes: int, *, epochs: int, seed: int, lr: float = 1e-2, **options: Any) -> Fitted:  # noqa: ANN401  (loss_of's options)
    """Softmax (or sigmoid) regression by Adam on mini-batches; all strengths of DECAYS learn side by side in one product.

    `options`: weights and smoothing of `loss_of`. FototecaError when a loss is no number any more.
    """
    scaler = Scaler.of(train.features)
    x, x_val, y = torch.from_numpy(scaler(train.features)), torch.from_numpy(scaler(val.features)), train.labels
    grid = range(len(DECAYS))
    multi = y.dim() == 2
    generator = torch.Generator().manual_seed(seed)
    weight = torch.zeros(x.shape[1], len(DECAYS), classes, requires_grad=True)  # so that all strengths are one product
    bias = torch.zeros(len(DECAYS), classes, requires_grad=True)

    def said(inputs: torch.Tensor) -> torch.Tensor:
        """(N, D) to (strengths, N, C)."""
        return ((inputs @ weight.flatten(1)).view(-1, *bias.shape) + bias).transpose(0, 1)

    decays = torch.tensor(DECAYS)
    optimizer = torch.optim.Adam([weight, bias], lr=lr)
    total = epochs * -(-len(x) // BATCH)
    history: list[tuple[int, int, torch.Tensor, float]] = []
    curves = []
    for epoch in tqdm(range(1, epochs + 1), desc="head", unit="epoch", **BAR):
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            rate = lr * 0.5 * (1 + np.cos(np.pi * len(history) / total))
            optimizer.param_groups[0]["lr"] = rate
            losses = torch.stack([compute_loss(part, y[rows], multi=multi, **options) for part in said(x[rows])])
            if not losses.isfinite().all():
                raise TrainingAborted(
                    f"the head's loss is no number any more at step {len(history) + 1} (epoch {epoch})", f"try --lr {lr / 10:g}"
                )
            optimizer.zero_grad()
            torch.autograd.backward((losses + 0.5 * decays * weight.pow(2).sum(dim=(0, 2))).sum())
            optimizer.step()
            history.append((len(history) + 1, epoch, losses.detach(), rate))
        with torch.no_grad():
            learned, asked = said(x), said(x_val)
        curves.append([[_scored(learned[g], train.labels), evaluate(asked[g], val.labels)] for g in grid])
    chosen = _best([(row[1][1], -row[1][0]) for row in curves[-1]])
    fitted = Fitted(*scaler.fold(weight[:, chosen].detach().double().T.numpy(), bias[chosen].detach().double().numpy()))
    fitted.tried = _tried(DECAYS, [row[1] for row in curves[-1]], chosen)
    fitted.steps = [(step, epoch, float(losses[chosen]), rate) for step, epoch, losses, rate in history]
    fitted.epochs = [(number, *rows[chosen][0], *rows[chosen][1]) for number, rows in enumerate(curves, start=1)]
    return fitted


def _logistic(train: Split, val: Split, classes: int, seed: int, weights: Floats | None) -> Fitted:
    from sklearn.linear_model import LogisticRegression

    def solve(strength: float, x: npt.NDArray[np.float32], y: npt.NDArray[Any], weight: Any) -> Any:  # noqa: ANN401  (scikit-learn)
        return LogisticRegression(C=strength, max_iter=400, class_weight=weight).fit(x, y)

    return _linear_path(train, val, classes, solve, weights, STRENGTHS)


def _svm(train: Split, val: Split, classes: int, seed: int, weights: Floats | None) -> Fitted:
    """One-against-rest linear SVMs (DeCAF; Razavian et al. 2014), several at once: liblinear needs no interpreter's lock.

    Margins become logits by one scale fitted on validation.
    """
    from sklearn.svm import LinearSVC

    def solve(strength: float, x: npt.NDArray[np.float32], y: npt.NDArray[Any], weight: Any) -> Any:  # noqa: ANN401  (scikit-learn)
        return LinearSVC(C=strength, random_state=seed, class_weight=weight, dual=True, tol=1e-2).fit(x, y)

    fitted = _linear_path(train, val, classes, solve, weights, STRENGTHS[:-1], apart=True)
    margins = fitted.logits(val.features)
    scales = np.geomspace(0.1, 30, 60)
    scale = scales[int(np.argmin([_scored(_logits(margins * scale), val.labels)[0] for scale in scales]))]
    assert fitted.weight is not None and fitted.bias is not None
    fitted.weight, fitted.bias = fitted.weight * scale, fitted.bias * scale
    return fitted


def _linear_path(
    train: Split,
    val: Split,
    classes: int,
    solve: Callable[..., Any],
    weights: Floats | None,
    strengths: Sequence[float],
    *,
    apart: bool = False,
) -> Fitted:
    """Solve from weak to strong until validation says that it was better before, and keep the best. `apart`: class by class."""
    scaler = Scaler.of(train.features)
    x, y = scaler(train.features), train.labels.numpy()
    candidates: list[Fitted] = []
    scores: list[tuple[float, float]] = []
    for strength in tqdm(strengths, desc="head", unit="strength", **BAR):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a solver that stops early at a weak strength is judged on validation like any other
            weight, bias = solve_all(partial(solve, strength), x, y, classes, weights, apart=apart)
        candidates.append(Fitted(*scaler.fold(weight, bias)))
        scores.append(evaluate(_logits(candidates[-1].logits(val.features)), val.labels))
        if scores[-1][1] < max(accuracy for _, accuracy in scores) - _LOST:
            break
    chosen = _best([(accuracy, -loss) for loss, accuracy in scores])
    candidates[chosen].tried = _tried(strengths[: len(scores)], scores, chosen)
    return candidates[chosen]


def _boosting(train: Split, val: Split, classes: int, seed: int, weights: Floats | None) -> Fitted:
    """Histogram gradient boosting on the leading principal components; the number of rounds is chosen on validation.

    Multi-label: a model for each class that some training images are of and some are not.
    """
    from sklearn.decomposition import PCA
    from sklearn.ensemble import HistGradientBoostingClassifier

    solver = "covariance_eigh" if len(train.features) > train.features.shape[1] else "full"  # whichever matrix is the smaller one
    projection = PCA(min(COMPONENTS, *train.features.shape), svd_solver=solver).fit(train.features.astype(np.float64))
    mean, components = projection.mean_, projection.components_
    x = by_blocks(lambda rows: (rows - mean) @ components.T, train.features)
    y = train.labels.numpy().astype(int)

    def grow(target: npt.NDArray[Any], weight: Floats | None) -> Any:  # noqa: ANN401  (scikit-learn)
        model = HistGradientBoostingClassifier(max_iter=ROUNDS, max_leaf_nodes=8, early_stopping=False, random_state=seed)
        return model.fit(x, target, sample_weight=None if weight is None else weight[target])

    if y.ndim == 2:
        pairs = None if weights is None else np.stack([np.ones(classes), weights], axis=1)
        varied = [c for c in range(classes) if 0 < y[:, c].sum() < len(y)]
        models = [(grow(y[:, c], None if pairs is None else pairs[c]), [c]) for c in varied]
        certain = np.where(y.any(axis=0), CERTAIN, -CERTAIN)
    else:
        model = grow(y, weights)
        models, certain = [(model, list(model.classes_))], np.full(classes, -CERTAIN)
    ends = range(JUDGED, ROUNDS + 1, JUDGED)
    sums = [np.zeros((len(split.features), classes)) for split in (train, val)]
    curves = []
    for end in ends:
        trees = from_sklearn(models, range(end - JUDGED, end), mean, components, certain)
        for scores, split in zip(sums, (train, val), strict=True):
            scores += trees.decision(split.features)
        curves.append((_scored(_logits(sums[0]), train.labels), evaluate(_logits(sums[1]), val.labels)))
    chosen = _best([(scores[1][1], -scores[1][0]) for scores in curves])
    fitted = Fitted(boosting=from_sklearn(models, range(ends[chosen]), mean, components, certain))
    fitted.tried = _tried(ends, [scores[1] for scores in curves], chosen)
    fitted.epochs = [(end, *scores[0], *scores[1]) for end, scores in zip(ends, curves, strict=True)]
    fitted.steps = [(row[0], row[0], row[1], 0.1) for row in fitted.epochs]
    return fitted


def _both(ask: Callable[[npt.NDArray[np.float32]], Floats], train: Split, val: Split) -> list[tuple[float, float]]:
    """Loss and accuracy on training, then on validation."""
    return [_scored(_logits(ask(train.features)), train.labels), evaluate(_logits(ask(val.features)), val.labels)]


def _logits(values: Floats) -> torch.Tensor:
    return torch.from_numpy(values).float()


def _scored(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Loss and accuracy of (N, C) on training; multi-label: of every class on the right side of one half."""
    return float(compute_loss(logits, labels, multi=labels.dim() == 2)), num_correct(logits, labels) / len(labels)


def _best(keys: Sequence[tuple[float, float]]) -> int:
    return max(range(len(keys)), key=lambda index: keys[index])


def _tried(strengths: Sequence[float], scores: Sequence[tuple[float, float]], chosen: int) -> list[dict[str, float]]:
    return [
        {"strength": strength, "val_loss": loss, "val_accuracy": accuracy, "chosen": int(number == chosen)}
        for number, (strength, (loss, accuracy)) in enumerate(zip(strengths, scores, strict=True))
    ]
