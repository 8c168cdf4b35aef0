"""Lists of addresses: one URL a line, or a CSV with url[,category,page_url,author,license]."""

from __future__ import annotations

from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.local_files import read_csv
from fototeca.collect.licenses import to_spdx
from fototeca.core.errors import FototecaError
from fototeca.core.settings import Settings


def listed_findings(file: Path, category: str, settings: Settings) -> list[Provenance]:
    """The addresses in a file, with what it says about each. FototecaError for a missing column or an unknown category."""
    category = category and settings.check(category)
    if not file.is_file():
        raise FototecaError(f"{file} does not exist", "name a CSV or text file with addresses, one alone too")
    if file.suffix.lower() == ".csv":
        return _from_csv(file, category, settings)
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise FototecaError(f"{file} is no text file", "name a file with one URL a line, in UTF-8") from None
    urls = [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise FototecaError(f"{file} has no addresses", "write one URL a line")
    return [Provenance(url, "urls", category, query=file.name, rank=rank) for rank, url in enumerate(urls)]


def _from_csv(file: Path, category: str, settings: Settings) -> list[Provenance]:
    findings = []
    for rank, row in enumerate(read_csv(file, ("url",))):
        chosen = row.get("category", "").strip() or category
        if chosen:
            chosen = settings.check_label(chosen)
        license_found = row.get("license", "").strip()
        findings.append(
            Provenance(
                row["url"].strip(),
                "urls",
                chosen,
                query=file.name,
                rank=rank,
                page_url=row.get("page_url", ""),
                author=row.get("author", ""),
                license=to_spdx(license_found),
                license_found=license_found,
            )
        )
    return findings
