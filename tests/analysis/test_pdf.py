"""Printing through Chromium: a real PDF with pages and words, a PNG for each drawing, and one line where there is no browser."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from analysis.figures import write_figures
from analysis.pdf import write_pdf
from analysis.report.page import write_report
from analysis.svg import Figure, canvas, text
from vision.browser import find_browser
from workspace import FototecaError, Workspace

browser = pytest.mark.skipif(find_browser() is None, reason="no Chromium here")


def drawing(name: str) -> Figure:
    """A word in a box."""
    return Figure(name, canvas(120, 40, [text(10, 20, "word")], "a word"), "a word", ("x",), ((1,),))


@browser
def test_pages_and_words(tmp_path: Path) -> None:
    """Two printed pages, with letters that can be selected and not pictures of them."""
    (tmp_path / "page.html").write_text('<p>one</p><p style="break-before:page">two</p>', encoding="utf-8")
    made = write_pdf(tmp_path / "page.html", tmp_path / "page.pdf").read_bytes()
    assert made.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", made)) == 2
    assert b"/Font" in made and not re.search(rb"/Subtype\s*/Image", made)


@browser
def test_a_png_for_each_drawing(tmp_path: Path) -> None:
    """At twice the drawing's size."""
    paths = write_figures([drawing("a"), drawing("b")], tmp_path)
    assert sorted(path.name for path in paths) == ["a.csv", "a.png", "a.svg", "b.csv", "b.png", "b.svg"]
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size == (240, 80)


def test_without_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """FOTOTECA_CHROME is used, as in collecting; what it names is missed before any work is done; drawings are left as SVG."""
    monkeypatch.setenv("FOTOTECA_CHROME", str(tmp_path / "none"))
    with pytest.raises(FototecaError, match="FOTOTECA_CHROME names no program"):
        write_report(Workspace(tmp_path), "v001", pdf=True)
    assert [path.name for path in write_figures([drawing("a")], tmp_path)] == ["a.svg", "a.csv"]
    assert "not as PNG" in capsys.readouterr().err
    monkeypatch.delenv("FOTOTECA_CHROME")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(FototecaError, match="no Chromium on PATH") as error:
        write_report(Workspace(tmp_path), "v001", pdf=True)
    assert error.value.exit_code == 4
