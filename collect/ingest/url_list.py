"""Collect a list of URLs: a text file with one URL a line, or a table with url[,category,page_url,author,license]."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.class_mapping import find_class_paths
from fototeca.collect.files.dataset_splits import describe_splits, parse_split
from fototeca.collect.files.folder_labels import FolderNames
from fototeca.collect.files.group_by import GroupBy, ImageFacts, group_folders, group_images
from fototeca.collect.files.label_files import ROW_REASONS
from fototeca.collect.files.table_columns import SPLIT_HEADERS
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.licenses import to_spdx
from fototeca.collect.rights import Rights, state_rights
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.label_columns import LABEL_HEADERS, normalize_header
from fototeca.core.label_rows import Classes
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import Settings
from fototeca.core.text_tables import Table, TableRow, decode_text, is_parquet, read_limited, read_table, text_of
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
    group_by: str = "",
    source_name: str = "",
    license: str = "",
    author: str = "",
) -> CollectSummary:
    """Fetch and ingest the URLs listed in `file`.

    Args:
        workspace: where images and catalog are written.
        file: text file with one URL a line, or table with a column of URLs.
        category: category of rows that name none; may be empty.
        options: limits of fetching.
        keep_splits: keep the splits of the column `split`.
        group_by: column, `folder` (of the URL) or regular expression (of the URL) that names what must share a split.
        source_name: source recorded for the images; by default `urls`.
        license: license of rows that state none.
        author: author of rows that name none.

    Raises:
        FototecaError: the file cannot be read, has no URLs, names an unknown category, has no splits to keep, or `group_by` is
            invalid or puts no URL into a group.
    """
    rights = state_rights("urls", source_name=source_name, license=license, author=author)
    passed_over = PassedOver()
    listed = read_url_list(file, category, workspace.settings, passed_over)
    provenances = listed.places
    if line := describe_splits({place.url: place.split for place in provenances if place.split}, are_kept=keep_splits):
        notify(f"fototeca: {line}")
    elif keep_splits:
        raise FototecaError(f"{file} has no splits to keep", "add a column split with train, val or test")
    groups = _group_urls(listed, group_by, source_name or file.name, workspace.settings)
    provenances = [replace(_complete(place, rights, keep_splits), split_group=groups.get(place.url, "")) for place in provenances]
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


@dataclass(frozen=True)
class UrlList:
    """Contents of a list of URLs."""

    places: list[Provenance]
    """One for each URL with a known category, or with none."""

    table: Table | None = None
    """The table; None for a text file."""

    url_column: int = 0
    """Position of the column of URLs."""

    def values(self, header: str) -> dict[str, str]:
        """Return the value of a column for each URL, several values joined by `+`. FototecaError if the column is missing."""
        headers = [normalize_header(name) for name in self.table.columns] if self.table else []
        if self.table is None or normalize_header(header) not in headers:
            names = ", ".join(self.table.columns[:8]) if self.table else "no columns"
            raise FototecaError(f"the list of URLs has no column {header!r}", f"it has: {names}")
        position = headers.index(normalize_header(header))
        values: dict[str, set[str]] = defaultdict(set)
        for row in self.table.rows:
            if text := text_of(row.cells[position]):
                values[text_of(row.cells[self.url_column])].add(text)
        return {url: "+".join(sorted(texts)) for url, texts in values.items()}


def read_url_list(file: Path, category: str, settings: Settings, passed_over: PassedOver) -> UrlList:
    """Return the URLs in `file`. FototecaError without a column of URLs, or if no row has a URL and a known category.

    Rows without a URL and rows of an unknown category are counted in `passed_over`.
    """
    category = category and settings.check(category)
    if not file.is_file():
        raise FototecaError(f"{file} does not exist", "give a CSV or text file of URLs; for a single URL too")
    if is_parquet(file):
        return _read_url_table(read_table(file), category, settings, passed_over)
    text = decode_text(read_limited(file), file)
    lines = [line.strip() for line in text.splitlines()]
    urls = [line for line in lines if line and not line.startswith("#")]
    is_table = file.suffix.lower() in TABLE_SUFFIXES or bool(urls and not _is_url(urls[0]) and re.search(r"[,;\t{]", urls[0]))
    if is_table:
        return _read_url_table(read_table(file), category, settings, passed_over)
    if not urls:
        raise FototecaError(f"{file} has no URLs", "write one URL a line")
    return UrlList([Provenance(url, "urls", category, query=file.name, rank=rank) for rank, url in enumerate(urls)])


def _is_url(text: str) -> bool:
    return bool(re.match(r"https?://\S", text, re.IGNORECASE))


def _group_urls(listed: UrlList, group_by: str, scope: str, settings: Settings) -> dict[str, str]:
    """Return the group of each URL that is in one."""
    parsed = GroupBy.parse(group_by, listed.table.columns if listed.table else ())
    if parsed.kind == "exif-time":
        hint = "give a column, folder or a regular expression; freeze --group-by scene reads the times of collected images"
        raise FototecaError("--group-by exif-time needs local images", hint)
    urls = list(dict.fromkeys(place.url for place in listed.places))
    paths = {unquote(urlsplit(url).path).lstrip("/"): url for url in urls} if parsed.kind == "folder" else {}
    search = FolderNames(settings)

    def folders() -> dict[str, str]:
        groups = group_folders(find_class_paths(paths, settings), lambda folder: bool(search.find_one(folder)))
        return {paths[path]: group for path, group in groups.items()}

    groups = group_images(parsed, urls, ImageFacts({}, folders, listed.values, lambda url: ""))
    return {url: f"{scope}/{group}" for url, group in groups.items()}


def _find_columns(table: Table, classes: Classes) -> tuple[dict[str, int | None], tuple[TableRow, ...]]:
    """Return the position of each column, and the rows: with the first record unless it is a header.

    Without a usual header, the column with most URLs counts; in a table without header, the first column of categories too.

    Raises:
        FototecaError: no column has a URL.
    """
    headers = [normalize_header(name) for name in table.columns]
    columns = {field: next((headers.index(name) for name in names if name in headers), None) for field, names in HEADERS.items()}
    if columns["url"] is not None:
        return columns, table.rows
    has_header = not any(map(_is_url, table.columns))
    rows = table.rows if has_header else (TableRow(table.first_line, table.columns), *table.rows)
    width = range(len(table.columns))
    counts = {index: sum(_is_url(text_of(row.cells[index])) for row in rows) for index in width}
    best = max(width, key=lambda index: counts[index])
    if not counts[best]:
        hint = f"its first line must have: url[,category,page_url,author,license]; it has: {', '.join(table.columns[:8])}"
        raise FototecaError(f"{table.name} has no column 'url'", hint)
    others = (index for index in width if index != best and any(classes.knows(text_of(row.cells[index])) for row in rows))
    category = columns["category"] if has_header else next(others, None)
    found: dict[str, int | None] = columns if has_header else dict.fromkeys(HEADERS)
    return {**found, "url": best, "category": category}, rows


def _read_url_table(table: Table, category: str, settings: Settings, passed_over: PassedOver) -> UrlList:
    classes = Classes(settings)
    columns, rows = _find_columns(table, classes)
    provenances = []
    for rank, row in enumerate(rows):
        cells = {field: "" if index is None else text_of(row.cells[index]) for field, index in columns.items()}
        label, outcome = classes.join(classes.split(cells["category"]))
        if not cells["url"] or row.is_long:
            passed_over.add("row-malformed", f"line {row.line}")
        elif outcome in ("applied", "no-label"):
            provenances.append(_make_provenance(cells, label or category, table.name, rank))
        else:
            passed_over.add(ROW_REASONS[outcome], f"line {row.line}: {cells['category']}")
    for line in table.broken_lines:
        passed_over.add("row-malformed", f"line {line}")
    if not provenances:
        hint = f"write a URL a row; this workspace has: {', '.join(settings.names)}"
        raise FototecaError(f"no row of {table.name} has a URL and a known category", hint)
    assert columns["url"] is not None
    return UrlList(provenances, table, columns["url"])


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
