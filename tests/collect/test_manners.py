"""Manners: what robots.txt allows, how long a host wants to be left alone, what opts out; the reasons are documented."""

from __future__ import annotations

import ast
import math
import re
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fototeca.collect.http.client import FetchOptions
from fototeca.collect.http.robots import parse_robots
from fototeca.collect.http.throttle import RATE, Host, Hosts, compute_backoff, opts_out, parse_retry_after
from fototeca.collect.hubs.registry import HUBS
from fototeca.collect.sites import load_site
from fototeca.collect.sources import get_source, load_sources
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace

ROOT = Path(__file__).parents[2]


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
def test_robots(rules: str, path: str, allowed: bool) -> None:
    """The longest fitting rule decides, a tie allows, `*` and `$` mean what RFC 9309 says, escapes have one meaning."""
    assert parse_robots(f"User-agent: *\n{rules}\n").allows(f"http://example.org{path}") is allowed


def test_the_group_that_names_us_comes_first() -> None:
    """A group for fototeca overrules the one for everybody."""
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
def test_a_group_names_us_however_it_is_written(agents: str) -> None:
    """Among other agents, with a version, after a byte order mark: its rules hold for us."""
    assert not parse_robots(f"{agents}\nDisallow: /\n").allows("http://example.org/a.jpg")


@pytest.mark.parametrize("agent", ["other/fototeca", "fototeca-news", "*bot"])
def test_a_group_for_another_agent_says_nothing_to_us(agent: str) -> None:
    """Not even where a part of its name is ours."""
    assert parse_robots(f"User-agent: {agent}\nDisallow: /\n").allows("http://example.org/a.jpg")


@settings(max_examples=200)
@given(st.text("ab*$", max_size=12), st.text("ab$", max_size=12))
def test_patterns_equal_the_regular_expression(pattern: str, path: str) -> None:
    """The linear matcher says what a backtracking one would."""
    whole = pattern.endswith("$")
    expression = ".*".join(map(re.escape, pattern.removesuffix("$").split("*"))) + ("$" if whole else "")
    expected = re.match("/" + expression, "/" + path) is not None
    assert parse_robots(f"User-agent: *\nDisallow: /{pattern}\n").allows(f"http://e.org/{path}") is not expected


def test_a_hostile_pattern_takes_no_time() -> None:
    """A pattern that would keep a backtracking matcher busy for ever is answered at once."""
    robots = parse_robots("User-agent: *\nDisallow: /" + "*a" * 2000 + "*b$\n")
    assert robots.allows("http://example.org/" + "a" * 4000)


def test_retry_after() -> None:
    """Seconds, a date, a date that is past, nonsense."""
    assert parse_retry_after("7") == 7
    assert parse_retry_after("9999") == 9999
    assert parse_retry_after("³") is None
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert parse_retry_after("soon") is None
    for odd in ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 +99999999999999"):
        assert parse_retry_after(odd) is None
    assert parse_retry_after(None) is None


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf])
def test_limits_that_cannot_work_are_wrong_use(number: float) -> None:
    """One line that names the option; a timeout is no longer than the system can wait."""
    for option in ("timeout", "min_side"):
        with pytest.raises(FototecaError, match=f"--{option.replace('_', '-')} is"):
            FetchOptions(**{option: number})  # type: ignore[arg-type]
    with pytest.raises(FototecaError, match="at most a day"):
        FetchOptions(timeout=1e10)


@pytest.mark.parametrize(
    ("tags", "out"),
    [
        (["noai"], True),
        (["noindex, nofollow"], True),
        (["all"], False),
        (["googlebot: noindex"], False),
        (["fototeca: noai"], True),
        (["noai, max-snippet:-1"], True),
        (["max-image-preview:large, noimageai"], True),
        (["noindex, unavailable_after: 25 Jun 2030 15:00:00 PST"], True),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST"], False),
        (["max-snippet:-1", "googlebot: nofollow, noindex"], False),
        (["googlebot: noindex, otherbots: noai"], True),
        (["unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], True),
        (["unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, nofollow"], False),
        (["googlebot: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], False),
    ],
)
def test_opting_out(tags: list[str], out: bool) -> None:
    """A tag for another agent is none of our business; ours and everybody's is."""
    assert opts_out(tags) is out


@pytest.mark.parametrize(
    ("said", "delay"), [("2", 2), ("0.5", 0.5), (".5", 0.5), ("3600", 3600), ("9" * 400, math.inf), ("2 s", 0), ("-1", 0)]
)
def test_the_pause_that_a_site_asks_for(said: str, delay: float) -> None:
    """In seconds, however many; of what is no number nothing. A host is asked once in half a minute at the least."""
    robots = parse_robots(f"User-agent: *\nCrawl-delay: {said}\n")
    assert robots.delay == delay
    host = Host(threading.Semaphore(1))
    host.set_delay(robots.delay)
    assert host.rate == pytest.approx(1 / min(delay, 30) if delay else RATE)


def test_pauses_between_tries_grow_and_differ() -> None:
    """Twice as long each time, and not the same for all who were refused together; what the host says comes first."""
    pauses = [[compute_backoff(None, number) for _ in range(50)] for number in range(3)]
    assert all(0.25 * 2**number <= min(row) < max(row) <= 0.75 * 2**number for number, row in enumerate(pauses))
    assert all(len(set(row)) == len(row) for row in pauses)
    assert compute_backoff(7.0, 2) == 7.0


def test_a_host_is_asked_twenty_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """After forty requests at once, however quick its answers are; the clock here moves only where somebody waits."""
    host, moments = Hosts(4)["https://example.org/a"], [time.monotonic()]
    clock = SimpleNamespace(monotonic=lambda: moments[-1], sleep=lambda pause: moments.append(moments[-1] + pause + 1e-6))
    monkeypatch.setattr("fototeca.collect.http.throttle.time", clock)
    for _ in range(140):
        with host.slot():
            pass
    assert moments[-1] - moments[0] == pytest.approx(5, abs=0.01)


def test_a_host_that_asks_to_wait_is_left_alone_by_all() -> None:
    """A thread that waits for its turn waits longer when another one is told to."""
    host = Host(threading.Semaphore(4))
    host.pause(0.15)
    started, times = time.monotonic(), []

    def ask() -> None:
        with host.slot():
            times.append(time.monotonic() - started)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    host.pause(0.4)
    for thread in threads:
        thread.join()
    assert min(times) >= 0.4


def test_a_host_that_asks_for_an_hour_is_not_asked_again() -> None:
    """Nobody waits so long, and nobody asks before."""
    host = Host(threading.Semaphore(1))
    host.pause(3600)
    with host.slot():
        assert host.is_down
    host.record_outcome(ok=True)  # an answer that was on its way
    assert host.is_down


@pytest.mark.parametrize(("name", "most"), [("upload.wikimedia.org", 2), ("commons.wikimedia.org", 1), ("example.org", 4)])
def test_a_host_is_asked_no_more_at_once_than_it_likes(name: str, most: int) -> None:
    """Wikimedia's own bounds hold whatever --per-host says; everybody else waits until one is done."""
    hosts, entered = Hosts(4), threading.Event()
    host = hosts[f"https://{name}/a"]
    assert host is hosts[f"HTTPS://someone@{name.upper()}.:443/b"], "however it is spelled"

    def ask() -> None:
        with host.slot():
            entered.set()

    with ExitStack() as asking:
        for _ in range(most):
            asking.enter_context(host.slot())
        (other := threading.Thread(target=ask, daemon=True)).start()
        assert not entered.wait(0.1)
    assert entered.wait(5)
    other.join()


ERRORS_WITH_REASONS = ("FetchError", "ImageRejectedError", "DecodeError")


def test_every_reason_is_explained() -> None:
    """docs/reasons.md names every reason that the code can give."""
    page = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
    given_reasons: set[str] = set()
    for path in (*(ROOT / "collect").rglob("*.py"), ROOT / "vision" / "image.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in ERRORS_WITH_REASONS:
                continue
            if node.args and isinstance(node.args[0], ast.Constant):
                given_reasons.add(str(node.args[0].value))
    assert len(given_reasons) > 12
    assert not [reason for reason in given_reasons if f"`{reason}`" not in page]


def test_every_source_and_hub_is_explained() -> None:
    """docs/sources.md says of each source what the command says; every source and hub has its site file, dated and versioned."""
    page, hubs = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("sources.md", "hubs.md"))
    sources = load_sources()
    rows = {i.name: f"| {i.name} | {i.needs} | {i.limits} | {i.licenses} | {i.terms} |" for i in sources.values()}
    assert not [name for name, row in rows.items() if row not in page]
    assert not [name for name in HUBS if f"collect {name}" not in hubs]
    for name in {*sources, *HUBS}:
        site = load_site(Workspace(ROOT), name)
        assert re.fullmatch(r"20\d\d-\d\d", site["checked"])
        assert name in HUBS or callable(get_source(name))


def test_a_site_file_of_the_workspace_comes_first(tmp_path: Path) -> None:
    """A mended file is used; a broken one, or one of another version, is an error that names it."""
    (tmp_path / "sites").mkdir()
    own = tmp_path / "sites" / "bing.toml"
    own.write_text('version = 1\nendpoint = "https://example.org"\n')
    assert load_site(Workspace(tmp_path), "bing")["endpoint"] == "https://example.org"
    with pytest.raises(FototecaError, match=re.escape(f"{own} has no 'tiles'; add it")):
        load_site(Workspace(tmp_path), "bing")["tiles"]
    own.write_text("version = 1\npause = 2\n")
    assert load_site(Workspace(tmp_path), "bing")["pause"] == 2
    for text in ("version = 2", "not toml", "version = 1\nmax_results = '9'", "version = 1\ntiles = 'a'"):
        own.write_text(text)
        with pytest.raises(FototecaError, match=re.escape(str(own))):
            load_site(Workspace(tmp_path), "bing")
