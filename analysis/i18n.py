"""Texts of the report in English and Spanish (`pages/en.toml`, `pages/es.toml`), and numbers formatted for each language."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path

from fototeca.analysis.tabular import FormattedNumber
from fototeca.core.settings import Language

PAGES = Path(__file__).parent / "pages"


@dataclass(frozen=True)
class Texts:
    """Texts of one language by key.

    Example:
        >>> Texts.load("en")("task.images", n=1)
        '1 image'
    """

    language: Language
    entries: dict[str, str]

    @classmethod
    @cache
    def load(cls, language: Language) -> Texts:
        """Return the texts of `es` or `en`."""
        document = tomllib.loads((PAGES / f"{language}.toml").read_text(encoding="utf-8"))
        return cls(language, dict(_flatten(document)))

    def __call__(self, key: str, **values: object) -> str:
        """Return a text with its placeholders filled in; `{n:image|images}` selects singular or plural. KeyError if missing."""
        numbers = {name: FormattedNumber(str(value), value) for name, value in values.items() if isinstance(value, int)}
        return self.entries[key].format(**{**values, **numbers})

    def percent(self, value: float | None, digits: int = 1) -> str:
        """Return a fraction as a percentage, 0.8731 as 87.3%; a dash for None and NaN."""
        if value is None or not isfinite(value):
            return "–"
        return FormattedNumber(self._decimal(f"{100 * value:.{digits}f}") + ("\u00a0%" if self.language == "es" else "%"), value)

    def points(self, value: float) -> str:
        """Return a difference of fractions in percentage points, with its sign."""
        return FormattedNumber(self._decimal(f"{round(100 * value, 1) + 0.0:+.1f}"), value)  # + 0.0: no negative zero

    def number(self, value: float | None, digits: int = 3) -> str:
        """Return a number with at most `digits` decimals; a dash for None and NaN."""
        if value is None or not isfinite(value):
            return "–"
        if isinstance(value, int) or value == int(value) or not digits:
            return FormattedNumber(f"{round(value):,}".replace(",", "\u00a0" if self.language == "es" else ","), value)
        return FormattedNumber(self._decimal(f"{round(value, digits) + 0.0:.{digits}f}"), value)

    def plain(self, value: float) -> str:
        """Return a number with at most six significant digits, as on axes."""
        return FormattedNumber(self._decimal(f"{value:g}"), value)

    def probability(self, value: float) -> str:
        """Return a p-value with three decimals, or `< 0.001`."""
        return FormattedNumber(f"< {self._decimal('0.001')}" if value < 0.001 else self._decimal(f"{value:.3f}"), value)

    def interval(self, ends: tuple[float, float] | list[float]) -> str:
        """Return an interval of fractions as percentages."""
        return FormattedNumber(f"{self.percent(ends[0])} – {self.percent(ends[1])}", *ends)

    def between(self, ends: tuple[float, float] | list[float]) -> str:
        """Return an interval of numbers."""
        return FormattedNumber(f"{self.number(ends[0])} – {self.number(ends[1])}", *ends)

    def span(self, ends: tuple[float, float] | list[float]) -> str:
        """Return an interval of differences of fractions in percentage points, with signs."""
        return FormattedNumber(f"{self.points(ends[0])} … {self.points(ends[1])}", *ends)

    def _decimal(self, text: str) -> str:
        return text.replace(".", ",") if self.language == "es" else text


def _flatten(table: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Return the texts of nested tables by dotted key."""
    entries = []
    for key, value in table.items():
        if isinstance(value, dict):
            entries += _flatten(value, f"{prefix}{key}.")
        else:
            entries.append((prefix + key, str(value)))
    return entries
