"""A requests session over guarded sockets: the client of every page, image, service API and hub."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry, parse_url

from fototeca.collect.http.guarded_sockets import guarded_pool

_HOSTS = 64
"""Hosts whose connections stay open for reuse."""


class GuardedSession(requests.Session):
    """A session that reaches public addresses only and sends nothing but what its caller passes.

    It does not follow redirects (`Downloader.stream` does, and checks each hop), stores no cookies, and uses no proxy, netrc
    file, CA bundle, user or password from the environment or from a URL. Threads may share it.
    """

    def __init__(self, *, allow_loopback: bool, per_host: int, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.trust_env = False
        self.auth = _no_auth
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.headers.clear()
        self.headers.update(headers)
        adapter = _GuardedAdapter(allow_loopback=allow_loopback, per_host=per_host)
        self.adapters.clear()
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare a request for exactly its URL: requests would decode escapes such as `%2E`, which servers tell apart."""
        prepared = super().prepare_request(request)
        prepared.url = parse_url(str(request.url)).url
        return prepared

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: requests would read the whole body of a redirect, however long, even when told not to follow it."""


class _GuardedAdapter(HTTPAdapter):
    """Takes its connections from `guarded_pool`, and never retries."""

    def __init__(self, *, allow_loopback: bool, per_host: int) -> None:
        self._allow_loopback = allow_loopback
        super().__init__(pool_connections=_HOSTS, pool_maxsize=per_host, max_retries=Retry(False))

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:  # noqa: ANN401
        """Make the pool; called by the constructor of HTTPAdapter."""
        self.poolmanager = guarded_pool(allow_loopback=self._allow_loopback, per_host=maxsize, hosts=connections)

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:  # noqa: ANN401
        """Leave verification to the pool's TLS context: requests would trust certifi's certificates beside the system's."""


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return the request as it is; without an auth function requests sends the user and password of a URL."""
    return request
