"""Hugging Face: download a dataset's images and archives at a fixed commit with the hub's own client."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

from fototeca.collect.api.json_fields import get_int, get_text
from fototeca.collect.files.disk_space import check_disk_space
from fototeca.collect.files.embedded_tables import TABLE_NAMES
from fototeca.collect.hubs import (
    MAX_RESULTS,
    DatasetInfo,
    HubDataset,
    hub_client,
    invalid_ref_error,
    normalize_license,
)
from fototeca.collect.hubs.transfer import SUPPORTED_SUFFIXES, is_label_table, no_images_error, reason_not_downloaded
from fototeca.collect.sites import Site
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import ExternalError
from fototeca.core.passed_over import PassedOver

NAME = "huggingface"
_REF = re.compile(
    r"^(?:https?://[^/]+/datasets/|datasets/)?(\w[\w.-]*(?:/\w[\w.-]*)?)(?:(?:/(?:tree|resolve|blob)/|@)(refs/\w+/\w+|[\w.-]+).*)?/?$"
)


def normalize_ref(ref: str) -> str:
    """Return `OWNER/NAME` or `OWNER/NAME@REVISION`."""
    match = _REF.match(ref.strip().replace("%2F", "/"))
    if not match or ref.startswith("10."):
        raise invalid_ref_error(NAME, ref, "OWNER/NAME, OWNER/NAME@REVISION or the page's URL")
    return f"{match[1]}@{match[2]}" if match[2] else match[1]


def _client(site: Site, context: SourceContext) -> Any:  # noqa: ANN401 - the client's own type, imported only here
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    constants.HF_HUB_DISABLE_XET = True  # another transport, with connections of its own

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings show URLs, which may be signed
    if not sys.stderr.isatty():
        disable_progress_bars()
    token = None if context.may_send_key(NAME, site["endpoint"]) else False  # None: the user's own
    return HfApi(endpoint=site["endpoint"], token=token)


def find_datasets(query: str, context: SourceContext) -> list[HubDataset]:
    """Return datasets that the hub tags as image datasets."""
    site = context.site(NAME)
    with hub_client(NAME, context):
        results = _client(site, context).list_datasets(
            search=query, filter=site.get("filter") or None, limit=MAX_RESULTS, expand=["cardData", "tags", "mainSize"]
        )
        return [_to_dataset(site, info) for info in results if get_text(info.id)]


def _to_dataset(site: Site, info: Any) -> HubDataset:  # noqa: ANN401 - the client's DatasetInfo
    ref, license_name = get_text(info.id), _license_name(info)
    return HubDataset(
        hub=NAME,
        ref=ref,
        title=get_text(_card(info), "pretty_name") or ref,
        url=f"{site['endpoint']}/datasets/{ref}",
        size=get_int(info.main_size),
        license=normalize_license(site, license_name),
        license_found=license_name,
    )


def _card(info: Any) -> dict[str, Any]:  # noqa: ANN401 - the client's DatasetInfo
    return info.card_data.to_dict() if info.card_data else {}


def _license_name(info: Any) -> str:  # noqa: ANN401 - the client's DatasetInfo
    """Return the license of the card, else of the tags; several are joined, and so have no SPDX id."""
    license_field = _card(info).get("license")
    tags = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
    return ", ".join(license_field) if isinstance(license_field, list) else str(license_field or ", ".join(tags))


def download(ref: str, folder: Path, context: SourceContext) -> DatasetInfo:
    """Download the images, archives and tables of labels of one commit below `folder`."""
    site = context.site(NAME)
    name, _, revision = ref.partition("@")
    with hub_client(NAME, context):
        client = _client(site, context)
        info = client.dataset_info(name, revision=revision or None, files_metadata=True)
        commit = str(info.sha)
        if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
            raise context.client(NAME).unexpected_response("a dataset without commit")
        sizes = {str(file.rfilename): file.size or 0 for file in info.siblings or ()}
        _check_files(folder, sizes, context.passed_over)
        client.snapshot_download(
            name,
            repo_type="dataset",
            revision=commit,
            local_dir=folder / commit,
            allow_patterns=[*map(_suffix_pattern, SUPPORTED_SUFFIXES), *TABLE_NAMES, *(f"*/{name}" for name in TABLE_NAMES)],
            max_workers=context.fetch.per_host,
        )
        license_name = _license_name(info)
        return DatasetInfo(
            hub=NAME,
            ref=ref,
            title=get_text(_card(info), "pretty_name") or info.id,
            page_url=f"{site['endpoint']}/datasets/{info.id}",
            folder=commit,
            version=commit,
            author=str(info.author or info.id.partition("/")[0]),
            license=normalize_license(site, license_name),
            license_found=license_name,
        )


def _check_files(folder: Path, sizes: dict[str, int], passed_over: PassedOver) -> None:
    """Raise FototecaError (exit 4) if a name leads out of the folder, no file is an image or archive, or the disk is too small.

    Args:
        folder: where the files will be.
        sizes: bytes by name.
        passed_over: counts the files that are not downloaded.
    """
    if any(".." in name.replace("\\", "/").split("/") or name.startswith("/") for name in sizes):
        raise ExternalError(f"this dataset of {NAME} has names that lead out of its folder", "do not use it")
    reasons = {name: reason_not_downloaded(name) for name in sizes}
    for name, reason in reasons.items():
        if reason:
            passed_over.add(reason, name)
    selected = [size for name, size in sizes.items() if not reasons[name]]
    tables = [name for name, reason in reasons.items() if not reason and is_label_table(name)]
    if len(tables) == len(selected):
        for name in tables:
            passed_over.add("table", name)
        raise no_images_error(NAME, passed_over, "try its copy in parquet: add @refs/convert/parquet to its name")
    folder.mkdir(parents=True, exist_ok=True)
    check_disk_space(folder, sum(selected))


def _suffix_pattern(suffix: str) -> str:
    """Return a glob pattern for names that end with `suffix` in upper or lower case."""
    return "*" + "".join(f"[{character}{character.upper()}]" if character.isalpha() else character for character in suffix)
