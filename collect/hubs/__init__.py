"""Where whole datasets come from: one file per hub, which finds datasets and lays their files in a folder."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from fototeca.collect.api.client import SourceStop
from fototeca.collect.api.credentials import KEYS
from fototeca.collect.catalog import replace_surrogates
from fototeca.collect.http.guarded_sockets import PrivateAddressError
from fototeca.collect.hubs.registry import HUBS
from fototeca.collect.licenses import UNKNOWN, to_spdx
from fototeca.collect.sites import Site
from fototeca.collect.sources import Context
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError

RESULTS = 20
"""Datasets that a search asks of each hub."""


@dataclass(frozen=True)
class Dataset:
    """One result of a search."""

    hub: str
    ref: str
    """What `fototeca collect HUB` takes."""

    title: str
    url: str
    size: int | None = None
    """Bytes, where the hub says so."""

    images: int | None = None
    """Images, where the hub says so."""

    license: str = UNKNOWN
    license_found: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of a dataset whose files are here."""

    hub: str
    ref: str
    title: str
    page_url: str
    place: str
    """The folder with its files, in the dataset's own: each version has one, so that a killed download never mixes two."""

    version: str = ""
    """The version or commit that was fetched, as people call it."""

    author: str = ""
    license: str = UNKNOWN
    license_found: str = ""


_T = TypeVar("_T", Dataset, Facts)


class Hub(Protocol):
    """What the module of a hub offers."""

    def canonical(self, ref: str) -> str:
        """The one spelling of an id, a DOI or a page's address. FototecaError when it is none of this hub's."""

    def search(self, query: str, context: Context) -> list[Dataset]:
        """The datasets that the hub finds, best first. FototecaError (exit 4) when it does not answer as it should."""

    def fetch(self, ref: str, folder: Path, context: Context) -> Facts:
        """Lay one version's images and archives in a folder of its own below `folder`; what is there already stays.

        `ref` is canonical.
        """


def get_hub(name: str) -> Hub:
    """The module of a hub. FototecaError names those there are."""
    if name not in HUBS:
        raise FototecaError(f"unknown hub {name!r}", f"there are: {', '.join(HUBS)}")
    return cast(Hub, importlib.import_module(f"fototeca.collect.hubs.{name}"))


def cleaned(hub: str, facts: _T) -> _T:
    """What a hub tells, such as can be written down: with the key left out, which its answers may repeat."""
    clean = KEYS[hub].cleaner() if hub in KEYS else str
    texts = {name: replace_surrogates(value) for name, value in asdict(facts).items() if isinstance(value, str)}
    shown: dict[str, Any] = {name: clean(text) for name, text in texts.items()}
    return replace(facts, **shown)


def no_ref(hub: str, ref: str, form: str) -> FototecaError:
    """The error for a reference that a hub cannot know."""
    return FototecaError(f"{ref!r} is no dataset of {hub}", f"give {form}")


def spdx(site: Site, found: str) -> str:
    """The SPDX id of a licence as a hub writes it: by the site's own names first, then by the general rules."""
    names = {name.lower(): spdx_id for name, spdx_id in site.get("licenses", {}).items()}
    return str(names.get(found.strip().lower()) or to_spdx(found))


@contextmanager
def client_of(hub: str) -> Iterator[None]:
    """Around the calls of a hub's own client: whatever it raises becomes one line that shows no address and no key.

    The clients raise all kinds of errors, call exit(), and put keys into addresses and addresses into their messages.
    """
    try:
        yield
    except FototecaError as error:
        error.message, error.hint = map(KEYS[hub].cleaner(), (error.message, error.hint))
        raise
    except ModuleNotFoundError as error:
        raise FototecaError(f"{hub} needs the package {error.name}", "run: pip install 'fototeca[hubs]'", EXIT_OUTSIDE) from None
    except PrivateAddressError as error:
        raise FototecaError(
            f"{hub}: {error} is no public address", "pass --allow-loopback to ask this machine", EXIT_OUTSIDE
        ) from None
    except (Exception, SystemExit) as error:
        raise client_problem(hub, error) from None


def client_problem(hub: str, error: BaseException) -> FototecaError:
    """One line for what a client raised, told by the HTTP status it bears, else by its kind."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "status_code", None)
    if status in (401, 403) or isinstance(error, SystemExit):
        key = KEYS[hub]
        return SourceStop(
            f"{hub} refuses access",
            f"check {key.variable} (see {key.page}), and accept the dataset's terms on its page",
            EXIT_OUTSIDE,
        )
    if status == 404:
        return FototecaError(f"{hub} has no such dataset", "check the reference", EXIT_OUTSIDE)
    if status == 429:
        return SourceStop(f"{hub}: the quota is used up", "ask again later", EXIT_OUTSIDE)
    kind = "dns" if isinstance(error, socket.gaierror) else type(error).__name__
    what = f"HTTP {status}" if status else kind
    return FototecaError(f"{hub} cannot be asked: {what}", "check the network, or try again later", EXIT_OUTSIDE)
