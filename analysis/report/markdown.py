"""Read the user's texts in `report.md` and render their Markdown as safe HTML."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

SECTIONS = ("motivation", "collection", "challenges", "conclusions")
"""Headings of `report.md`."""

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
"""CommonMark with tables. HTML is shown as text and images as links: the report is one file that works offline."""


def read_user_texts(path: Path) -> dict[str, str]:
    """Return the Markdown below each `## heading` of `report.md` without comments; empty where nothing was written."""
    texts = dict.fromkeys(SECTIONS, "")
    if not path.is_file():
        return texts
    content = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)
    lines = re.split(r"\r\n|\r|\n", content)  # the line ends that markdown-it counts
    headings = [("", 0, 0)]
    for heading, title in pairwise(_PARSER.parse(content)):
        if heading.type == "heading_open" and heading.markup == "##" and heading.level == 0 and heading.map:
            headings.append((title.content.strip().lower(), heading.map[0], heading.map[1]))
    for (name, _, start), (_, end, _) in pairwise([*headings, ("", len(lines), 0)]):
        if name in texts:
            texts[name] = "\n".join(lines[start:end]).strip()
    return texts


def render_markdown(text: str) -> Markup:
    """Return Markdown as HTML; headings become level 4, below those of the report."""
    tokens = _PARSER.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h4"
    return Markup(_PARSER.renderer.render(tokens, _PARSER.options, {}))
