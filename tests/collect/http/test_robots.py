"""The robots.txt parser, by RFC 9309 and against Protego."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from protego import Protego

from fototeca.collect.http.robots import parse_robots

PATHS = st.text("ab/*$?=.-", max_size=12).filter(lambda path: "**" not in path and not path.endswith("*"))
"""Protego does not count repeated and final stars when it compares lengths; RFC 9309 compares octets."""

RULES = st.lists(st.tuples(st.sampled_from(["Allow", "Disallow"]), PATHS), max_size=6)
AGENTS = st.sampled_from(["*", "fototeca", "Fototeca", "other"])


@settings(max_examples=300, derandomize=True)
@example([("*", [("Disallow", "?")])], "?")
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


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("Disallow: /private/", "/private/a.jpg", False),
        ("Disallow: /private/", "/public/a.jpg", True),
        ("Disallow: /\nAllow: /images/", "/images/a.jpg", True),
        ("Disallow: /images/\nAllow: /images/", "/images/a.jpg", True),
        ("Disallow: /*.gif$", "/a/b.gif", False),
        ("Disallow: /*.gif$", "/a/b.gif?x=1", True),
        ("Disallow: /a*b*c", "/a-b-c-d", False),
        ("Disallow: /a*b*c$", "/a-b-c-d", True),
        ("Disallow: /a*aa$", "/aa", True),
        ("Disallow: /%7Euser/", "/~user/x", False),
        ("Disallow: /a%2Fb", "/a/b", True),
        ("Disallow: /a%2fb", "/a%2Fb", False),
        ("Disallow: /ñ", "/%C3%B1/x", False),
        ("Disallow:", "/anything", True),
        ("Disallow: /*?", "/a?b", False),
        ("Allow: /%61\nDisallow: /ab", "/abc", False),
    ],
)
def test_robots_rules(rules: str, path: str, allowed: bool) -> None:
    """Longest match, ties, `*`, `$` and escapes as in RFC 9309."""
    assert parse_robots(f"User-agent: *\n{rules}\n").allows(f"http://example.org{path}") is allowed


def test_robots_prefers_the_group_of_our_agent() -> None:
    """A group for fototeca overrides the group for all agents."""
    robots = parse_robots("User-agent: *\nDisallow: /\n\nUser-agent: fototeca\nDisallow: /no/\nCrawl-delay: 2\n")
    assert robots.allows("http://example.org/yes")
    assert not robots.allows("http://example.org/no/x")
    assert robots.delay == 2


@pytest.mark.parametrize(
    "agents",
    [
        "User-agent: fototeca\nUser-agent: other",
        "User-agent: other\nUser-agent: fototeca",
        "User-agent: Fototeca/0.1",
        "User-agent: fototeca 2.0 (images)",
        "\ufeffUser-agent: fototeca",
    ],
)
def test_robots_group_with_version_or_other_agents_applies(agents: str) -> None:
    """Among other agents, with a version, after a byte order mark."""
    assert not parse_robots(f"{agents}\nDisallow: /\n").allows("http://example.org/a.jpg")


@pytest.mark.parametrize("agent", ["other/fototeca", "fototeca-news", "*bot"])
def test_robots_group_of_another_agent_does_not_apply(agent: str) -> None:
    """Not even if its name contains ours."""
    assert parse_robots(f"User-agent: {agent}\nDisallow: /\n").allows("http://example.org/a.jpg")


@settings(max_examples=200)
@given(st.text("ab*$", max_size=12), st.text("ab$", max_size=12))
def test_robots_patterns_match_like_regular_expressions(pattern: str, path: str) -> None:
    """The linear matcher agrees with a backtracking one."""
    whole = pattern.endswith("$")
    expression = ".*".join(map(re.escape, pattern.removesuffix("$").split("*"))) + ("$" if whole else "")
    expected = re.match("/" + expression, "/" + path) is not None
    assert parse_robots(f"User-agent: *\nDisallow: /{pattern}\n").allows(f"http://e.org/{path}") is not expected


def test_robots_pattern_with_many_wildcards_is_fast() -> None:
    """A pattern that is exponential for a backtracking matcher."""
    robots = parse_robots("User-agent: *\nDisallow: /" + "*a" * 2000 + "*b$\n")
    assert robots.allows("http://example.org/" + "a" * 4000)
