"""Our robots.txt parser against Protego."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from protego import Protego

from fototeca.collect.http.robots import parse_robots

PATHS = st.text("ab/*$?=.-", max_size=12)
RULES = st.lists(st.tuples(st.sampled_from(["Allow", "Disallow"]), PATHS), max_size=6)
AGENTS = st.sampled_from(["*", "fototeca", "Fototeca", "other"])


@settings(max_examples=300)
@example([("*", [("Disallow", "a"), ("Allow", "a*b")])], "ab")
@given(st.lists(st.tuples(AGENTS, RULES), max_size=3, unique_by=lambda group: group[0].lower()), st.text("ab/?=.-", max_size=12))
def test_parser_agrees_with_protego(groups: list[tuple[str, list[tuple[str, str]]]], path: str) -> None:
    """Group selection, wildcards, anchors, longest match and ties decide as Protego does."""
    text = "\n".join(
        line
        for agent, rules in groups
        for line in (f"User-agent: {agent}", *(f"{name}: /{pattern}" for name, pattern in rules), "")
    )
    url = f"http://example.org/{path}"
    assert parse_robots(text).allows(url) is Protego.parse(text).can_fetch(url, "fototeca")
