"""Accessibility of charts and pages: contrast, alternative text, keyboard."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fototeca.analysis.i18n import PAGES, Texts
from fototeca.analysis.plots.confusion import confusion_chart
from fototeca.analysis.plots.svg import PALETTE, blend_color
from fototeca.analysis.report.html import Tile, table, tiles

CSS = (PAGES / "report.css").read_text(encoding="utf-8")


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""

    def luminance(colour: str) -> float:
        digits = colour.lstrip("#") if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        values = np.array([int(digits[place : place + 2], 16) for place in (0, 2, 4)]) / 255
        return float(np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("share", np.linspace(0.01, 1, 34))
def test_matrix_numbers_have_contrast(share: float) -> None:
    """Right and wrong cells of every shade: 4.5 at least, as WCAG AA asks of small words."""
    fractions = np.array([[share, share], [share, share]])
    svg = confusion_chart("m", ("a", "b"), np.full((2, 2), 9), fractions, ("true", "said"), "a matrix", Texts.load("en")).svg
    words = re.findall(r'font-size="[\d.]+" fill="(#\w{6})" pointer', svg)[::2]  # count and percentage have one color
    assert len(words) == 4
    for fill in (blend_color(share), blend_color(share, (179, 71, 27))):
        assert fill in svg
        assert contrast(words[0] if fill == blend_color(share) else words[1], fill) >= 4.5


def test_the_pages_words_can_be_read() -> None:
    """Every colour of words on every ground that they stand on; shapes beside white 3."""
    colours = dict(re.findall(r"--(\w+): (#\w+)", CSS))
    grounds = [colours["paper"], colours["wash"], *re.findall(r"\.note[.\w]* {[^}]*background: (#\w+)", CSS)]
    assert len(grounds) == 6
    for words in ("ink", "muted", "accent"):
        assert all(contrast(colours[words], ground) >= 4.5 for ground in grounds), words
    assert all(contrast(colour, "#ffffff") >= 3 for colour in PALETTE)


def test_images_have_words_and_boxes_that_scroll_can_be_reached() -> None:
    """An alternative text, or the text itself where there is no image; a table that scrolls takes the focus and has a name."""
    shown = tiles([Tile("data:,", 'a "red" image'), Tile("", "file is gone")])
    assert 'alt="a &#34;red&#34; image"' in shown and "file is gone" in shown
    box = table(["category", "n"], [["red", 3]], caption="Counts", numeric=(1,), hrefs=["figures/n.csv#row=2"])
    assert 'class="scroll" tabindex="0" role="region" aria-label="Counts"' in box
    assert '<th scope="row">red</th>' in box and 'scope="col"' in box
    assert ":focus-visible" in CSS


@pytest.mark.parametrize("place", ["tbody th", ".tiles span", ".cards .near figcaption"])
def test_no_word_is_cut_to_make_a_column_narrow(place: str) -> None:
    """A word is broken only where a whole line has no room for it: `anywhere` lets a table squeeze a column until "banan/a"."""
    (rule,) = re.findall(rf"^{re.escape(place)} {{([^}}]+)}}", CSS, flags=re.MULTILINE)[:1]
    assert "overflow-wrap: break-word" in rule
