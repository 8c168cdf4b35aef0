"""Export to PDF through Chromium and to PNG through resvg, and the errors without a browser."""

from __future__ import annotations

import io
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.export import render_png, write_pdf
from fototeca.analysis.plots.figures import write_figures
from fototeca.analysis.plots.svg import Figure, canvas, text
from fototeca.analysis.report.page import SECTIONS, write_report
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.vision.browser import find_browser

browser = pytest.mark.skipif(find_browser() is None, reason="Chromium is not installed")


def drawing(name: str) -> Figure:
    """Return a figure with one word."""
    return Figure(name, canvas(120, 40, [text(10, 20, "word")], "a word"), "a word", ("x",), ((1,),))


@browser
def test_pdf_has_pages_and_selectable_text(tmp_path: Path) -> None:
    """Two pages with text in fonts instead of images."""
    (tmp_path / "page.html").write_text('<p>one</p><p style="break-before:page">two</p>', encoding="utf-8")
    made = write_pdf(tmp_path / "page.html", tmp_path / "page.pdf").read_bytes()
    assert made.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", made)) == 2
    assert b"/Font" in made and not re.search(rb"/Subtype\s*/Image", made)


def words_of(made: bytes) -> str:
    """Return the text of a PDF of Chromium without spaces, from each font's ToUnicode table (font `/F7` is object 7)."""
    objects = {int(number): body for number, body in re.findall(rb"(\d+) 0 obj\n(.*?)\nendobj", made, re.DOTALL)}
    fonts = {number: at for number, body in objects.items() for at in re.findall(rb"/ToUnicode (\d+) 0 R", body)}
    tables = {number: letters(stream(objects[int(at)])) for number, at in fonts.items()}
    words, font = [], 0
    for content in re.findall(rb"/Contents (\d+) 0 R", made):
        for name, glyphs in re.findall(rb"/F(\d+) [\d.]+ Tf|<([0-9A-F]+)>", stream(objects[int(content)])):
            font = int(name) if name else font
            words += [tables.get(font, {}).get(glyphs[i : i + 4], "") for i in range(0, len(glyphs), 4)]
    return "".join(words).replace(" ", "")


def stream(body: bytes) -> bytes:
    """Return the decompressed stream of an object."""
    head, _, data = body.partition(b" stream\n")
    return zlib.decompressobj().decompress(data) if b"/FlateDecode" in head else data


def letters(table: bytes) -> dict[bytes, str]:
    """Return the letter of each glyph, by its number in hexadecimal."""
    found = {}
    for first, last, letter in re.findall(rb"<(\w{4})> (?:<(\w{4})> )?<(\w+)>\n", table):
        for step in range(int(last or first, 16) - int(first, 16) + 1):
            found[b"%04X" % (int(first, 16) + step)] = chr(int(letter[:4], 16) + step)
    return found


@browser
@pytest.mark.xdist_group("report")
def test_report_prints_all_sections(studied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """Several pages with images; the text contains each section's title and the names of the runs."""
    page, printed, *_ = write_report(studied[0], "v001", lang="es", output=tmp_path, pdf=True).paths
    content, texts = printed.read_bytes(), Texts.load("es")
    assert (page.name, printed.name) == ("report-es.html", "report-es.pdf")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 5 and len(content) > 100_000
    assert re.search(rb"/Subtype\s*/Image", content)
    printed_text = words_of(content)
    for title in [texts(f"section.{name}") for name in SECTIONS] + studied[1]:
        assert title.replace(" ", "") in printed_text, title


def test_write_figures_writes_svg_csv_and_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PNG files have twice the size of the drawing and need no browser."""
    monkeypatch.setenv("FOTOTECA_CHROME", str(tmp_path / "none"))
    paths = write_figures([drawing("a"), drawing("b")], tmp_path)
    assert sorted(path.name for path in paths) == ["a.csv", "a.png", "a.svg", "b.csv", "b.png", "b.svg"]
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (240, 80)


def test_png_shows_accented_letters() -> None:
    """Letters beyond ASCII are drawn, each different from its plain letter and from a missing glyph."""

    def render(word: str) -> np.ndarray:
        svg = canvas(60, 40, [text(10, 30, word, size=24)], word)
        return np.asarray(Image.open(io.BytesIO(render_png(svg))).convert("L"))

    images = {word: render(word) for word in ("a", "á", "n", "ñ", "\ue000")}
    assert all((image < 128).any() for word, image in images.items() if word != "\ue000")
    for first, second in (("a", "á"), ("n", "ñ"), ("á", "\ue000"), ("ñ", "\ue000")):
        assert not np.array_equal(images[first], images[second])


def test_write_report_without_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--pdf` fails before any work if FOTOTECA_CHROME names no program or no Chromium is installed."""
    monkeypatch.setenv("FOTOTECA_CHROME", str(tmp_path / "none"))
    with pytest.raises(FototecaError, match="FOTOTECA_CHROME names no program"):
        write_report(Workspace(tmp_path), "v001", pdf=True)
    monkeypatch.delenv("FOTOTECA_CHROME")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(FototecaError, match="no Chromium on PATH") as error:
        write_report(Workspace(tmp_path), "v001", pdf=True)
    assert error.value.exit_code == 4
