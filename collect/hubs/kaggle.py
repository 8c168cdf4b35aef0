"""Kaggle: kaggle finds, kagglehub's client knows the keys and where the archive lies, and we download and unpack with caps.

kagglehub's own unpacking has none; kaggle authenticates while it is imported, prints help when it cannot, and calls exit().
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fototeca.collect.api.client import SourceStop
from fototeca.collect.api.credentials import KEYS
from fototeca.collect.api.json_fields import count, text
from fototeca.collect.hubs import Dataset, Facts, client_of, no_ref, spdx
from fototeca.collect.hubs.transfer import RemoteFile, download_files, save_stream
from fototeca.collect.sites import Site
from fototeca.collect.sources import Context
from fototeca.core.errors import EXIT_OUTSIDE

NAME = "kaggle"
_REF = re.compile(
    r"^(?:https?://(?:www\.)?kaggle\.com/(?:datasets/)?)?([\w-]+)/([\w-]+)(?:/(?:versions/(\d+)|data))?/?(?:[?#].*)?$"
)


def canonical(ref: str) -> str:
    """`OWNER/NAME`, or `OWNER/NAME/versions/NUMBER`."""
    found = _REF.match(ref.strip())
    if not found:
        raise no_ref(NAME, ref, "OWNER/NAME, OWNER/NAME/versions/NUMBER or the page's address")
    return f"{found[1]}/{found[2]}" + (f"/versions/{found[3]}" if found[3] else "")


def search(query: str, context: Context) -> list[Dataset]:
    """The first page of Kaggle's own search."""
    site = context.site(NAME)
    with client_of(NAME):
        _need_key()
        from kaggle.api.kaggle_api_extended import KaggleApi

        api = KaggleApi()
        api.authenticate()
        return [_dataset(site, found) for found in api.dataset_list(search=query) or () if found and found.ref]


def _need_key() -> None:
    """Say which key is missing, before the client would print its help and exit."""
    from kagglehub.config import get_kaggle_credentials

    if get_kaggle_credentials() is None:
        page = KEYS[NAME].page
        raise SourceStop(
            f"{NAME} needs a key", f"set KAGGLE_USERNAME and KAGGLE_KEY, or KAGGLE_API_TOKEN; get one at {page}", EXIT_OUTSIDE
        )


def _dataset(site: Site, found: Any) -> Dataset:  # noqa: ANN401 - the client is untyped
    ref, name = text(found.ref), text(found.license_name)
    return Dataset(
        NAME, ref, text(found.title) or ref, site["page"] + ref, count(found.total_bytes), None, spdx(site, name), name
    )


def fetch(ref: str, folder: Path, context: Context) -> Facts:
    """Lay the dataset's archive below `folder`. Public datasets come without a key."""
    site = context.site(NAME)
    with client_of(NAME):
        from kagglehub.clients import build_kaggle_client
        from kagglehub.handle import parse_dataset_handle
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest, ApiGetDatasetRequest

        handle = parse_dataset_handle(ref)
        with build_kaggle_client() as client:
            service = client.datasets.dataset_api_client
            wanted = ApiGetDatasetRequest()
            wanted.owner_slug, wanted.dataset_slug = handle.owner, handle.dataset
            dataset = service.get_dataset(wanted)
            version = handle.version or count(dataset.current_version_number)
            if not version:
                raise context.web(NAME).changed("a dataset without version")
            asked = ApiDownloadDatasetRequest()
            asked.owner_slug, asked.dataset_slug, asked.dataset_version_number = handle.owner, handle.dataset, version
            _take(service, asked, folder / str(version) / f"{handle.dataset}.zip", context)
        name = text(dataset.license_name)
        page = f"{site['page']}{handle.owner}/{handle.dataset}/versions/{version}"
        author = text(dataset.creator_name) or text(dataset.owner_name) or handle.owner
        return Facts(NAME, ref, text(dataset.title) or ref, page, str(version), str(version), author, spdx(site, name), name)


def _take(service: Any, asked: Any, target: Path, context: Context) -> None:  # noqa: ANN401 - the client is untyped
    """Download from the storage to which Kaggle leads, where a killed download can go on; else what comes at once."""
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with service.download_dataset(asked) as answer:
        if answer.history:
            address = answer.url
        else:
            save_stream(NAME, answer.iter_content(1 << 18), target)
            return
    download_files(NAME, [RemoteFile(address, target.name)], target.parent, context.downloader)
