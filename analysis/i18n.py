"""The report's words in two languages: `pages/es.toml` and `pages/en.toml`, by key; numbers as each language writes them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from fototeca.analysis.tabular import FormattedNumber

PAGES = Path(__file__).parent / "pages"


@dataclass(frozen=True)
class Texts:
    """Call it with a key to get the words: `words("gap.selection", k=6)`. A missing key is a mistake of ours: KeyError."""

    language: str
    entries: dict[str, str]

    @classmethod
    def load(cls, language: str) -> Texts:
        """The words of `es` or `en`."""
        document = tomllib.loads((PAGES / f"{language}.toml").read_text(encoding="utf-8"))
        return cls(language, {f"{section}.{key}": value for section, table in document.items() for key, value in _flat(table)})

    def __call__(self, key: str, **values: object) -> str:
        """The words of a key with its values filled in; `{n} {n:image|images}` takes the word that fits the number."""
        told = {name: FormattedNumber(str(value), value) if isinstance(value, int) else value for name, value in values.items()}
        return self.entries[key].format(**told)

    def percent(self, value: float | None, digits: int = 1) -> str:
        """0.8731 as 87.3 % in the language's way; a dash for what is not known."""
        if value is None or not isfinite(value):
            return "–"
        return FormattedNumber(self._comma(f"{100 * value:.{digits}f}") + ("\u00a0%" if self.language == "es" else "%"), value)

    def points(self, value: float) -> str:
        """A difference of fractions in signed percentage points."""
        return FormattedNumber(self._comma(f"{round(100 * value, 1) + 0.0:+.1f}"), value)  # + 0.0: no minus before nothing

    def number(self, value: float | None, digits: int = 3) -> str:
        """A number with at most so many decimals; a dash for what is not known."""
        if value is None or not isfinite(value):
            return "–"
        if isinstance(value, int) or value == int(value) or not digits:
            return FormattedNumber(f"{round(value):,}".replace(",", "\u00a0" if self.language == "es" else ","), value)
        return FormattedNumber(self._comma(f"{round(value, digits) + 0.0:.{digits}f}"), value)

    def plain(self, value: float) -> str:
        """A number as short as it is, with six digits at most: what stands at an axis."""
        return FormattedNumber(self._comma(f"{value:g}"), value)

    def probability(self, value: float) -> str:
        """A p-value: 0.032, or < 0.001."""
        return FormattedNumber(f"< {self._comma('0.001')}" if value < 0.001 else self._comma(f"{value:.3f}"), value)

    def interval(self, ends: tuple[float, float] | list[float]) -> str:
        """An interval of fractions."""
        return FormattedNumber(f"{self.percent(ends[0])} – {self.percent(ends[1])}", *ends)

    def between(self, ends: tuple[float, float] | list[float]) -> str:
        """An interval of plain numbers."""
        return FormattedNumber(f"{self.number(ends[0])} – {self.number(ends[1])}", *ends)

    def span(self, ends: tuple[float, float] | list[float]) -> str:
        """An interval of differences of fractions, in signed percentage points."""
        return FormattedNumber(f"{self.points(ends[0])} … {self.points(ends[1])}", *ends)

    def _comma(self, text: str) -> str:
        return text.replace(".", ",") if self.language == "es" else text


def _flat(table: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, str(value)))
    return found
