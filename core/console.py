"""Text for people: results on stdout, messages on stderr, and nothing in it that a terminal or a page would act upon."""

from __future__ import annotations

import re
import sys
from typing import Any

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Control, bidi, invisible and tag characters, and lone surrogates. Not the joiners of emoji, Persian and Indic scripts."""

_UNSAFE_IN_LINE = re.compile(_UNSAFE.pattern.replace("[", "[\t\n", 1))


def escape_text(text: str, *, lines: bool = False) -> str:
    r"""Return `text` with codes such as `\u001b` for control, bidi and other invisible characters.

    File names, titles, labels and messages of servers come from other people: an escape sequence would change the terminal, a
    bidi mark the order in which a name is read, a line end a table. The codes are those of JSON, so that JSON stays valid.

    `lines`: the text has several lines, and tabs; otherwise these are escaped too.
    """
    return (_UNSAFE if lines else _UNSAFE_IN_LINE).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def escape_values(value: Any) -> Any:  # noqa: ANN401  (JSON)
    """Return JSON values with `escape_text` of every text in them, for pages that show them."""
    if isinstance(value, str):
        return escape_text(value, lines=True)
    if isinstance(value, dict):
        return {escape_values(name): escape_values(item) for name, item in value.items()}
    return [escape_values(item) for item in value] if isinstance(value, list | tuple) else value


def plain_line(text: str) -> str:
    """Return a text of other people on one line, without the characters that `escape_text` escapes, for what is published."""
    return " ".join(_UNSAFE.sub(lambda match: " " if match[0].isspace() else "", text).split())


def escape_markdown(text: str) -> str:
    """Return a text as Markdown that shows it on one line, without links, images, HTML, emphasis or table cells of its own."""
    escaped = re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", escape_text(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def echo(text: str, *, end: str = "\n") -> None:
    """Print a result to stdout, escaped: see `escape_text`."""
    print(escape_text(text, lines=True), end=end, flush=True)


def notify(text: str) -> None:
    """Print a message to stderr, escaped; stdout is for results."""
    print(escape_text(text, lines=True), file=sys.stderr, flush=True)
