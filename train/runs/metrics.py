"""The figures of a finished run, as `done.json` holds them."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version as installed_version
from typing import Any

from fototeca.core.results import Result

SOFTWARE_PACKAGES = ("fototeca", "torch", "torchvision", "scikit-learn")
"""Packages whose versions are recorded with a run."""


@dataclass(frozen=True, kw_only=True)
class RunMetrics(Result):
    """Figures of a finished run. Optional ones are None where the kind of run has none; `to_json` omits them."""

    train_images: int | None = None
    train_accuracy: float
    val_images: int
    val_accuracy: float
    val_interval: tuple[float, float] | None = None
    """95% interval of the validation accuracy, in which each duplicate group counts as one observation."""
    parameters: int
    trainable_parameters: int | None = None
    seconds: float
    """Duration, of preparing and training together."""
    seconds_preparing: float | None = None
    seconds_training: float | None = None
    images_per_second: float
    """Training images per second, averaged over epochs; 0 for ensembles."""
    best_epoch: int | None = None
    epochs_run: int | None = None
    strength: float | None = None
    """Regularization of a head over frozen features, chosen on validation."""
    software: Mapping[str, str] | None = None
    """Versions of Python and SOFTWARE_PACKAGES."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunMetrics:
        """Inverse of `to_json`; unknown keys are ignored."""
        values = {field.name: document[field.name] for field in fields(cls) if field.name in document}
        if values.get("val_interval") is not None:
            values["val_interval"] = tuple(values["val_interval"])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the figures that are not None."""
        return {name: value for name, value in super().to_json().items() if value is not None}


def software_versions() -> dict[str, str]:
    """Return the installed versions of Python and SOFTWARE_PACKAGES, which figures depend on besides a run's settings."""
    return {"python": platform.python_version(), **{name: installed_version(name) for name in SOFTWARE_PACKAGES}}
