"""Kinds of tie between two images, and what each kind does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["copy", "turned", "reshot", "overlay", "altered", "unverified", "none"]
"""Relation of two images, as found by comparing them at native detail.

`copy`: one follows from the other by cutting, resizing, tones, a filter and compression. `turned`: a copy across a turn or
a mirror. `reshot`: a second exposure of the same view. `overlay`: a copy with a translucent layer, such as a watermark.
`altered`: a copy with a changed place. `unverified`: alike at small size, but a file cannot be read or the two cannot be aligned.
`none`: no tie.
"""

COPY: Final = "copy"
TURNED: Final = "turned"
RESHOT: Final = "reshot"
OVERLAY: Final = "overlay"
ALTERED: Final = "altered"
UNVERIFIED: Final = "unverified"
NONE: Final = "none"

TO_REVIEW: frozenset[str] = frozenset({OVERLAY, UNVERIFIED})
"""Kinds about which a person decides whether one image is set aside."""


@dataclass(frozen=True)
class Verdict:
    """Kind of tie between two images, and the measures that led to it.

    `correlation`: correlation of the fine detail of one image with its prediction from the other, -1 to 1. `residual`: largest
    part of a block of 8 × 8 pixels that the prediction does not explain, relative to the texture there.
    """

    kind: Kind
    correlation: float = 0.0
    residual: float = 0.0
