"""Collect a list of URLs: a text file with one URL a line, or a table with url[,category,page_url,author,license]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.dataset_splits import describe_splits, parse_split
from fototeca.collect.files.label_files import ROW_REASONS
from fototeca.collect.files.table_columns import SPLIT_HEADERS
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.licenses import to_spdx
from fototeca.collect.rights import Rights, state_rights
from fototeca.core.console import notify
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.label_columns import LABEL_HEADERS, normalize_header
from fototeca.core.label_rows import Classes
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import Settings
from fototeca.core.text_tables import Table, read_table, records_table, text_of
from fototeca.core.workspace import Workspace

HEADERS = {
    "url": ("url", "imageurl", "urlimagen", "imgurl", "link", "enlace", "src", "href"),
    "category": LABEL_HEADERS,
    "page_url": ("pageurl", "page", "pagina", "urlpagina", "sourceurl"),
    "author": ("author", "autor", "autora", "creator", "photographer"),
    "license": ("license", "licence", "licencia", "rights"),
    "split": SPLIT_HEADERS,
}
"""Usual headers of each column, in order of preference, as `normalize_header` writes them."""

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl")


def collect_urls(
    workspace: Workspace,
    file: Path,
    category: str,
    options: FetchOptions,
    *,
    keep_splits: bool = False,
    source_name: str = "",
    license: str = "",
    author: str = "",
) -> CollectSummary:
    """Fetch and ingest the URLs listed in `file`.

    Args:
        workspace: where images and catalog are written.
        file: text file with one URL a line, or CSV file with a `url` column.
        category: category of rows that name none; may be empty.
        options: limits of fetching.
        keep_splits: keep the splits of the column `split`.
        source_name: source recorded for the images; by default `urls`.
        license: license of rows that state none.
        author: author of rows that name none.

    Raises:
        FototecaError: the file cannot be read, has no URLs or no `url` column, names an unknown category, or has no
            splits to keep.
    """
    rights = state_rights("urls", source_name=source_name, license=license, author=author)
    passed_over = PassedOver()
    provenances = read_url_list(file, category, workspace.settings, passed_over)
    if line := describe_splits({place.url: place.split for place in provenances if place.split}, are_kept=keep_splits):
        notify(f"fototeca: {line}")
    elif keep_splits:
        raise FototecaError(f"{file} has no splits to keep", "add a column split with train, val or test")
    provenances = [_complete(place, rights, keep_splits) for place in provenances]
    return ingest_provenances(workspace, provenances, options, total=len(provenances), passed_over=passed_over)


def _complete(place: Provenance, rights: Rights, keep_splits: bool) -> Provenance:
    """Return the provenance with the rights that it does not state itself, and without its split unless it is kept."""
    has_license = bool(place.license_found)
    return replace(
        place,
        source=rights.source,
        author=place.author or rights.author,
        license=place.license if has_license else rights.license,
        license_found=place.license_found if has_license else rights.license_found,
        split=place.split if keep_splits else "",
    )


def read_url_list(file: Path, category: str, settings: Settings, passed_over: PassedOver) -> list[Provenance]:
    """Return one provenance per URL in `file`. FototecaError for a missing column, or if no row has a URL and a known category.

    Rows without a URL and rows of an unknown category are counted in `passed_over`.
    """
    category = category and settings.check(category)
    if not file.is_file():
        raise FototecaError(f"{file} does not exist", "give a CSV or text file of URLs; for a single URL too")
    if file.suffix.lower() == ".parquet":
        return _read_url_table(_read_parquet(file), category, settings, passed_over)
    if file.suffix.lower() in TABLE_SUFFIXES:
        return _read_url_table(read_table(file), category, settings, passed_over)
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise FototecaError(f"{file} is not a text file", "give a UTF-8 file with one URL a line") from None
    urls = [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise FototecaError(f"{file} has no URLs", "write one URL a line")
    return [Provenance(url, "urls", category, query=file.name, rank=rank) for rank, url in enumerate(urls)]


def _read_parquet(file: Path) -> Table:
    """Return the rows of a parquet file. FototecaError if it is damaged or pyarrow is not installed (exit 4)."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise ExternalError(f"{file} needs the package pyarrow", "run: pip install 'fototeca[hubs]'") from None
    try:
        with ParquetFile(file) as parquet:
            names = [field.name for field in parquet.schema_arrow if not pyarrow.types.is_nested(field.type)]
            return records_table(file.name, list(enumerate(parquet.read(columns=names).to_pylist(), 1)))
    except (pyarrow.ArrowException, OSError) as error:
        raise FototecaError(f"{file} cannot be read: {' '.join(str(error).split())[:200]}", "write the file again") from None


def _read_url_table(table: Table, category: str, settings: Settings, passed_over: PassedOver) -> list[Provenance]:
    headers = [normalize_header(name) for name in table.columns]
    columns = {field: next((headers.index(name) for name in names if name in headers), None) for field, names in HEADERS.items()}
    if columns["url"] is None:
        hint = f"its first line must have: url[,category,page_url,author,license]; it has: {', '.join(table.columns[:8])}"
        raise FototecaError(f"{table.name} has no column 'url'", hint)
    classes = Classes(settings)
    provenances = []
    for rank, row in enumerate(table.rows):
        cells = {field: "" if index is None else text_of(row.cells[index]) for field, index in columns.items()}
        label, outcome = classes.join(classes.split(cells["category"]))
        if not cells["url"]:
            passed_over.add("row-malformed", f"line {row.line}")
        elif outcome in ("applied", "no-label"):
            provenances.append(_make_provenance(cells, label or category, table.name, rank))
        else:
            passed_over.add(ROW_REASONS[outcome], f"line {row.line}: {cells['category']}")
    if not provenances:
        hint = f"write a URL a row; this workspace has: {', '.join(settings.names)}"
        raise FototecaError(f"no row of {table.name} has a URL and a known category", hint)
    return provenances


def _make_provenance(cells: Mapping[str, str], label: str, query: str, rank: int) -> Provenance:
    return Provenance(
        cells["url"],
        "urls",
        label,
        query=query,
        rank=rank,
        page_url=cells["page_url"],
        author=cells["author"],
        license=to_spdx(cells["license"]),
        license_found=cells["license"],
        split=parse_split(cells["split"]),
    )
