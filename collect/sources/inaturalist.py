"""iNaturalist: photographs of living things whose species others have confirmed, each with its licence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fototeca.collect.api.client import Web
from fototeca.collect.api.json_fields import number, rows, text
from fototeca.collect.catalog import Provenance
from fototeca.collect.licenses import to_spdx
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.metadata import SourceInfo

INFO = SourceInfo(
    "inaturalist",
    "interface",
    "nothing; a query is the name of a taxon (Vulpes vulpes, or a common name)",
    "60 requests a minute, 200 observations each; research grade only",
    "each image's own Creative Commons licence; those without one are left out",
    "images of one observation show one individual and stay in one split",
)


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Every licensed photograph of the taxon, oldest observation first.

    Photographs of one observation show one individual: `original` ties them, so that no split comes between them.
    FototecaError (exit 4) when iNaturalist does not answer as it should.
    """
    site, web = context.site("inaturalist"), context.web("inaturalist")
    fixed = {**site["parameters"], **(site["commercial"] if query.commercial else {}), site["query"]: query.text}
    last, rank = 0, 0
    while rank < site["most"]:
        answer = web.json(site["endpoint"], {**fixed, "id_above": last})
        observations = rows(web, answer, "results")
        total = number(web, answer, "total_results")
        if total and not observations and not last:
            raise web.changed(f"{total} results, of which none is shown")
        found = [finding for observation in observations for finding in _photos(web, observation, site["size"], query)]
        if observations and not found:
            raise web.changed("no photograph has an address and a licence")
        for finding in found:
            yield replace(finding, rank=rank)
            rank += 1
        if len(observations) < site["page_size"]:
            return
        last = max(number(web, observation, "id") for observation in observations)


def _photos(web: Web, observation: Mapping[str, Any], size: str, query: Query) -> Iterator[Provenance]:
    """The licensed photographs of one observation."""
    number(web, observation, "id")  # without it there is no going on
    for photo in rows(web, observation, "photos"):
        if text(photo, "license_code") and text(photo, "url"):
            yield _read(observation, photo, size, query)


def _read(observation: Mapping[str, Any], photo: Mapping[str, Any], size: str, query: Query) -> Provenance:
    code = text(photo, "license_code")
    return Provenance(
        text(photo, "url").replace("/square.", f"/{size}."),
        "inaturalist",
        query.category,
        query=query.text,
        page_url=f"https://www.inaturalist.org/observations/{observation['id']}",
        author=text(observation, "user", "name") or text(observation, "user", "login"),
        license="CC0-1.0" if code == "cc0" else to_spdx(f"{code} 4.0"),
        license_found=text(photo, "attribution") or code,
        original=f"inaturalist:{observation['id']}",
    )
