"""Options of every command that fetches, with their defaults. Imports no heavy module."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fototeca.collect.http.urls import normalize_host
from fototeca.core.errors import FototecaError
from fototeca.vision.limits import MAX_PIXELS, MAX_STORED_PIXELS

DAY = 86_400.0
"""Seconds."""


@dataclass(frozen=True)
class FetchOptions:
    """Options of every command that fetches."""

    min_side: int = 64
    """Pixels; an image whose shorter side is below is rejected as `too-small`."""

    max_bytes: int = 30_000_000
    """A longer file is not received to its end and rejected as `too-large`."""

    concurrency: int = 16
    """Simultaneous downloads from all hosts."""

    per_host: int = 4
    """Simultaneous downloads from one host."""

    timeout: float = 30.0
    """Seconds for one download, redirects included; waiting for the host's rate limit does not count."""

    allow_loopback: bool = False
    """Allow loopback addresses; other private addresses stay refused."""

    max_pixels: int = MAX_PIXELS
    """An image with more pixels is not decoded and rejected as `too-many-pixels`; at most `vision.limits.MAX_STORED_PIXELS`."""

    send_key_to: tuple[str, ...] = ()
    """Hosts (`HOST` or `HOST:PORT`) that may receive the keys of the services in use, beside those of the shipped site files."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name in ("min_side", "max_bytes", "max_pixels", "concurrency", "per_host", "timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise FototecaError(f"--{name.replace('_', '-')} is {getattr(self, name)}", "choose a number above 0")
        if self.timeout > DAY:
            raise FototecaError(f"--timeout is {self.timeout:g}", "choose at most a day, in seconds")
        if self.max_pixels > MAX_STORED_PIXELS:
            raise FototecaError(f"--max-pixels is {self.max_pixels}", f"choose at most {MAX_STORED_PIXELS}")
        for host in self.send_key_to:
            try:
                normalize_host(host)
            except ValueError:
                raise FototecaError(f"--send-key-to {host!r} is not a host", "give its name: mirror.example.org") from None
