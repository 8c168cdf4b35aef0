"""The user's own words in the report: placed below their section or figure, and listed at the top where they are missing."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from fototeca.analysis.i18n import Texts
from fototeca.analysis.report.html import block, heading
from fototeca.analysis.report.markdown import render_markdown
from fototeca.core.report_text import FIGURE_WORDS, HEADINGS, ReportText, normalize_heading
from fototeca.core.settings import LANGUAGES


@dataclass
class OwnWords:
    """The sections of `report.md` while the report is rendered.

    Attributes:
        text: the sections by heading.
        texts: texts of the report's language.
        used: normalized headings that were rendered so far.
    """

    text: ReportText
    texts: Texts
    used: set[str] = field(default_factory=set)

    def render(self, key: str) -> Markup:
        """Return the text of a key of `HEADINGS` below its heading; empty where nothing was written."""
        content = self._block(*HEADINGS[key].values(), key)
        return heading(HEADINGS[key][self.texts.language]) + content if content else Markup("")

    def of_section(self, section: str) -> Markup:
        """Return the text below a section's title, in any language, or below its id."""
        titles = [Texts.load(language)(f"section.{section}") for language in LANGUAGES]
        return self._block(*titles, section)

    def of_figure(self, *names: str) -> Markup:
        """Return the text of the first of these names of a figure or table, as in `## figure: NAME`."""
        return self._block(*(f"{word}: {name}" for name in names for word in FIGURE_WORDS.values()))

    @property
    def missing(self) -> list[str]:
        """The headings of `HEADINGS` without text, in the report's language."""
        return [f"## {names[self.texts.language]}" for key, names in HEADINGS.items() if not self.text.own(key)]

    @property
    def unplaced(self) -> list[str]:
        """The headings with text that belong to no section, figure or table rendered so far."""
        return [name for name in self.text.sections if name not in self.used]

    def _block(self, *headings: str) -> Markup:
        text = self.text.find(*headings)
        self.used |= {normalize_heading(name) for name in headings}
        return block(render_markdown(text), "own") if text else Markup("")
