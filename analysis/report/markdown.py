"""A person's words: the part of Markdown that people write in a report, made into safe HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup, escape

SECTIONS = ("motivation", "collection", "challenges", "conclusions")
"""The headings of `report.md`."""


def read_words(path: Path) -> dict[str, str]:
    """The text below each `## heading` of `report.md`, comments left out; empty where nothing was written."""
    words = dict.fromkeys(SECTIONS, "")
    if not path.is_file():
        return words
    content = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)
    parts = re.split(r"^##[ \t]+(.+?)[ \t]*#*[ \t]*$", content, flags=re.MULTILINE)
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        if name.strip().lower() in words:
            words[name.strip().lower()] = text.strip()
    return words


def render(text: str) -> Markup:
    """Paragraphs, lists, `###` headings, **strong**, *emphasis*, `code` and [links](https://…); any HTML is shown as text."""
    return Markup("").join(_block(block) for block in _blocks(text))


def _blocks(text: str) -> Iterator[list[str]]:
    """Runs of lines between blank lines; a list or a heading begins a run of its own."""
    block: list[str] = []
    for line in text.splitlines():
        begins = bool(re.match(r"\s*([-*]|\d+\.)\s|#{3,6}\s", line))
        inside = bool(block and re.match(r"\s*([-*]|\d+\.)\s", block[0]))
        if not line.strip() or (begins and not inside) or (inside and not begins and not line.startswith(" ")):
            if block:
                yield block
            block = []
        if line.strip():
            block.append(line)
    if block:
        yield block


def _block(lines: list[str]) -> Markup:
    first = lines[0]
    if heading := re.match(r"#{3,6}\s+(.*)", first):
        return Markup("<h4>{}</h4>").format(_inline(heading[1])) + (_block(lines[1:]) if lines[1:] else "")
    if re.match(r"\s*[-*]\s", first):
        return _list("ul", lines, r"\s*[-*]\s+")
    if re.match(r"\s*\d+\.\s", first):
        return _list("ol", lines, r"\s*\d+\.\s+")
    return Markup("<p>{}</p>").format(_inline(" ".join(line.strip() for line in lines)))


def _list(kind: str, lines: list[str], bullet: str) -> Markup:
    items: list[str] = []
    for line in lines:
        if re.match(bullet, line):
            items.append(re.sub(f"^{bullet}", "", line))
        else:
            items[-1] += " " + line.strip()
    inner = Markup("").join(Markup("<li>{}</li>").format(_inline(item)) for item in items)
    return Markup("<{0}>{1}</{0}>").format(Markup(kind), inner)


def _inline(text: str) -> Markup:
    """Code and addresses are set aside while emphasis is looked for: a star in them is none."""
    aside: list[str] = []

    def keep(made: str) -> str:
        aside.append(made)
        return f"\0{len(aside) - 1}\0"

    safe = str(escape(text.replace("\0", "")))
    safe = re.sub(r"`([^`]+)`", lambda found: keep(f"<code>{found[1]}</code>"), safe)
    safe = re.sub(r"\]\((https?://[^\s)\0]+)\)", lambda found: f"]({keep(found[1])})", safe)
    safe = re.sub(r"\[([^\]]+)\]\((\0\d+\0)\)", r'<a href="\2">\1</a>', safe)
    safe = re.sub(r"\*\*(\S(?:.*?\S)?)\*\*", r"<strong>\1</strong>", safe)
    safe = re.sub(r"(?<!\*)\*(?!\*)(\S(?:.*?\S)?)\*(?!\*)", r"<em>\1</em>", safe)
    return Markup(re.sub(r"\0(\d+)\0", lambda found: aside[int(found[1])], safe))
