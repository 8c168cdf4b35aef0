"""`fototeca collect`: search, fetch, validate and record candidate images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fototeca.collect.cli.formats import app as formats_app
from fototeca.collect.cli.hubs import app as hubs_app
from fototeca.collect.cli.options import (
    AllowLoopback,
    Author,
    Concurrency,
    Exclude,
    GroupBy,
    KeepSplits,
    License,
    MaxBytes,
    MaxPixels,
    MinSide,
    PerHost,
    SendKeyTo,
    SourceName,
    Timeout,
    finish,
)
from fototeca.collect.http.options import FetchOptions
from fototeca.core.console import echo
from fototeca.core.counting import count_of
from fototeca.core.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Collect candidate images: search, fetch, validate, record their provenance.")

app.add_typer(formats_app)
app.add_typer(hubs_app)


@app.command()
def sources() -> None:
    """List every source and hub: requirements, limits, licenses, terms of use.

    Example: fototeca collect sources
    """
    from fototeca.collect.hubs.registry import HUBS
    from fototeca.collect.sources import load_sources

    echo("\n\n".join(info.text() for info in (*load_sources().values(), *HUBS.values())))


@app.command()
def search(
    source: Annotated[list[str], typer.Argument(help="Sources in the order of use; see: fototeca collect sources")],
    category: Annotated[list[str] | None, typer.Option(help="A category; can be repeated. Default: all.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Candidates per source, category and query.")] = None,
    license_: Annotated[
        str,
        typer.Option("--license", help="any; commercial: commercial use permitted; claimed: also claims of search engines."),
    ] = "any",
    url: Annotated[str, typer.Option(help="Page for the source gallery; {query} is replaced by the query.")] = "",
    headed: Annotated[bool, typer.Option("--headed", help="Show the browser window.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count candidates, licenses and sizes; fetch no image.")] = False,
    min_side: MinSide = FetchOptions.min_side,
    max_bytes: MaxBytes = FetchOptions.max_bytes,
    max_pixels: MaxPixels = FetchOptions.max_pixels,
    concurrency: Concurrency = FetchOptions.concurrency,
    per_host: PerHost = FetchOptions.per_host,
    timeout: Timeout = FetchOptions.timeout,
    allow_loopback: AllowLoopback = FetchOptions.allow_loopback,
    send_key_to: SendKeyTo = None,
) -> None:
    """Search sources until every category has its target of accepted images or the sources are exhausted.

    Example: fototeca collect search gallery --url "https://example.org/search?q={query}" --category pug --limit 200
    """
    from fototeca.collect.search import SearchOptions, preview_search, search_sources

    workspace = Workspace.find()
    limits = FetchOptions(min_side, max_bytes, concurrency, per_host, timeout, allow_loopback, max_pixels)
    fetch = replace(limits, send_key_to=tuple(send_key_to or ()))
    options = SearchOptions(tuple(source), tuple(category or ()), limit, license_, headed, url)
    if dry_run:
        previews = {name: preview.to_json() for name, preview in preview_search(workspace, options, fetch).items()}
        echo(json.dumps(previews, ensure_ascii=False, indent=2))
        return
    finish(workspace, search_sources(workspace, options, fetch), options.categories)


@app.command()
def urls(
    file: Annotated[Path, typer.Argument(help="CSV with url[,category,page_url,author,license], or one URL a line.")],
    category: Annotated[str, typer.Option(help="Category of rows that name none.")] = "",
    keep_splits: KeepSplits = False,
    group_by: GroupBy = "",
    source_name: SourceName = "",
    license_: License = "",
    author: Author = "",
    min_side: MinSide = FetchOptions.min_side,
    max_bytes: MaxBytes = FetchOptions.max_bytes,
    max_pixels: MaxPixels = FetchOptions.max_pixels,
    concurrency: Concurrency = FetchOptions.concurrency,
    per_host: PerHost = FetchOptions.per_host,
    timeout: Timeout = FetchOptions.timeout,
    allow_loopback: AllowLoopback = FetchOptions.allow_loopback,
) -> None:
    """Fetch a list of URLs.

    Example: fototeca collect urls list.csv --category pug
    """
    from fototeca.collect.ingest.url_list import collect_urls

    workspace = Workspace.find()
    fetch = FetchOptions(min_side, max_bytes, concurrency, per_host, timeout, allow_loopback, max_pixels)
    rights = {"source_name": source_name, "license": license_, "author": author}
    finish(workspace, collect_urls(workspace, file, category, fetch, keep_splits=keep_splits, group_by=group_by, **rights))


@app.command()
def folder(
    path: Annotated[Path, typer.Argument(help="A folder, a zip, tar or parquet file, or one image.")],
    category: Annotated[str, typer.Option(help="Category of every image.")] = "",
    label_from_folder: Annotated[
        bool, typer.Option("--label-from-folder", help="Use the name of an image's folder as its category.")
    ] = False,
    labels: Annotated[Path | None, typer.Option(help="Table with a column of file names and one of labels.")] = None,
    columns: Annotated[str, typer.Option(help="Columns of --labels, as path=A,label=B. Default: recognized.")] = "",
    map_file: Annotated[
        Path | None, typer.Option("--map", help="Mapping file: the category of each folder, or of each class of --labels.")
    ] = None,
    keep_splits: KeepSplits = False,
    group_by: GroupBy = "",
    exclude: Exclude = None,
    source_name: SourceName = "",
    license_: License = "",
    author: Author = "",
    min_side: MinSide = FetchOptions.min_side,
    max_bytes: MaxBytes = FetchOptions.max_bytes,
    max_pixels: MaxPixels = FetchOptions.max_pixels,
) -> None:
    """Collect local images; the files stay unchanged.

    Example: fototeca collect folder ~/photos --label-from-folder
    """
    from fototeca.collect.files.folder_options import FolderOptions
    from fototeca.collect.ingest.folder import collect_folder

    workspace = Workspace.find()
    options = FetchOptions(min_side=min_side, max_bytes=max_bytes, max_pixels=max_pixels)
    folder_options = FolderOptions(
        category,
        label_from_folder,
        labels,
        map_file,
        keep_splits=keep_splits,
        group_by=group_by,
        exclude=tuple(exclude or ()),
        source_name=source_name,
        license=license_,
        columns=columns,
        author=author,
    )
    finish(workspace, collect_folder(workspace, path, folder_options, options))


@app.command()
def retry(
    reason: Annotated[
        list[str] | None, typer.Option(help="Only candidates with this reason; can be repeated or comma-separated.")
    ] = None,
    min_side: MinSide = FetchOptions.min_side,
    max_bytes: MaxBytes = FetchOptions.max_bytes,
    max_pixels: MaxPixels = FetchOptions.max_pixels,
    concurrency: Concurrency = FetchOptions.concurrency,
    per_host: PerHost = FetchOptions.per_host,
    timeout: Timeout = FetchOptions.timeout,
    allow_loopback: AllowLoopback = FetchOptions.allow_loopback,
) -> None:
    """Try failed candidates again.

    Example: fototeca collect retry --reason timeout,http-429
    """
    from fototeca.collect.ingest.pipeline import retry_candidates

    workspace = Workspace.find()
    fetch = FetchOptions(min_side, max_bytes, concurrency, per_host, timeout, allow_loopback, max_pixels)
    reasons = [word.strip() for text in reason or () for word in text.split(",") if word.strip()]
    finish(workspace, retry_candidates(workspace, reasons, fetch))


@app.command()
def attribution(
    file: Annotated[Path, typer.Argument(help="CSV file to write.")] = Path("ATTRIBUTION.csv"),
) -> None:
    """Write author, license and places of every accepted image.

    Example: fototeca collect attribution ATTRIBUTION.csv
    """
    from fototeca.collect.status import write_attribution

    count = write_attribution(Workspace.find(), file)
    echo(f"{file}: {count_of(count, 'image')}")
