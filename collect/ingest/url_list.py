"""Collect a list of URLs: a text file with one URL a line, or a CSV with url[,category,page_url,author,license]."""

from __future__ import annotations

from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.local_files import read_csv
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.licenses import to_spdx
from fototeca.core.errors import FototecaError
from fototeca.core.settings import Settings
from fototeca.core.workspace import Workspace


def collect_urls(workspace: Workspace, file: Path, category: str, options: FetchOptions) -> CollectSummary:
    """Fetch and ingest the URLs listed in `file`.

    Args:
        workspace: where images and catalog are written.
        file: text file with one URL a line, or CSV file with a `url` column.
        category: category of rows that name none; may be empty.
        options: limits of fetching.

    Raises:
        FototecaError: the file cannot be read, has no URLs or no `url` column, or names an unknown category.
    """
    provenances = read_url_list(file, category, workspace.settings)
    return ingest_provenances(workspace, provenances, options, total=len(provenances))


def read_url_list(file: Path, category: str, settings: Settings) -> list[Provenance]:
    """Return one provenance per URL in `file`. FototecaError for a missing column, an unknown category or no URLs."""
    category = category and settings.check(category)
    if not file.is_file():
        raise FototecaError(f"{file} does not exist", "give a CSV or text file of URLs; for a single URL too")
    if file.suffix.lower() == ".csv":
        return _read_csv_list(file, category, settings)
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise FototecaError(f"{file} is not a text file", "give a UTF-8 file with one URL a line") from None
    urls = [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise FototecaError(f"{file} has no URLs", "write one URL a line")
    return [Provenance(url, "urls", category, query=file.name, rank=rank) for rank, url in enumerate(urls)]


def _read_csv_list(file: Path, category: str, settings: Settings) -> list[Provenance]:
    provenances = []
    for rank, row in enumerate(read_csv(file, ("url",))):
        row_category = row.get("category", "").strip() or category
        license_found = row.get("license", "").strip()
        provenances.append(
            Provenance(
                row["url"].strip(),
                "urls",
                settings.check_label(row_category) if row_category else "",
                query=file.name,
                rank=rank,
                page_url=row.get("page_url", ""),
                author=row.get("author", ""),
                license=to_spdx(license_found),
                license_found=license_found,
            )
        )
    return provenances
