"""`report.md`: its headings in both languages, and what counts as a section."""

from __future__ import annotations

from pathlib import Path

import pytest

from fototeca.core.report_text import HEADINGS, normalize_heading, read_report_text, report_template
from fototeca.core.settings import LANGUAGES, Language
from fototeca.core.workspace import create_workspace


def test_sections_are_level_two_headings(tmp_path: Path) -> None:
    """Headings in any case; not in fences, of other levels or in comments."""
    path = tmp_path / "report.md"
    path.write_text(
        "<!-- hint -->\nintro\n## Motivation ##\nWhy *not*\n### more\n```\n## challenges\n```\n"
        "## other\nlost\n\n## Conclusions\r\n<!-- none -->So\u2028it\x0bis\n---\nall\n## collection\nfound\n",
        encoding="utf-8",
    )
    text = read_report_text(path)
    assert text.own("motivation") == "Why *not*\n### more\n```\n## challenges\n```"
    assert (text.own("collection"), text.own("challenges")) == ("found", "")
    assert text.own("conclusions") == "So\u2028it\x0bis\n---\nall", "an underlined line begins no section"
    assert not read_report_text(tmp_path / "none.md").sections


def test_headings_are_found_in_any_language_case_and_accent(tmp_path: Path) -> None:
    """A text is found below its heading in English or Spanish, also without accents; two parts of one heading are joined."""
    path = tmp_path / "report.md"
    for heading in ("Recolección", "RECOLECCION", "recoleccio\u0301n:", "Collection"):
        path.write_text(f"## {heading}\n\nfirst\n\n## {heading}\n\nsecond\n", encoding="utf-8")
        assert read_report_text(path).own("collection") == "first\n\nsecond"
    assert normalize_heading("Figura :  confusion") == normalize_heading("figura:confusion") == "figura: confusion"


@pytest.mark.parametrize("language", LANGUAGES)
def test_template_has_every_heading_and_no_text(language: Language, tmp_path: Path) -> None:
    """`init --lang` writes the headings in that language; the new file has no section with text."""
    workspace = create_workspace(tmp_path / "w", ["a", "b"], language=language)
    content = workspace.report_text.read_text(encoding="utf-8")
    assert content == report_template(language)
    assert [f"## {names[language]}" for names in HEADINGS.values()] == [row for row in content.splitlines() if row[:3] == "## "]
    assert not read_report_text(workspace.report_text).sections
    assert workspace.settings.language == language
