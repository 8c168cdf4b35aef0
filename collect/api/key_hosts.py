"""Hosts to which the key of a service may be sent.

A site file of a workspace may name any endpoint, so a key goes to the host in the shipped site file over https, and elsewhere
only if the user has named the host for this command.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fototeca.collect.http.urls import host_key, normalize_host
from fototeca.core.errors import FototecaError


@dataclass(frozen=True)
class KeyHosts:
    """The hosts that may receive the key of one service."""

    service: str
    """Name of the source or hub."""

    shipped: frozenset[str]
    """Hosts in its shipped site file, as `host_key` returns them."""

    named: tuple[str, ...] = ()
    """Hosts that the user has named: `HOST`, for every port, or `HOST:PORT`."""

    def allows(self, url: str) -> bool:
        """Return True if the key may be sent to a URL. Unencrypted only to this machine."""
        try:
            scheme, host = urlsplit(url).scheme.lower(), host_key(url)
        except ValueError:
            return False
        named = {normalize_host(name) for name in self.named}
        return (host in self.shipped or not named.isdisjoint((host, _without_port(host)))) and (
            scheme == "https" or _is_loopback(host)
        )

    def check(self, url: str) -> None:
        """Raise FototecaError if the key must not be sent to a URL."""
        if not self.allows(url):
            raise FototecaError(*self._problem(url))

    def refusal(self, url: str) -> str:
        """Return why the key is not sent to a URL, and what to do, in one line."""
        return "; ".join(self._problem(url))

    def _problem(self, url: str) -> tuple[str, str]:
        try:
            host = host_key(url)
        except ValueError:
            return f"the endpoint of {self.service} is not the URL of a server", f"correct sites/{self.service}.toml"
        problem = f"the key of {self.service} is not sent to {host}, which its site file in this workspace names"
        if urlsplit(url).scheme.lower() != "https" and not _is_loopback(host):
            return f"{problem} without https", f"use https in sites/{self.service}.toml"
        return problem, f"if you trust that server with it, pass --send-key-to {host}"


def _without_port(host: str) -> str:
    port = urlsplit(f"//{host}").port
    return host if port is None else host.removesuffix(f":{port}")


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
