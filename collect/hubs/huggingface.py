"""Hugging Face: a snapshot of a dataset's images and archives, pinned to a commit, by the hub's own client."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fototeca.collect.api.json_fields import count, text
from fototeca.collect.files.archives import check_room
from fototeca.collect.files.safe_names import safe_name
from fototeca.collect.http.guarded_sockets import check_address
from fototeca.collect.hubs import RESULTS, Dataset, Facts, client_of, no_ref, spdx
from fototeca.collect.hubs.transfer import SUPPORTED_SUFFIXES, no_images_error
from fototeca.collect.sites import Site
from fototeca.collect.sources import Context
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError

NAME = "huggingface"
_REF = re.compile(
    r"^(?:https?://[^/]+/datasets/|datasets/)?(\w[\w.-]*(?:/\w[\w.-]*)?)(?:(?:/(?:tree|resolve|blob)/|@)(refs/\w+/\w+|[\w.-]+).*)?/?$"
)


def canonical(ref: str) -> str:
    """`OWNER/NAME`, or `OWNER/NAME@REVISION`."""
    found = _REF.match(ref.strip().replace("%2F", "/"))
    if not found or ref.startswith("10."):
        raise no_ref(NAME, ref, "OWNER/NAME, OWNER/NAME@REVISION or the page's address")
    return f"{found[1]}@{found[2]}" if found[2] else found[1]


@dataclass(frozen=True)
class _Guard:
    """Looks at every request of the client, redirects included: none goes to a private address."""

    allow_loopback: bool

    def __call__(self, request: Any) -> None:  # noqa: ANN401 - the client's own type is imported only below
        for *_, address in socket.getaddrinfo(request.url.host, request.url.port, type=socket.SOCK_STREAM):
            check_address(str(address[0]), allow_loopback=self.allow_loopback)


def _client(site: Site, context: Context) -> Any:  # noqa: ANN401 - the client's own type is imported only here
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # a second way to the files, which the guard does not see
    from huggingface_hub import HfApi, get_session
    from huggingface_hub.utils.tqdm import disable_progress_bars

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings show addresses, which may be signed
    if not sys.stderr.isatty():
        disable_progress_bars()
    session = get_session()
    others = [hook for hook in session.event_hooks["request"] if not isinstance(hook, _Guard)]
    session.event_hooks = {**session.event_hooks, "request": [*others, _Guard(context.fetch.allow_loopback)]}
    return HfApi(endpoint=site["endpoint"])


def search(query: str, context: Context) -> list[Dataset]:
    """Datasets that the hub knows to hold images."""
    site = context.site(NAME)
    with client_of(NAME):
        listed = _client(site, context).list_datasets(
            search=query, filter=site.get("filter") or None, limit=RESULTS, expand=["cardData", "tags", "mainSize"]
        )
        return [_dataset(site, info) for info in listed if text(info.id)]


def _dataset(site: Site, info: Any) -> Dataset:  # noqa: ANN401 - the client's DatasetInfo
    ref, found = text(info.id), _license(info)
    title = text(_card(info), "pretty_name") or ref
    return Dataset(NAME, ref, title, f"{site['endpoint']}/datasets/{ref}", count(info.main_size), None, spdx(site, found), found)


def _card(info: Any) -> dict[str, Any]:  # noqa: ANN401 - the client's DatasetInfo
    return info.card_data.to_dict() if info.card_data else {}


def _license(info: Any) -> str:  # noqa: ANN401 - the client's DatasetInfo
    """What the card says, else the tag. Several licences in one card are no licence that one could name."""
    card = _card(info).get("license")
    tags = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
    return ", ".join(card) if isinstance(card, list) else str(card or ", ".join(tags))


def fetch(ref: str, folder: Path, context: Context) -> Facts:
    """Lay the images and archives of one commit below `folder`."""
    site = context.site(NAME)
    name, _, revision = ref.partition("@")
    with client_of(NAME):
        client = _client(site, context)
        info = client.dataset_info(name, revision=revision or None, files_metadata=True)
        if not re.fullmatch(r"[0-9a-f]{40,64}", str(info.sha)):
            raise context.web(NAME).changed("a dataset without commit")
        _check(folder, {str(file.rfilename): file.size or 0 for file in info.siblings or ()})
        client.snapshot_download(
            name,
            repo_type="dataset",
            revision=info.sha,
            local_dir=folder / str(info.sha),
            allow_patterns=[_pattern(ending) for ending in SUPPORTED_SUFFIXES],
            max_workers=context.fetch.per_host,
        )
        found = _license(info)
        page = f"{site['endpoint']}/datasets/{info.id}"
        title = text(_card(info), "pretty_name") or info.id
        author = str(info.author or info.id.partition("/")[0])
        return Facts(NAME, ref, title, page, str(info.sha), str(info.sha), author, spdx(site, found), found)


def _check(folder: Path, sizes: dict[str, int]) -> None:
    """Whether there is something to take, it fits on the disk, and no name leads out of the folder."""
    if any(".." in name.replace("\\", "/").split("/") or name.startswith("/") for name in sizes):
        raise FototecaError(f"this dataset of {NAME} has names that lead out of its folder", "do not use it", EXIT_OUTSIDE)
    wanted = [size for name, size in sizes.items() if safe_name(name, SUPPORTED_SUFFIXES)]
    if not wanted:
        kinds = sorted({Path(name).suffix.lower() or "no ending" for name in sizes})
        raise no_images_error(NAME, kinds, "try its copy in parquet: add @refs/convert/parquet to its name")
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, sum(wanted))


def _pattern(ending: str) -> str:
    """A pattern for names with this ending, in either case."""
    return "*" + "".join(f"[{sign}{sign.upper()}]" if sign.isalpha() else sign for sign in ending)
