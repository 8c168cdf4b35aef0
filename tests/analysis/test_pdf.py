"""Printing through Chromium: a real PDF with pages and words, a PNG for each drawing, and one line where there is no browser."""

from __future__ import annotations

import re
import shutil
import zlib
from pathlib import Path

import pytest
from PIL import Image

from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.export import write_pdf
from fototeca.analysis.plots.figures import write_figures
from fototeca.analysis.plots.svg import Figure, canvas, text
from fototeca.analysis.report.page import SECTIONS, write_report
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.vision.browser import find_browser

browser = pytest.mark.skipif(find_browser() is None, reason="no Chromium here")


def drawing(name: str) -> Figure:
    """A word in a box."""
    return Figure(name, canvas(120, 40, [text(10, 20, "word")], "a word"), "a word", ("x",), ((1,),))


@browser
def test_pages_and_words(tmp_path: Path) -> None:
    """Two printed pages, with letters that can be selected and not images of them."""
    (tmp_path / "page.html").write_text('<p>one</p><p style="break-before:page">two</p>', encoding="utf-8")
    made = write_pdf(tmp_path / "page.html", tmp_path / "page.pdf").read_bytes()
    assert made.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", made)) == 2
    assert b"/Font" in made and not re.search(rb"/Subtype\s*/Image", made)


def words_of(made: bytes) -> str:
    """The letters of a PDF of Chromium's, without spaces: glyphs by the table of the font that sets them, `/F7` in object 7."""
    objects = {int(number): body for number, body in re.findall(rb"(\d+) 0 obj\n(.*?)\nendobj", made, re.DOTALL)}
    fonts = {number: at for number, body in objects.items() for at in re.findall(rb"/ToUnicode (\d+) 0 R", body)}
    tables = {number: letters(stream(objects[int(at)])) for number, at in fonts.items()}
    told, font = [], 0
    for content in re.findall(rb"/Contents (\d+) 0 R", made):
        for name, glyphs in re.findall(rb"/F(\d+) [\d.]+ Tf|<([0-9A-F]+)>", stream(objects[int(content)])):
            font = int(name) if name else font
            told += [tables.get(font, {}).get(glyphs[i : i + 4], "") for i in range(0, len(glyphs), 4)]
    return "".join(told).replace(" ", "")


def stream(body: bytes) -> bytes:
    """What is in a stream."""
    head, _, data = body.partition(b" stream\n")
    return zlib.decompressobj().decompress(data) if b"/FlateDecode" in head else data


def letters(table: bytes) -> dict[bytes, str]:
    """What each glyph stands for, by its number in hexadecimal."""
    found = {}
    for first, last, letter in re.findall(rb"<(\w{4})> (?:<(\w{4})> )?<(\w+)>\n", table):
        for step in range(int(last or first, 16) - int(first, 16) + 1):
            found[b"%04X" % (int(first, 16) + step)] = chr(int(letter[:4], 16) + step)
    return found


@browser
@pytest.mark.xdist_group("report")
def test_a_whole_report(studied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """As a person prints it: several pages, images, and among the letters each section's title and the names of the runs."""
    page, printed, *_ = write_report(studied[0], "v001", lang="es", output=tmp_path, pdf=True).paths
    made, words = printed.read_bytes(), Texts.load("es")
    assert (page.name, printed.name) == ("report-es.html", "report-es.pdf")
    assert len(re.findall(rb"/Type\s*/Page\b", made)) > 5 and len(made) > 100_000
    assert re.search(rb"/Subtype\s*/Image", made)
    told = words_of(made)
    for title in [words(f"section.{name}") for name in SECTIONS] + studied[1]:
        assert title.replace(" ", "") in told, title


@browser
def test_a_png_for_each_drawing(tmp_path: Path) -> None:
    """At twice the drawing's size."""
    paths = write_figures([drawing("a"), drawing("b")], tmp_path)
    assert sorted(path.name for path in paths) == ["a.csv", "a.png", "a.svg", "b.csv", "b.png", "b.svg"]
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (240, 80)


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
