"""A person's words: the Markdown of `report.md`, made into safe HTML."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

SECTIONS = ("motivation", "collection", "challenges", "conclusions")
"""The headings of `report.md`."""

_READER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
"""CommonMark with tables. HTML is shown as text, and no image is fetched: the report is one file that works offline."""


def read_words(path: Path) -> dict[str, str]:
    """The text below each `## heading` of `report.md`, comments left out; empty where nothing was written."""
    words = dict.fromkeys(SECTIONS, "")
    if not path.is_file():
        return words
    content = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)
    lines, found = re.split(r"\r\n|\r|\n", content), [("", 0, 0)]  # and at nothing else, as the reader does
    tokens = _READER.parse(content)
    for heading, title in pairwise(tokens):
        if heading.type == "heading_open" and heading.markup == "##" and heading.level == 0 and heading.map:
            found.append((title.content.strip().lower(), heading.map[0], heading.map[1]))
    for (name, _, start), (_, end, _) in pairwise([*found, ("", len(lines), 0)]):
        if name in words:
            words[name] = "\n".join(lines[start:end]).strip()
    return words


def render(text: str) -> Markup:
    """The text as HTML, its headings below those of the report."""
    tokens = _READER.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h4"
    return Markup(_READER.renderer.render(tokens, _READER.options, {}))
