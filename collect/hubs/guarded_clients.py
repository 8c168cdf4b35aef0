"""The hubs' own clients behind the filtering proxy.

Each client opens its connections itself: huggingface_hub with httpx, those of Kaggle and Roboflow with requests. A check of the
host before their requests would be undone by a second answer of the name server (DNS rebinding), which could send the key to a
service of this machine. The proxy resolves each name once, and connects to the address that it has checked; TLS stays between
client and hub. All of these clients read the proxy from the environment.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fototeca.collect.browser.proxy import FilteringProxy
from fototeca.collect.http.guarded_sockets import PrivateAddressError

_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_EXCEPTIONS = "no_proxy"


class _ProcessProxy:
    """The proxy that the environment of this process names, for the threads that share it. Another proxy waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users = 0
        self._proxy: FilteringProxy | None = None
        self._before: Mapping[str, str] = {}

    def enter(self, proxy: FilteringProxy) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._proxy in (None, proxy))
            if not self._users:
                self._proxy = proxy
                self._before = _take_variables()
                for name in _VARIABLES:
                    os.environ[name] = os.environ[name.upper()] = proxy.address
                _close_huggingface_session()
            self._users += 1

    def leave(self) -> None:
        with self._changed:
            self._users -= 1
            if not self._users:
                _take_variables()
                os.environ.update(self._before)
                _close_huggingface_session()
                self._proxy = None
                self._changed.notify_all()


_process_proxy = _ProcessProxy()


@contextmanager
def guarded_clients(proxy: FilteringProxy) -> Iterator[None]:
    """Connect every HTTP client of this process through `proxy` in the block, which threads may share.

    PrivateAddressError instead of a client's own exception if the proxy refused a host.
    """
    before = {*proxy.refused_hosts}
    _process_proxy.enter(proxy)
    try:
        yield
    except Exception as error:
        refused = sorted(proxy.refused_hosts - before)
        if refused and getattr(error, "response", None) is None:
            raise PrivateAddressError(refused[0]) from None
        raise
    finally:
        _process_proxy.leave()


def _take_variables() -> dict[str, str]:
    """Remove and return the variables that name proxies, or hosts that are reached without one."""
    names = [name for word in (*_VARIABLES, _EXCEPTIONS) for name in (word, word.upper())]
    return {name: os.environ.pop(name) for name in names if name in os.environ}


def _close_huggingface_session() -> None:
    """Close huggingface_hub's session, which read the proxy when it was made; the next request makes another."""
    if "huggingface_hub" in sys.modules:
        from huggingface_hub import close_session

        close_session()
