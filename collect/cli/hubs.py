"""`fototeca collect kaggle …` and `discover`: whole datasets from hubs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fototeca.collect.cli.options import (
    AllowLoopback,
    Concurrency,
    Exclude,
    GroupBy,
    KeepSplits,
    MaxBytes,
    MaxPixels,
    MinSide,
    PerHost,
    SendKeyTo,
    Timeout,
    finish,
)
from fototeca.collect.http.options import FetchOptions
from fototeca.core.console import echo, notify
from fototeca.core.errors import EXIT_OUTSIDE
from fototeca.core.workspace import Workspace

app = typer.Typer()

Ref = Annotated[str, typer.Argument(help="The dataset's id, DOI or page URL.")]
MapFile = Annotated[
    Path | None, typer.Option("--map", help="Checked mapping file; without it, a mapping is proposed and nothing is collected.")
]

HUBS = {
    "kaggle": ("of Kaggle", "alxmamaev/flowers-recognition"),
    "roboflow": ("of Roboflow, augmented copies in one group with their original", "workspace/project/3"),
    "huggingface": ("of Hugging Face, pinned to a commit", "owner/name"),
    "zenodo": ("of Zenodo", "10.5281/zenodo.1234567"),
    "figshare": ("of figshare", "10.6084/m9.figshare.1234567.v2"),
    "mendeley": ("of Mendeley Data", "10.17632/rscbjbr9sj.2"),
}
"""Parts of each hub command's help: the hub's name in a sentence, and an example reference."""


def _make_command(hub: str) -> Callable[..., None]:
    """Return the command of one hub; the commands differ only in their help."""

    def command(
        ref: Ref,
        map_file: MapFile = None,
        keep_splits: KeepSplits = False,
        group_by: GroupBy = "",
        exclude: Exclude = None,
        min_side: MinSide = FetchOptions.min_side,
        max_bytes: MaxBytes = FetchOptions.max_bytes,
        max_pixels: MaxPixels = FetchOptions.max_pixels,
        concurrency: Concurrency = FetchOptions.concurrency,
        per_host: PerHost = FetchOptions.per_host,
        timeout: Timeout = FetchOptions.timeout,
        allow_loopback: AllowLoopback = FetchOptions.allow_loopback,
        send_key_to: SendKeyTo = None,
    ) -> None:
        from fototeca.collect.files.folder_options import FolderOptions
        from fototeca.collect.http.options import FetchOptions
        from fototeca.collect.hubs.import_dataset import import_dataset

        workspace = Workspace.find()
        limits = FetchOptions(min_side, max_bytes, concurrency, per_host, timeout, allow_loopback, max_pixels)
        options = replace(limits, send_key_to=tuple(send_key_to or ()))
        use = FolderOptions(mapping=map_file, keep_splits=keep_splits, group_by=group_by, exclude=tuple(exclude or ()))
        finish(workspace, import_dataset(workspace, hub, ref, use, options))

    dataset, example = HUBS[hub]
    command.__doc__ = (
        f"Collect a dataset {dataset}. Without --map, download it and propose a mapping of its folders to categories.\n\n"
        f"Example: fototeca collect {hub} {example} --map mapping.toml"
    )
    return command


for _name in HUBS:
    app.command(_name)(_make_command(_name))


@app.command()
def discover(
    query: Annotated[str, typer.Argument(help="Subject of the dataset.")],
    hub: Annotated[list[str] | None, typer.Option(help="Search only this hub; can be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    timeout: Timeout = FetchOptions.timeout,
    allow_loopback: AllowLoopback = FetchOptions.allow_loopback,
    send_key_to: SendKeyTo = None,
) -> None:
    """Search all hubs for datasets: title, size, images, license, URL. Downloads nothing.

    Example: fototeca collect discover "dog breeds" --hub kaggle --hub zenodo
    """
    from fototeca.collect.hubs.discover import discover

    options = FetchOptions(timeout=timeout, allow_loopback=allow_loopback, send_key_to=tuple(send_key_to or ()))
    discovery = discover(Workspace.find(), query, hub or (), options)
    if as_json:
        echo(json.dumps([dataset.to_json() for dataset in discovery.datasets], ensure_ascii=False, indent=2))
    elif discovery.datasets:
        echo(discovery.table())
        echo("\nfetch one with: fototeca collect HUB REF")
    for problem in discovery.problems.values():
        notify(f"fototeca: {problem}")
    if len(discovery.problems) == discovery.num_hubs:
        raise typer.Exit(EXIT_OUTSIDE)
    if not discovery.datasets:
        notify("fototeca: no dataset found; try fewer or other words")
