"""Openverse: pictures under Creative Commons licences and in the public domain, each with its rights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collect.catalog import Finding
from collect.licenses import to_spdx
from collect.sources import Context, Query
from collect.sources.numbered import search_pages


def search(query: Query, context: Context) -> Iterator[Finding]:
    """Results in Openverse's order. FototecaError (exit 4) when it does not answer as it should."""
    return search_pages("openverse", query, context, _read)


def _read(item: Mapping[str, Any]) -> Finding:
    found = item.get("license_url") or f"cc-{item['license']} {item.get('license_version') or ''}".strip()
    return Finding(
        str(item["url"]),
        "openverse",
        page_url=item.get("foreign_landing_url") or "",
        author=item.get("creator") or "",
        license=to_spdx(found),
        license_found=found,
        width=item.get("width"),
        height=item.get("height"),
    )
