"""robots.txt as RFC 9309 has it: the most specific agent group, the longest matching rule, `*` and `$`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

AGENT = "fototeca"
"""The product token that robots.txt files can name."""

_TOKEN = re.compile(r"\*(?!\S)|[a-z_-]*")
"""The part of a User-agent line that counts: a version may follow it (RFC 9309, section 2.2.1)."""


@dataclass
class Robots:
    """The rules for our agent. Without rules everything is allowed."""

    rules: list[tuple[str, bool]] = field(default_factory=list)
    """Path patterns, their escapes in one spelling, with whether they allow."""

    delay: float = 0.0
    """Seconds between requests that the site asks for."""

    def allows(self, url: str) -> bool:
        """Whether this URL may be fetched: the longest matching pattern decides, and a tie allows."""
        parts = urlsplit(url)
        path = _normal((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        matching = [(len(pattern), allow) for pattern, allow in self.rules if _fits(pattern, path)]
        return max(matching, default=(0, True))[1]


def _normal(path: str) -> str:
    """The path with its escapes in one spelling: unreserved characters plain, all others as upper-case escapes."""

    def plain(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if character.isascii() and (character.isalnum() or character in "-._~") else escape[0].upper()

    return re.sub(r"%([0-9A-Fa-f]{2})", plain, quote(path, safe="%/?:@!$&'()*+,;=-._~[]"))


def _fits(pattern: str, path: str) -> bool:
    """Whether the pattern, with `*` and a final `$`, fits the path's beginning. Takes time in proportion to both, whatever the
    pattern: each piece is looked for at its first place after the one before."""
    whole = pattern.endswith("$")
    first, *pieces = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    last = pieces.pop() if pieces and whole else None
    for piece in pieces:
        at = path.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    if not whole:
        return True
    return at == len(path) if last is None else path.endswith(last) and len(path) - len(last) >= at


def parse_robots(text: str) -> Robots:
    """The rules of the group that names our agent, in whatever version, else of the one for `*`, else nothing forbidden."""
    groups: dict[str, Robots] = {}
    current: list[str] = []
    in_agents = False
    for line in text.lstrip("\ufeff").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            name = _TOKEN.match(value.lower())[0]  # type: ignore[index]  # it fits everything
            current = [*current, name] if in_agents else [name]
            in_agents = True
            groups.setdefault(name, Robots())
        elif key in ("allow", "disallow", "crawl-delay"):
            in_agents = False
            for name in current:
                _add(groups[name], key, value)
    return groups.get(AGENT) or groups.get("*") or Robots()


def _add(group: Robots, key: str, value: str) -> None:
    if key == "crawl-delay":
        group.delay = float(value) if re.fullmatch(r"\d+(\.\d*)?|\.\d+", value) else group.delay
    elif value:
        group.rules.append((_normal(value), key == "allow"))
