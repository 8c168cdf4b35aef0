"""`fototeca collect kaggle …` and `discover`: whole datasets from hubs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from fototeca.collect.cli.options import AllowLoopback, Concurrency, MaxBytes, MinSide, PerHost, Timeout, close
from fototeca.core.console import notify
from fototeca.core.errors import EXIT_OUTSIDE
from fototeca.core.workspace import Workspace

app = typer.Typer()

Ref = Annotated[str, typer.Argument(help="The dataset's id, its DOI or its page's address.")]
MapFile = Annotated[
    Path | None, typer.Option("--map", help="The mending and confirmation of the mapping that is proposed without it.")
]

HUBS = {
    "kaggle": ("of Kaggle", "alxmamaev/flowers-recognition"),
    "roboflow": ("of Roboflow, augmented copies in one group with their original", "workspace/project/3"),
    "huggingface": ("of Hugging Face, pinned to a commit", "owner/name"),
    "zenodo": ("of Zenodo", "10.5281/zenodo.1234567"),
    "figshare": ("of figshare", "10.6084/m9.figshare.1234567.v2"),
    "mendeley": ("of Mendeley Data", "10.17632/rscbjbr9sj.2"),
}
"""For each hub what its help says: whose datasets, and a reference as an example."""


def _command(hub: str) -> Callable[..., None]:
    """The command of one hub; they differ in their help only."""

    def command(
        ref: Ref,
        map_file: MapFile = None,
        min_side: MinSide = 64,
        max_bytes: MaxBytes = 30_000_000,
        concurrency: Concurrency = 16,
        per_host: PerHost = 4,
        timeout: Timeout = 30.0,
        allow_loopback: AllowLoopback = False,
    ) -> None:
        from fototeca.collect.http.client import FetchOptions
        from fototeca.collect.hubs.import_dataset import import_dataset

        workspace = Workspace.find()
        options = FetchOptions(min_side, max_bytes, concurrency, per_host, timeout, allow_loopback)
        close(workspace, import_dataset(workspace, hub, ref, map_file, options))

    whose, example = HUBS[hub]
    command.__doc__ = (
        f"Take in a dataset {whose}. Without --map it is downloaded, and a mapping of its folders to categories is proposed.\n\n"
        f"Example: fototeca collect {hub} {example} --map mapping.toml"
    )
    return command


for _name in HUBS:
    app.command(_name)(_command(_name))


@app.command()
def discover(
    query: Annotated[str, typer.Argument(help="What the dataset is about.")],
    hub: Annotated[list[str] | None, typer.Option(help="Ask only this hub; repeat it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    timeout: Timeout = 30.0,
    allow_loopback: AllowLoopback = False,
) -> None:
    """Look for datasets on all hubs side by side: title, size, images, licence, address. Downloads nothing.

    Example: fototeca collect discover "dog breeds" --hub kaggle --hub zenodo
    """
    from fototeca.collect.http.client import FetchOptions
    from fototeca.collect.hubs.discover import discover

    found = discover(Workspace.find(), query, hub or (), FetchOptions(timeout=timeout, allow_loopback=allow_loopback))
    if as_json:
        typer.echo(json.dumps([dataset.to_json() for dataset in found.datasets], ensure_ascii=False, indent=2))
    elif found.datasets:
        typer.echo(found.table())
        typer.echo("\nfetch one with: fototeca collect HUB REF")
    for problem in found.problems.values():
        notify(f"fototeca: {problem}")
    if len(found.problems) == found.num_hubs:
        raise typer.Exit(EXIT_OUTSIDE)
    if not found.datasets:
        notify("fototeca: no dataset found; try fewer or other words")
