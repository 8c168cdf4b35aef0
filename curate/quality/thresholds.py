"""Thresholds of the quality checks; the last ones used are stored in the catalog."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.kinds import Number, Record

_THRESHOLDS_KEY = "quality-thresholds"


@dataclass(frozen=True)
class QualityThresholds:
    """Thresholds beyond which a score is an issue. `vision.quality.quality` defines the scores."""

    blurry: float = 0.32
    """Minimum sharpness."""
    dark: float = 0.4
    """An image is dark if 95% of its pixels are darker than this."""
    light: float = 0.5
    """An image is light if 95% of its pixels are lighter than this."""
    low_information: float = 0.45
    """Minimum entropy, in bytes."""
    odd_aspect: float = 0.35
    """Minimum ratio of the short side to the long side."""
    odd_size: float = 4.0
    """Maximum factor between the square root of the pixel count and its median in the dataset, either way."""
    border: float = 0.2
    """Maximum fraction of the area in plain strips along the sides."""
    thumbnail: float = 0.75
    """Minimum ratio of the side to that of the original from which the image was reduced."""

    def __post_init__(self) -> None:
        """Check that the size factor is above 1 and that the others are between 0 and 1."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 1 if field.name == "odd_size" else 0 <= value <= 1):
                raise FototecaError(f"the threshold {field.name} is invalid: {value}", "see fototeca curate quality --help")


_FORM = Record({}, {field.name: Number() for field in fields(QualityThresholds)})


def store_thresholds(catalog: Catalog, thresholds: QualityThresholds) -> None:
    """Store the thresholds of a check."""
    catalog.metadata.set(_THRESHOLDS_KEY, json.dumps(asdict(thresholds)))


def read_thresholds(catalog: Catalog) -> QualityThresholds:
    """Return the thresholds of the last check, or the defaults."""
    stored = catalog.metadata.get_json(_THRESHOLDS_KEY, _FORM)
    return (
        QualityThresholds(**{name: stored[name] for name in _FORM.optional if name in stored}) if stored else QualityThresholds()
    )
