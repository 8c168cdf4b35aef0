"""Building blocks of the report as Markup, rendered by `analysis/pages/components.html.j2`; plain strings are escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from fototeca.analysis.plots.svg import Figure
from fototeca.analysis.templates import macro

Content = str | Markup
"""Text to be escaped, or HTML."""


@dataclass(frozen=True)
class Tile:
    """A small image with lines of text below it.

    Attributes:
        uri: data URI of the image; empty when its file is gone.
        alt: alternative text, shown in place of a missing image.
        lines: lines below the image.
        mark: `right`, `wrong`, `warn` or empty; draws a colored border.
        href: web page the image came from.
    """

    uri: str
    alt: str
    lines: tuple[Content, ...] = ()
    mark: str = ""
    href: str = ""


def _component(name: str, *arguments: object) -> Markup:
    return macro("components.html.j2", name)(*arguments)


def join(parts: Iterable[Content]) -> Markup:
    """Concatenate parts without separator."""
    return Markup("").join(escape(part) for part in parts)


def paragraph(content: Content, kind: str = "") -> Markup:
    """Return a paragraph; `kind` is a CSS class."""
    return _component("paragraph", content, kind)


def heading(content: Content, level: int = 3, name: str = "") -> Markup:
    """Return a heading below the section's title; `name` is its id on the page."""
    return _component("heading", content, level, name)


def note(content: Content, kind: str = "info") -> Markup:
    """Return a boxed remark of kind `info`, `missing`, `warn` or `good`."""
    return paragraph(content, f"note {kind}")


def span(content: Content, kind: str = "") -> Markup:
    """Return inline content; `kind` is a CSS class."""
    return _component("span", content, kind)


def code(content: Content) -> Markup:
    """Return inline code."""
    return _component("code", content)


def command(line: str) -> Markup:
    """Return one or more command lines to copy."""
    return _component("preformatted", line)


def block(content: Content, kind: str) -> Markup:
    """Return a block with the CSS class `kind`."""
    return _component("block", content, kind)


def subsection(content: Content, kind: str) -> Markup:
    """Return a section inside a section, with the CSS class `kind`."""
    return _component("subsection", content, kind)


def link(content: Content, href: str) -> Markup:
    """Return a link to the web, to a relative file or to a fragment; any other address gives the content alone."""
    scheme = re.match(r"[^/?#]*:", href)
    if scheme and scheme[0].lower() not in ("http:", "https:"):
        return escape(content)
    return _component("anchor", content, href, True)


def bullets(items: Sequence[Content]) -> Markup:
    """Return a list of items."""
    return _component("bullets", items, "")


def chips(pairs: Sequence[tuple[Content, Content]]) -> Markup:
    """Return names with their counts, side by side."""
    return _component("chips", pairs)


def headline(value: Content, content: Content) -> Markup:
    """Return one large number followed by an explanation."""
    return _component("headline", value, content)


def facts(pairs: Sequence[tuple[Content, Content]], source: Content = "") -> Markup:
    """Return names with their values, in a grid, and a link to their data."""
    return _component("facts", pairs, source)


def titled(content: Content, title: str) -> Markup:
    """Return inline content with a tooltip."""
    return _component("titled", content, title)


def csv_icon(href: str, title: str) -> Markup:
    """Return a small link to a CSV file; `title` is its name for screen readers and its tooltip."""
    return _component("csv_icon", href, title)


def tabs(name: str, panels: Sequence[tuple[str, Content]]) -> Markup:
    """Return panels of which one is shown, chosen by its title; all of them on paper. `name` is unique on the page."""
    return _component("tabs", name, panels) if len(panels) > 1 else join(content for _, content in panels)


def definitions(pairs: Sequence[tuple[Content, Content]]) -> Markup:
    """Return terms with their descriptions, one below the other."""
    return _component("definitions", pairs)


def table(
    head: Sequence[Content],
    rows: Sequence[Sequence[Content | int]],
    *,
    caption: Content = "",
    source: Content = "",
    numeric: Sequence[int] = (),
    strong: Sequence[int] = (),
    hrefs: Sequence[str] = (),
) -> Markup:
    """Return a table in a box that scrolls sideways.

    The first cell of each row is its heading. The links of numbers are out of the tab order; the line below the table has one
    link that is in it.

    Args:
        head: column headings.
        rows: cells by row.
        caption: title of the table and name of its box.
        source: link to its data, behind the caption.
        numeric: indices of the columns with numbers, aligned to the right.
        strong: indices of highlighted rows.
        hrefs: for each row the address that its numbers link to.
    """
    return _component("table", head, rows, caption, source, numeric, strong, hrefs)


def figure(drawing: Figure, caption: Content, source: Content = "", kind: str = "") -> Markup:
    """Return a drawing with its caption and the links to its data."""
    return _component("figure", Markup(drawing.svg), drawing.alt, caption, source, kind)


def color_scale(low: Content, high: Content) -> Markup:
    """Return the color bar of attribution maps with the names of its ends."""
    return _component("color_scale", low, high)


def tiles(images: Sequence[Tile], kind: str = "") -> Markup:
    """Return images in a grid."""
    return _component("tiles", images, kind)


def card(main: Tile, beside: Tile | None, neighbors: Sequence[Tile]) -> Markup:
    """Return an image with a second one beside it, the lines of the first below both, and a row of small images."""
    return _component("card", main, beside, neighbors)


def cards(items: Sequence[Markup]) -> Markup:
    """Return cards in a grid."""
    return _component("cards", items)


def details(summary: Content, content: Content, *, is_open: bool = False) -> Markup:
    """Return a part that can be folded."""
    return _component("details", summary, content, is_open)


def columns(parts: Sequence[Markup]) -> Markup:
    """Return parts side by side where the window is wide enough."""
    return _component("columns", parts)


def legend(entries: Sequence[tuple[Markup, Content]]) -> Markup:
    """Return SVG markers with their names."""
    return _component("legend", entries)


def cover(title: Content, summary: Content, figures: Sequence[tuple[Content, Content]], images: Sequence[Tile]) -> Markup:
    """Return the head of the report: title, a row of images, summary, and large numbers with their names."""
    return _component("cover", title, summary, figures, images)
