"""What services said of their quotas in their last answers, for `fototeca doctor`. Holds numbers, no keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_cache_path

from fototeca.collect.catalog import now
from fototeca.core.files import write_text

_LIMIT = ("x-ratelimit-limit", "ratelimit-limit", "x-ratelimit-limit-anon_burst")
_REMAINING = ("x-ratelimit-remaining", "ratelimit-remaining", "x-ratelimit-available-anon_burst")


@dataclass(frozen=True)
class Quota:
    """Requests that a service still answers, as it said at `time`."""

    remaining: str
    limit: str
    time: str


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """What an answer's X-RateLimit headers say, if it has them."""
    lowered = {name.lower(): value for name, value in headers.items()}
    remaining = next((lowered[name] for name in _REMAINING if name in lowered), "")
    limit = next((lowered[name] for name in _LIMIT if name in lowered), "")
    return Quota(remaining[:40], limit[:40], now()) if remaining else None


def remember_quota(source: str, headers: Mapping[str, str]) -> None:
    """Keep what an answer says of its service's quota, where that can be written."""
    if quota := quota_of(headers):
        quotas = {**read_quotas(), source: quota}
        with suppress(OSError):
            write_text(_file(), json.dumps({name: asdict(quota) for name, quota in quotas.items()}, indent=2))


def read_quotas() -> dict[str, Quota]:
    """The last quota of every service that told one."""
    try:
        document = json.loads(_file().read_text(encoding="utf-8"))
        return {name: Quota(**facts) for name, facts in document.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # not there yet, or not ours: it is only a cache
        return {}


def _file() -> Path:
    return user_cache_path("fototeca", appauthor=False) / "quotas.json"
