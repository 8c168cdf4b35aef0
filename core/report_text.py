"""The user's own text for the report, `report.md`: its headings in each language, and how they are read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fototeca.core.settings import Language

HEADINGS: Mapping[str, Mapping[Language, str]] = {
    "motivation": {"en": "Motivation", "es": "Motivación"},
    "usefulness": {"en": "Usefulness", "es": "Utilidad"},
    "collection": {"en": "Collection", "es": "Recolección"},
    "challenges": {"en": "Challenges", "es": "Dificultades"},
    "experiments": {"en": "Models and experiments", "es": "Modelos y experimentos"},
    "errors": {"en": "Error analysis", "es": "Análisis de errores"},
    "test": {"en": "Test set", "es": "Conjunto de prueba"},
    "conclusions": {"en": "Conclusions", "es": "Conclusiones"},
}
"""Headings of the texts that every report should have, by key and language, in the order of `report.md`."""

FIGURE_WORDS: Mapping[Language, str] = {"en": "figure", "es": "figura"}
"""Word before the colon of a heading that names a figure."""

_COMMENTS: Mapping[Language, str] = {
    "en": (
        "Your own text for the report, in Markdown. Other sections take text below their title (## Splits), figures and tables\n"
        "below the name of their file (## figure: comparison)."
    ),
    "es": (
        "Texto propio para el informe, en Markdown. Las demás secciones admiten texto bajo su título (## Particiones), y las\n"
        "figuras y tablas, bajo el nombre de su archivo (## figura: comparison)."
    ),
}


@dataclass(frozen=True)
class ReportText:
    """The sections of a `report.md`: Markdown by normalized heading. Empty sections are left out."""

    sections: Mapping[str, str]

    def find(self, *headings: str) -> str:
        """Return the text below the first of these headings that has one; empty without one."""
        return next((self.sections[key] for heading in headings if (key := normalize_heading(heading)) in self.sections), "")

    def own(self, key: str) -> str:
        """Return the text of a key of `HEADINGS`, below its heading in any language or below the key itself."""
        return self.find(*HEADINGS[key].values(), key)


def normalize_heading(heading: str) -> str:
    """Return a heading without case, accents and repeated spaces: `Motivación` and `MOTIVACION` are one heading."""
    letters = unicodedata.normalize("NFKD", heading.strip().strip(":").casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"\s*:\s*", ": ", " ".join(plain.split()))


def report_template(language: Language) -> str:
    """Return the initial `report.md`."""
    headings = "\n\n".join(f"## {names[language]}" for names in HEADINGS.values())
    return f"<!-- {_COMMENTS[language]} -->\n\n{headings}\n"


def read_report_text(path: Path) -> ReportText:
    """Return the Markdown below each `## heading` of a file, without comments; no sections if the file is missing."""
    from markdown_it import MarkdownIt

    if not path.is_file():
        return ReportText({})
    content = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)
    lines = re.split(r"\r\n|\r|\n", content)  # the line ends that markdown-it counts
    headings = [("", 0, 0)]
    for heading, title in pairwise(MarkdownIt("commonmark").parse(content)):
        if heading.type == "heading_open" and heading.markup == "##" and heading.level == 0 and heading.map:
            headings.append((normalize_heading(title.content), heading.map[0], heading.map[1]))
    sections: dict[str, str] = {}
    for (name, _, start), (_, end, _) in pairwise([*headings, ("", len(lines), 0)]):
        if name and (text := "\n".join(lines[start:end]).strip()):
            sections[name] = f"{sections[name]}\n\n{text}" if name in sections else text
    return ReportText(sections)
