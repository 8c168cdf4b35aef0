"""The report's building blocks: paragraphs, tables, figures, tiles. Everything that is not Markup is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from fototeca.analysis.plots.svg import Figure

Words = str | Markup


@dataclass(frozen=True)
class Tile:
    """A small image with what stands under it. `mark`: right, wrong, warn or empty; `href`: where it came from."""

    uri: str
    alt: str
    lines: tuple[Words, ...] = ()
    mark: str = ""
    href: str = ""


def tag(name: str, inner: Words, **attributes: str) -> Markup:
    """`<name attributes>inner</name>`; a trailing underscore in an attribute's name is cut, the others become hyphens."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items() if value)
    return Markup("<{}{}>{}</{}>").format(Markup(name), Markup(written), inner, Markup(name))


def join(parts: Iterable[Words]) -> Markup:
    """Parts one after the other."""
    return Markup("").join(escape(part) for part in parts)


def paragraph(words: Words, kind: str = "") -> Markup:
    """A paragraph; `kind` is a CSS class."""
    return tag("p", words, class_=kind)


def heading(words: Words, level: int = 3) -> Markup:
    """A heading below the section's."""
    return tag(f"h{level}", words)


def note(words: Words, kind: str = "info") -> Markup:
    """A boxed remark: info, missing, warn or good."""
    return tag("p", words, class_=f"note {kind}")


def link(words: Words, href: str) -> Markup:
    """A link; only to the web, or to a relative file or place: any other address is left out, and the words stay."""
    scheme = re.match(r"[^/?#]*:", href)
    return escape(words) if scheme and scheme[0].lower() not in ("http:", "https:") else tag("a", words, href=href)


def table(
    head: Sequence[Words],
    rows: Sequence[Sequence[Words | int]],
    *,
    caption: Words = "",
    numeric: Sequence[int] = (),
    strong: Sequence[int] = (),
    hrefs: Sequence[str] = (),
) -> Markup:
    """A table in a box of its own that scrolls sideways. The first cell of a row heads it; `strong` rows stand out; the numbers
    of a row lead to its one of `hrefs`."""
    number = dict.fromkeys(numeric, "num")
    top = join(tag("th", cell, scope="col", class_=number.get(i, "")) for i, cell in enumerate(head))
    body = join(
        tag(
            "tr",
            join(
                tag(
                    "td" if i else "th",
                    _cell(cell, hrefs[index] if i in number and hrefs else ""),
                    scope="" if i else "row",
                    class_=number.get(i, ""),
                )
                for i, cell in enumerate(row)
            ),
            class_="strong" if index in strong else "",
        )
        for index, row in enumerate(rows)
    )
    title = tag("caption", tag("span", caption)) if caption else Markup("")
    whole = tag("table", join([title, tag("thead", tag("tr", top)), tag("tbody", body)]))
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=str(caption or head[0]))


def _cell(cell: Words | int, href: str) -> Markup:
    """A link for the pointer only: the keyboard finds one under the table, not hundreds in it."""
    return tag("a", escape(cell), href=href, tabindex="-1") if href else escape(cell)


def facts(pairs: Sequence[tuple[Words, Words]]) -> Markup:
    """Names with their values."""
    return tag("dl", join(tag("div", tag("dt", name) + tag("dd", value)) for name, value in pairs), class_="facts")


def figure(drawing: Figure, caption: Words, source: Words = "", kind: str = "") -> Markup:
    """A drawing with its caption and where its numbers lie."""
    under = join([caption, Markup(" ") + source if source else ""])
    inner = tag("div", Markup(drawing.svg), class_="scroll", tabindex="0", role="region", aria_label=drawing.alt)
    return tag("figure", inner + tag("figcaption", under), class_=f"chart {kind}".strip())


def tiles(images: Sequence[Tile], kind: str = "") -> Markup:
    """Images in a grid."""
    return tag("ul", join(_tile(image) for image in images), class_=f"tiles {kind}".strip())


def _tile(image: Tile) -> Markup:
    under = join(tag("span", line) for line in image.lines)
    return tag("li", _shown(image) + (tag("div", under) if under else ""), class_=image.mark)


def _shown(image: Tile) -> Markup:
    """The image alone, with a link to where it came from; its words where there is none."""
    if not image.uri:
        return tag("span", image.alt, class_="gone")
    shown = Markup('<img src="{}" alt="{}">').format(Markup(image.uri), image.alt)
    return link(shown, image.href) if image.href.startswith(("http://", "https://")) else shown


def card(seen: Tile, beside: Tile | None, near: Sequence[Tile]) -> Markup:
    """An image with another one beside it, the words of the first under both, and a row of small ones."""
    pair = tag("div", join(_shown(image) for image in (seen, *([beside] if beside else []))), class_="pair")
    under = tag("div", join(tag("span", line) for line in seen.lines))
    small = tag("div", join(tag("figure", _shown(one) + tag("figcaption", one.lines[0])) for one in near), class_="near")
    return tag("li", join([pair, under, small if near else ""]), class_=seen.mark)


def cards(parts: Sequence[Markup]) -> Markup:
    """Cards in a grid."""
    return tag("ul", join(parts), class_="tiles cards")


def details(summary: Words, inner: Markup, *, opened: bool = False) -> Markup:
    """A part that can be folded."""
    start = Markup("<details open>") if opened else Markup("<details>")
    return start + tag("summary", summary) + inner + Markup("</details>")


def columns(parts: Sequence[Markup]) -> Markup:
    """Parts beside one another where there is room."""
    return tag("div", join(parts), class_="columns")
