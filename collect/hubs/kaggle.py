"""Kaggle: `kaggle` searches, the client of `kagglehub` authenticates and locates the archive, and we download and unpack it.

kagglehub unpacks without limits; `kaggle` authenticates on import, prints help if that fails, and calls exit().
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fototeca.collect.api.client import SourceStoppedError
from fototeca.collect.api.credentials import KEYS
from fototeca.collect.api.json_fields import get_int, get_text
from fototeca.collect.hubs import DatasetInfo, HubDataset, hub_client, invalid_ref_error, normalize_license
from fototeca.collect.hubs.transfer import RemoteFile, download_files, save_stream
from fototeca.collect.sites import Site
from fototeca.collect.sources import SourceContext

NAME = "kaggle"
_CHUNK = 1 << 18
_REF = re.compile(
    r"^(?:https?://(?:www\.)?kaggle\.com/(?:datasets/)?)?([\w-]+)/([\w-]+)(?:/(?:versions/(\d+)|data))?/?(?:[?#].*)?$"
)


def normalize_ref(ref: str) -> str:
    """Return `OWNER/NAME` or `OWNER/NAME/versions/NUMBER`."""
    match = _REF.match(ref.strip())
    if not match:
        raise invalid_ref_error(NAME, ref, "OWNER/NAME, OWNER/NAME/versions/NUMBER or the page's URL")
    return f"{match[1]}/{match[2]}" + (f"/versions/{match[3]}" if match[3] else "")


def find_datasets(query: str, context: SourceContext) -> list[HubDataset]:
    """Return the first page of Kaggle's own search."""
    site = context.site(NAME)
    with hub_client(NAME, context):
        _check_key()
        from kaggle.api.kaggle_api_extended import KaggleApi

        api = KaggleApi()
        api.authenticate()
        results = api.dataset_list(search=query) or ()
        return [_to_dataset(site, result) for result in results if result and result.ref]


def _check_key() -> None:
    """Raise SourceStoppedError if there is no key; the client would print its help and exit."""
    from kagglehub.config import get_kaggle_credentials

    if get_kaggle_credentials() is None:
        page = KEYS[NAME].page
        raise SourceStoppedError(
            f"{NAME} needs a key", f"set KAGGLE_USERNAME and KAGGLE_KEY, or KAGGLE_API_TOKEN; get one at {page}"
        )


def _to_dataset(site: Site, result: Any) -> HubDataset:  # noqa: ANN401 - the client is untyped
    ref, license_name = get_text(result.ref), get_text(result.license_name)
    return HubDataset(
        hub=NAME,
        ref=ref,
        title=get_text(result.title) or ref,
        url=site["page"] + ref,
        size=get_int(result.total_bytes),
        license=normalize_license(site, license_name),
        license_found=license_name,
    )


def download(ref: str, folder: Path, context: SourceContext) -> DatasetInfo:
    """Download the dataset's archive below `folder`. Public datasets need no key."""
    site = context.site(NAME)
    with hub_client(NAME, context):
        from kagglehub.clients import build_kaggle_client
        from kagglehub.handle import parse_dataset_handle
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest, ApiGetDatasetRequest

        handle = parse_dataset_handle(ref)
        with build_kaggle_client() as client:
            service = client.datasets.dataset_api_client
            get_request = ApiGetDatasetRequest()
            get_request.owner_slug, get_request.dataset_slug = handle.owner, handle.dataset
            dataset = service.get_dataset(get_request)
            version = handle.version or get_int(dataset.current_version_number)
            if not version:
                raise context.client(NAME).unexpected_response("a dataset without version")
            download_request = ApiDownloadDatasetRequest()
            download_request.owner_slug, download_request.dataset_slug = handle.owner, handle.dataset
            download_request.dataset_version_number = version
            _download_archive(service, download_request, folder / str(version) / f"{handle.dataset}.zip", context)
        license_name = get_text(dataset.license_name)
        return DatasetInfo(
            hub=NAME,
            ref=ref,
            title=get_text(dataset.title) or ref,
            page_url=f"{site['page']}{handle.owner}/{handle.dataset}/versions/{version}",
            folder=str(version),
            version=str(version),
            author=get_text(dataset.creator_name) or get_text(dataset.owner_name) or handle.owner,
            license=normalize_license(site, license_name),
            license_found=license_name,
        )


def _download_archive(service: Any, request: Any, target: Path, context: SourceContext) -> None:  # noqa: ANN401 - untyped
    """Download from the storage to which Kaggle redirects, which can resume; without a redirect save Kaggle's own response."""
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with service.download_dataset(request) as response:
        if not response.history:
            save_stream(NAME, response.iter_content(_CHUNK), target)
            return
        url = response.url
    download_files(NAME, [RemoteFile(url, target.name)], target.parent, context.downloader)
