"""Dataset hubs: one module per hub, which finds datasets and downloads their files.

`import_dataset` and `discover` are the entry points of the commands; `registry` describes the hubs.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from fototeca.collect.api.client import SourceStoppedError
from fototeca.collect.api.credentials import KEYS
from fototeca.collect.catalog import replace_surrogates
from fototeca.collect.http.guarded_sockets import PrivateAddressError
from fototeca.collect.hubs.guarded_clients import guarded_clients
from fototeca.collect.hubs.registry import HUBS
from fototeca.collect.licenses import UNKNOWN, to_spdx
from fototeca.collect.sites import Site
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.results import Result

MAX_RESULTS = 20
"""Datasets requested from each hub by a search."""


@dataclass(frozen=True)
class HubDataset(Result):
    """One result of a search."""

    hub: str
    ref: str
    """The reference that `fototeca collect HUB` takes."""

    title: str
    url: str
    size: int | None = None
    """Bytes, if the hub states them."""

    images: int | None = None
    """Number of images, if the hub states it."""

    license: str = UNKNOWN
    license_found: str = ""
    """The license as the hub writes it."""


@dataclass(frozen=True)
class DatasetInfo:
    """Description of a downloaded dataset; kept beside its files as `dataset.json`."""

    hub: str
    ref: str
    title: str
    page_url: str
    folder: str
    """Folder of the files, relative to the dataset's own; each version has one, so that two downloads never mix."""

    version: str = ""
    """Version or commit."""

    author: str = ""
    license: str = UNKNOWN
    license_found: str = ""
    """The license as the hub writes it."""


_T = TypeVar("_T", HubDataset, DatasetInfo)


class Hub(Protocol):
    """Interface of a hub's module."""

    def normalize_ref(self, ref: str) -> str:
        """Return the canonical form of an id, a DOI or a page's URL. FototecaError if it is not a dataset of this hub."""

    def find_datasets(self, query: str, context: SourceContext) -> list[HubDataset]:
        """Return the datasets that match, best first. FototecaError (exit 4) if the request fails."""

    def download(self, ref: str, folder: Path, context: SourceContext) -> DatasetInfo:
        """Download the images and archives of one version into its own folder below `folder`; existing files stay.

        `ref` is canonical. FototecaError (exit 4) if the request fails.
        """


def get_hub(name: str) -> Hub:
    """Return the module of a hub. FototecaError lists the hubs if there is none of this name."""
    if name not in HUBS:
        raise FototecaError(f"unknown hub {name!r}", f"choose one of: {', '.join(HUBS)}")
    return cast(Hub, importlib.import_module(f"fototeca.collect.hubs.{name}"))


def redact(hub: str, record: _T) -> _T:
    """Return a record whose texts can be stored as UTF-8 and do not contain the hub's key, which responses may repeat."""
    remove_key = KEYS[hub].redactor() if hub in KEYS else str
    texts = {name: replace_surrogates(value) for name, value in asdict(record).items() if isinstance(value, str)}
    redacted: dict[str, Any] = {name: remove_key(text) for name, text in texts.items()}
    return replace(record, **redacted)


def invalid_ref_error(hub: str, ref: str, expected: str) -> FototecaError:
    """Return the error for a reference that is not in the form of the hub."""
    return FototecaError(f"{ref!r} is not a dataset of {hub}", f"give {expected}")


def normalize_license(site: Site, *names: str) -> str:
    """Return the SPDX id of the first name that has one, by the site file's `licenses`, then by the general rules."""
    ids = {name.lower(): spdx_id for name, spdx_id in site.get("licenses", {}).items()}
    candidates = (str(ids.get(name.strip().lower()) or to_spdx(name)) for name in names)
    return next((spdx_id for spdx_id in candidates if spdx_id != UNKNOWN), UNKNOWN)


def join_authors(names: list[str]) -> str:
    """Return the first three names joined by `; `, and `et al.` if there are more."""
    return "; ".join(filter(None, names[:3])) + (" et al." if len(names) > 3 else "")


@contextmanager
def hub_client(hub: str, context: SourceContext) -> Iterator[None]:
    """Use a hub's own client library in the block: behind the filtering proxy, its exceptions as FototecaErrors without keys.

    The clients raise exceptions of many kinds, call exit(), put keys into URLs and URLs into messages.
    """
    try:
        with guarded_clients(context.proxy):
            yield
    except FototecaError as error:
        error.message, error.hint = map(KEYS[hub].redactor(), (error.message, error.hint))
        raise
    except ModuleNotFoundError as error:
        raise ExternalError(f"{hub} needs the package {error.name}", "run: pip install 'fototeca[hubs]'") from None
    except PrivateAddressError as error:
        raise ExternalError(f"{hub}: {error} is not a public address", "pass --allow-loopback to allow this machine") from None
    except (Exception, SystemExit) as error:
        raise to_hub_error(hub, error) from None


def to_hub_error(hub: str, error: BaseException) -> FototecaError:
    """Return the FototecaError for a client's exception, by its HTTP status if it has one, else by its type."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "status_code", None)
    if status in (401, 403) or isinstance(error, SystemExit):
        key = KEYS[hub]
        return SourceStoppedError(
            f"{hub} denied access",
            f"check {key.variable} (see {key.page}), and accept the dataset's terms on its page",
        )
    if status == 404:
        return ExternalError(f"{hub} has no such dataset", "check the reference")
    if status == 429:
        return SourceStoppedError(f"{hub}: the quota is exhausted", "try again later")
    kind = "dns" if isinstance(error, socket.gaierror) else type(error).__name__
    detail = f"HTTP {status}" if status else kind
    return ExternalError(f"{hub} request failed: {detail}", "check the network, or try again later")
