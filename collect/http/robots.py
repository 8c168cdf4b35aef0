"""robots.txt as specified by RFC 9309: the most specific agent group, the longest matching rule, `*` and `$`.

Our own parser, because the Python ones select other groups or rules than the RFC: urllib.robotparser knows neither wildcards
nor the longest match, and Protego 0.7 ignores a group for `fototeca/0.1` (the RFC compares the product token only) and follows
one for `foto` (a prefix of ours). Protego is the oracle of the tests for everything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

AGENT = "fototeca"
"""The product token by which robots.txt files address this program."""

_TOKEN = re.compile(r"\*(?!\S)|[a-z_-]*")
"""The product token at the start of a User-agent value, which a version may follow (RFC 9309, section 2.2.1)."""


@dataclass
class Robots:
    """The rules for our agent. Without rules everything is allowed."""

    rules: list[tuple[str, bool]] = field(default_factory=list)
    """Normalized path patterns, each with True for Allow and False for Disallow."""

    delay: float = 0.0
    """Crawl-delay in seconds."""

    def allows(self, url: str) -> bool:
        """Return True if the URL may be fetched: the longest matching pattern decides, and Allow wins a tie."""
        parts = urlsplit(url)
        has_query = "?" in url.partition("#")[0]  # an empty query counts: `Disallow: /?` matches `/?`
        path = _normalize((parts.path or "/") + (f"?{parts.query}" if has_query else ""))
        matches = [(len(pattern), allow) for pattern, allow in self.rules if _matches(pattern, path)]
        return max(matches, default=(0, True))[1]


def _normalize(path: str) -> str:
    """Return a path or pattern with uniform escapes: unreserved characters plain, all others as upper-case escapes."""

    def unescape(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        is_unreserved = character.isascii() and (character.isalnum() or character in "-._~")
        return character if is_unreserved else escape[0].upper()

    return re.sub(r"%([0-9A-Fa-f]{2})", unescape, quote(path, safe="%/?:@!$&'()*+,;=-._~[]"))


def _matches(pattern: str, path: str) -> bool:
    """Return True if the pattern, with `*` and a final `$`, matches the beginning of the path.

    Takes time linear in both for every pattern: each literal is searched only after the end of the one before.
    """
    is_anchored = pattern.endswith("$")
    first, *literals = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    position = len(first)
    last = literals.pop() if literals and is_anchored else None
    for literal in literals:
        position = path.find(literal, position)
        if position < 0:
            return False
        position += len(literal)
    if not is_anchored:
        return True
    return position == len(path) if last is None else path.endswith(last) and len(path) - len(last) >= position


def parse_robots(text: str) -> Robots:
    """Return the rules of the group for our agent, of any version, else of the group for `*`, else no rules."""
    groups: dict[str, Robots] = {}
    agents: list[str] = []
    in_agents = False
    for line in text.lstrip("\ufeff").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            agent = _TOKEN.match(value.lower())[0]  # type: ignore[index]  # matches every string
            agents = [*agents, agent] if in_agents else [agent]
            in_agents = True
            groups.setdefault(agent, Robots())
        elif key in ("allow", "disallow", "crawl-delay"):
            in_agents = False
            for agent in agents:
                _add_rule(groups[agent], key, value)
    return groups.get(AGENT) or groups.get("*") or Robots()


def _add_rule(group: Robots, key: str, value: str) -> None:
    if key == "crawl-delay":
        group.delay = float(value) if re.fullmatch(r"\d+(\.\d*)?|\.\d+", value) else group.delay
    elif value:
        group.rules.append((_normalize(value), key == "allow"))
