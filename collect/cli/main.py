"""`fototeca collect`: candidates in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fototeca.collect.cli.hubs import app as hubs_app
from fototeca.collect.cli.options import AllowLoopback, Concurrency, MaxBytes, MinSide, PerHost, Timeout, close
from fototeca.core.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Collect candidate images: search, fetch, verify, remember where each came from.")

app.add_typer(hubs_app)


@app.command()
def sources() -> None:
    """List every source and hub: what it needs, its limits, what it says about licences, its terms.

    Example: fototeca collect sources
    """
    from fototeca.collect.hubs.registry import HUBS
    from fototeca.collect.sources import load_sources

    typer.echo("\n\n".join(info.text() for info in (*load_sources().values(), *HUBS.values())))


@app.command()
def search(
    source: Annotated[list[str], typer.Argument(help="Sources, asked in this order; see: fototeca collect sources")],
    category: Annotated[list[str] | None, typer.Option(help="A category; repeat it. Without it all of them.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Candidates per source, category and query.")] = None,
    license_: Annotated[
        str, typer.Option("--license", help="any; commercial: only what permits it; claimed: also what an engine says does.")
    ] = "any",
    url: Annotated[str, typer.Option(help="For gallery: the page; {query} in it stands for the query.")] = "",
    headed: Annotated[bool, typer.Option("--headed", help="Show the browser.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count candidates, licences and sizes; fetch no image.")] = False,
    min_side: MinSide = 64,
    max_bytes: MaxBytes = 30_000_000,
    concurrency: Concurrency = 16,
    per_host: PerHost = 4,
    timeout: Timeout = 30.0,
    allow_loopback: AllowLoopback = False,
) -> None:
    """Search sources until every category has its target of accepted images, or they run dry.

    Example: fototeca collect search gallery --url "https://example.org/search?q={query}" --category pug --limit 200
    """
    from fototeca.collect.http.client import FetchOptions
    from fototeca.collect.search import SearchOptions, preview, search

    workspace = Workspace.find()
    fetch = FetchOptions(min_side, max_bytes, concurrency, per_host, timeout, allow_loopback)
    options = SearchOptions(tuple(source), tuple(category or ()), limit, license_, headed, url)
    if dry_run:
        typer.echo(json.dumps(preview(workspace, options, fetch), ensure_ascii=False, indent=2))
        return
    close(workspace, search(workspace, options, fetch), options.categories)


@app.command()
def urls(
    file: Annotated[Path, typer.Argument(help="CSV with url[,category,page_url,author,license], or one URL a line.")],
    category: Annotated[str, typer.Option(help="The category of rows that name none.")] = "",
    min_side: MinSide = 64,
    max_bytes: MaxBytes = 30_000_000,
    concurrency: Concurrency = 16,
    per_host: PerHost = 4,
    timeout: Timeout = 30.0,
    allow_loopback: AllowLoopback = False,
) -> None:
    """Fetch a list of addresses.

    Example: fototeca collect urls list.csv --category pug
    """
    from fototeca.collect.http.client import FetchOptions
    from fototeca.collect.ingest.pipeline import collect
    from fototeca.collect.ingest.url_list import listed_findings

    workspace = Workspace.find()
    findings = listed_findings(file, category, workspace.settings)
    fetch = FetchOptions(min_side, max_bytes, concurrency, per_host, timeout, allow_loopback)
    close(workspace, collect(workspace, findings, fetch, total=len(findings)))


@app.command()
def folder(
    path: Annotated[Path, typer.Argument(help="A folder, a zip, tar or parquet file, or one image.")],
    category: Annotated[str, typer.Option(help="The category of every image.")] = "",
    label_from_folder: Annotated[bool, typer.Option("--label-from-folder", help="An image's folder names its category.")] = False,
    labels: Annotated[Path | None, typer.Option(help="CSV with path,label; paths relative to PATH.")] = None,
    min_side: MinSide = 64,
    max_bytes: MaxBytes = 30_000_000,
) -> None:
    """Take in images that you have; your files stay as they are.

    Example: fototeca collect folder ~/photos --label-from-folder
    """
    from fototeca.collect.files.local_files import LabelSource
    from fototeca.collect.http.client import FetchOptions
    from fototeca.collect.ingest.folder import collect_folder

    workspace = Workspace.find()
    options = FetchOptions(min_side=min_side, max_bytes=max_bytes)
    close(workspace, collect_folder(workspace, path, LabelSource(category, label_from_folder, labels), options))


@app.command()
def retry(
    reason: Annotated[
        list[str] | None, typer.Option(help="Only failures with this reason; repeat it or join with commas.")
    ] = None,
    min_side: MinSide = 64,
    max_bytes: MaxBytes = 30_000_000,
    concurrency: Concurrency = 16,
    per_host: PerHost = 4,
    timeout: Timeout = 30.0,
    allow_loopback: AllowLoopback = False,
) -> None:
    """Try failed candidates again.

    Example: fototeca collect retry --reason timeout,http-429
    """
    from fototeca.collect.http.client import FetchOptions
    from fototeca.collect.ingest.pipeline import retry

    workspace = Workspace.find()
    fetch = FetchOptions(min_side, max_bytes, concurrency, per_host, timeout, allow_loopback)
    reasons = [word.strip() for text in reason or () for word in text.split(",") if word.strip()]
    close(workspace, retry(workspace, reasons, fetch))


@app.command()
def attribution(
    file: Annotated[Path, typer.Argument(help="The CSV file to write.")] = Path("ATTRIBUTION.csv"),
) -> None:
    """Write who made each accepted image, where it was found and under which licence.

    Example: fototeca collect attribution ATTRIBUTION.csv
    """
    from fototeca.collect.status import write_attribution

    count = write_attribution(Workspace.find(), file)
    typer.echo(f"{file}: {count} images")
