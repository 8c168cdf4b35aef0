"""Split ratios: the default, and how they are written."""

from __future__ import annotations

from fototeca.core.errors import FototecaError

DEFAULT_RATIOS = (70.0, 10.0, 20.0)
"""Percentages of train, val and test."""

Ratios = tuple[float, float, float]
"""Percentages of train, val and test."""


def read_ratios(text: str) -> Ratios:
    """Parse percentages of train, val and test from text such as `70/10/20`.

    Raises:
        FototecaError: they are not three numbers above 0 that sum to 100.
    """
    try:
        train, val, test = (float(part) for part in text.split("/"))
    except ValueError:
        train = val = test = 0.0
    if not (min(train, val, test) > 0 and abs(train + val + test - 100) <= 1e-6):  # negated so that NaN fails
        raise FototecaError(f"ratios {text!r} are invalid", "give three percentages above 0 that sum to 100, such as 70/10/20")
    return train, val, test
