"""Quotas that services reported in their last responses, for `fototeca doctor`. Contains numbers, no keys."""

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
_MAX_VALUE = 40
"""Characters of a header that are stored."""


@dataclass(frozen=True)
class Quota:
    """Requests that a service still allowed at `time`, as its headers state."""

    remaining: str
    limit: str
    time: str


def parse_quota(headers: Mapping[str, str]) -> Quota | None:
    """Return the quota in a response's X-RateLimit headers; None without them."""
    by_name = {name.lower(): value for name, value in headers.items()}
    remaining = next((by_name[name] for name in _REMAINING if name in by_name), "")
    limit = next((by_name[name] for name in _LIMIT if name in by_name), "")
    return Quota(remaining[:_MAX_VALUE], limit[:_MAX_VALUE], now()) if remaining else None


def save_quota(source: str, headers: Mapping[str, str]) -> None:
    """Store the quota in a response's headers, if there is one and the user's cache is writable."""
    if quota := parse_quota(headers):
        quotas = {**read_quotas(), source: quota}
        with suppress(OSError):
            write_text(_file(), json.dumps({name: asdict(quota) for name, quota in quotas.items()}, indent=2))


def read_quotas() -> dict[str, Quota]:
    """Return the last quota of every service that reported one."""
    try:
        document = json.loads(_file().read_text(encoding="utf-8"))
        return {name: Quota(**fields) for name, fields in document.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # absent or damaged: it is only a cache
        return {}


def _file() -> Path:
    return user_cache_path("fototeca", appauthor=False) / "quotas.json"
