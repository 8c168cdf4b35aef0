"""Typed results of `evaluate`: metrics of one run on one split, with intervals."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from fototeca.core.results import Result

Interval = tuple[float, float]
"""Lower and upper end of a 95% interval."""


class SparseResult(Result):
    """Result whose optional fields, those with the default None, are left out of the JSON while they are None."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, in their order."""
        unset = {
            field.name
            for field in fields(self)  # type: ignore[arg-type]
            if field.default is None and getattr(self, field.name) is None
        }
        return {name: value for name, value in super().to_json().items() if name not in unset}


@dataclass(frozen=True)
class ClassMetrics(Result):
    """Metrics of one category; `n` is the number of images that carry it."""

    precision: float
    recall: float
    recall_interval: Interval
    f1: float
    n: int


@dataclass(frozen=True)
class CalibrationBin(Result):
    """One non-empty bin of a reliability diagram: mean confidence, accuracy and number of predictions."""

    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True)
class Calibration(Result):
    """Expected calibration error and reliability diagram, before and after temperature scaling."""

    temperature: float | None
    """Fitted on validation; None if it could not be fitted, and both sides are then equal."""
    ece: float
    ece_scaled: float
    bins: tuple[CalibrationBin, ...]
    bins_scaled: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class Confusion(Result):
    """Confusion matrix of a single-label run, row the true category, column the predicted one."""

    categories: tuple[str, ...]
    counts: list[list[int]]
    fractions: list[list[float]]
    """Of the true category, to six decimals."""


@dataclass(frozen=True)
class AveragePrecision(Result):
    """Average precision of a multi-label run: mean over categories, over all cells, per category (None without a positive)."""

    macro: float
    micro: float
    per_class: dict[str, float | None]


@dataclass(frozen=True)
class TtaGain(Result):
    """Accuracy with test-time augmentation, its gain over plain predictions, and the cost of both."""

    used: bool
    """False where it lowers the accuracy on validation; on test it is then not measured, and this is validation's."""
    views: int
    accuracy: float
    gain: float
    gain_interval: Interval
    p: float
    """Of McNemar's exact test."""
    seconds_per_image: float
    seconds_per_image_alone: float
    """Without augmentation."""


@dataclass(frozen=True)
class Evaluation(SparseResult):
    """Metrics of a run on one split. Fields of the other task, of TTA and of test are None and not in the JSON."""

    run: str
    split: str
    n: int
    """Number of images."""
    accuracy: float
    """Multi-label: share of images with exactly the right labels."""
    accuracy_interval: Interval
    """Wilson's interval for the effective number of images, since near-duplicates are not independent."""
    wilson_interval: Interval
    """Wilson's interval for `n` independent images."""
    design_effect: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    intervals: dict[str, Interval]
    """95% intervals of the other metrics by name, see `score_intervals`; duplicate groups are accounted for."""
    absent: tuple[str, ...]
    """Categories without images in the split."""
    per_class: dict[str, ClassMetrics]
    calibration: Calibration
    log_loss: float
    balanced_accuracy: float | None = None
    brier: float | None = None
    top_k: dict[str, float] | None = None
    """Top-k accuracy by k."""
    confusion: Confusion | None = None
    micro_f1: float | None = None
    confusion_per_class: dict[str, dict[str, int]] | None = None
    """Multi-label: the four counts of each category's binary confusion matrix."""
    average_precision: AveragePrecision | None = None
    tta: TtaGain | None = None
    test_accesses: int | None = None
    """Number of accesses to this version's test split so far."""
