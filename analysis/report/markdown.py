"""Render the user's Markdown of `report.md` as safe HTML."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
"""CommonMark with tables. HTML is shown as text and images as links: the report is one file that works offline."""


def render_markdown(text: str) -> Markup:
    """Return Markdown as HTML; headings become level 4, below those of the report."""
    tokens = _PARSER.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h4"
    return Markup(_PARSER.renderer.render(tokens, _PARSER.options, {}))
