"""The environment variables of the browser and its driver: what they need to run, and nothing that belongs to others.

Pages run in the browser, and a fault in it would give them its environment: keys of services, passwords of proxies and tokens of
the shell. The browser needs none of them.
"""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Mapping

_NAMES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH"),
        *("DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "USERNAME"),
        *("APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)", "PROGRAMW6432", "NUMBER_OF_PROCESSORS"),
    )
)
"""Variables that Linux, macOS and Windows give to programs with a window."""
_PREFIXES = ("LC_", "XDG_", "FONTCONFIG_")

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def minimal_environment() -> dict[str, str]:
    """Return the environment of the browser and its driver. It has no proxy: the browser's is an option of its own."""
    kept = {name: value for name, value in os.environ.items() if name.upper() in _NAMES or name.upper().startswith(_PREFIXES)}
    return {**kept, "NO_PROXY": ",".join(_LOOPBACK), "SE_AVOID_STATS": "true"}


def prepare_selenium() -> None:
    """Keep Selenium in this process away from the network: commands to its driver never go to a proxy, and no statistics.

    Selenium reads both from this process's environment. Without a proxy in it, nothing is changed for proxies: a variable
    `no_proxy` alone would hide the proxy settings of macOS and Windows from Python.
    """
    os.environ.setdefault("SE_AVOID_STATS", "true")
    if urllib.request.getproxies_environment().keys() - {"no"}:
        excepted = _except_loopback(os.environ)
        os.environ.update({"no_proxy": excepted, "NO_PROXY": excepted})


def _except_loopback(environment: Mapping[str, str]) -> str:
    """Return the hosts that are reached without a proxy, this machine among them."""
    hosts = re.split(r"[,\s]+", environment.get("no_proxy") or environment.get("NO_PROXY") or "")
    return ",".join(dict.fromkeys((*filter(None, hosts), *_LOOPBACK)))
