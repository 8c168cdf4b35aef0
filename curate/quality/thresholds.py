"""Where `curate quality` draws the line; the last ones are kept in the catalog."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError

_LIMITS = "quality-thresholds"


@dataclass(frozen=True)
class QualityThresholds:
    """Where a score becomes a finding; what the scores are, `vision.quality.quality` says."""

    blurry: float = 0.32
    """Sharpness below this."""
    dark: float = 0.4
    """95% of the pixels are darker than this."""
    light: float = 0.5
    """95% of the pixels are lighter than this."""
    low_information: float = 0.45
    """Entropy, in bytes, below this."""
    odd_aspect: float = 0.35
    """The short side by the long one, below this."""
    odd_size: float = 4.0
    """The side of a square with as many pixels, this many times larger or smaller than the dataset's median."""
    border: float = 0.2
    """Share of the area in plain strips along the sides, above this."""
    thumbnail: float = 0.75
    """The side by that of the original from which the image was made smaller, below this."""

    def __post_init__(self) -> None:
        """Shares lie between 0 and 1; the factor of sizes above 1."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 1 if field.name == "odd_size" else 0 <= value <= 1):
                raise FototecaError(f"the limit {field.name} cannot be {value}", "see fototeca curate quality --help")


def keep_limits(catalog: Catalog, limits: QualityThresholds) -> None:
    """Remember the limits of a check."""
    catalog.metadata.set(_LIMITS, json.dumps(asdict(limits)))


def last_limits(catalog: Catalog) -> QualityThresholds:
    """Those of the last check, or the usual ones."""
    kept = catalog.metadata.get(_LIMITS)
    return QualityThresholds(**json.loads(kept)) if kept else QualityThresholds()
