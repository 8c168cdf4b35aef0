"""Rate limits, Retry-After, opt-outs and site files; the documented reasons and sources."""

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

from fototeca.collect.http.options import FetchOptions
from fototeca.collect.http.robots import parse_robots
from fototeca.collect.http.throttle import RATE, Host, Hosts, compute_backoff, opts_out, parse_retry_after
from fototeca.collect.hubs.registry import HUBS
from fototeca.collect.sites import load_site
from fototeca.collect.sources import get_source, load_sources
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from tests.trusting import trust

ROOT = Path(__file__).parents[3]


def test_parse_retry_after() -> None:
    """Seconds, a date, a past date, malformed values."""
    assert parse_retry_after("7") == 7
    assert parse_retry_after("9999") == 9999
    assert parse_retry_after("³") is None
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert parse_retry_after("soon") is None
    for odd in ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 +99999999999999"):
        assert parse_retry_after(odd) is None
    assert parse_retry_after(None) is None


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf])
def test_fetch_options_refuse_invalid_limits(number: float) -> None:
    """The error names the option; a timeout is at most a day."""
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
def test_x_robots_tag_opt_out(tags: list[str], out: bool) -> None:
    """A rule for another agent does not apply; ours and everybody's does."""
    assert opts_out(tags) is out


@pytest.mark.parametrize(
    ("said", "delay"), [("2", 2), ("0.5", 0.5), (".5", 0.5), ("3600", 3600), ("9" * 400, math.inf), ("2 s", 0), ("-1", 0)]
)
def test_crawl_delay(said: str, delay: float) -> None:
    """In seconds; malformed values count as none, and the effective delay is at most 30 seconds."""
    robots = parse_robots(f"User-agent: *\nCrawl-delay: {said}\n")
    assert robots.delay == delay
    host = Host(threading.Semaphore(1))
    host.set_delay(robots.delay)
    assert host.rate == pytest.approx(1 / min(delay, 30) if delay else RATE)


def test_backoff_grows_with_jitter() -> None:
    """Doubles with each attempt; Retry-After overrides it."""
    pauses = [[compute_backoff(None, number) for _ in range(50)] for number in range(3)]
    assert all(0.25 * 2**number <= min(row) < max(row) <= 0.75 * 2**number for number, row in enumerate(pauses))
    assert all(len(set(row)) == len(row) for row in pauses)
    assert compute_backoff(7.0, 2) == 7.0


def test_rate_limit_is_twenty_requests_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a burst of forty requests, on a simulated clock."""
    host, moments = Hosts(4)["https://example.org/a"], [time.monotonic()]
    clock = SimpleNamespace(monotonic=lambda: moments[-1], sleep=lambda pause: moments.append(moments[-1] + pause + 1e-6))
    monkeypatch.setattr("fototeca.collect.http.throttle.time", clock)
    for _ in range(140):
        with host.slot():
            pass
    assert moments[-1] - moments[0] == pytest.approx(5, abs=0.01)


def test_pause_extends_the_wait_of_waiting_threads() -> None:
    """A thread that already waits for its slot waits longer."""
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


def test_host_with_long_retry_after_is_abandoned() -> None:
    """A pause above MAX_WAIT ends requests to the host for this run."""
    host = Host(threading.Semaphore(1))
    host.pause(3600)
    with host.slot():
        assert host.is_down
    host.record_outcome(ok=True)  # an answer that was on its way
    assert host.is_down


@pytest.mark.parametrize(("name", "most"), [("upload.wikimedia.org", 2), ("commons.wikimedia.org", 1), ("example.org", 4)])
def test_concurrency_per_host(name: str, most: int) -> None:
    """Wikimedia's own limits override --per-host."""
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


def test_every_reason_is_documented() -> None:
    """docs/reasons.md lists every reason in the code."""
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


def test_every_source_and_hub_is_documented() -> None:
    """docs/sources.md repeats the descriptions of the command; every source and hub has a dated, versioned site file."""
    page, hubs = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("sources.md", "hubs.md"))
    sources = load_sources()
    rows = {i.name: f"| {i.name} | {i.needs} | {i.limits} | {i.licenses} | {i.terms} |" for i in sources.values()}
    assert not [name for name, row in rows.items() if row not in page]
    assert not [name for name in HUBS if f"collect {name}" not in hubs]
    for name in {*sources, *HUBS}:
        site = load_site(Workspace(ROOT), name)
        assert re.fullmatch(r"20\d\d-\d\d", site["checked"])
        assert name in HUBS or callable(get_source(name))


def test_site_file_of_the_workspace_overrides_the_shipped_one(tmp_path: Path) -> None:
    """A malformed file, or one of another version, is an error that names it."""
    (tmp_path / "sites").mkdir()
    own = tmp_path / "sites" / "bing.toml"
    own.write_text('version = 1\nendpoint = "https://example.org"\n')
    trust(Workspace(tmp_path))
    assert load_site(Workspace(tmp_path), "bing")["endpoint"] == "https://example.org"
    with pytest.raises(FototecaError, match=re.escape(f"{own} has no 'tiles'; add it")):
        load_site(Workspace(tmp_path), "bing")["tiles"]
    own.write_text("version = 1\npause = 2\n")
    trust(Workspace(tmp_path))
    assert load_site(Workspace(tmp_path), "bing")["pause"] == 2
    for text in ("version = 2", "not toml", "version = 1\nmax_results = '9'", "version = 1\ntiles = 'a'"):
        own.write_text(text)
        trust(Workspace(tmp_path))
        with pytest.raises(FototecaError, match=re.escape(str(own))):
            load_site(Workspace(tmp_path), "bing")
