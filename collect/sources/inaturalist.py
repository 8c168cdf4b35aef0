"""iNaturalist: photographs of organisms whose identification others have confirmed, each with its license."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fototeca.collect.api.client import ServiceClient
from fototeca.collect.api.json_fields import get_text, require_int, require_records
from fototeca.collect.catalog import Provenance
from fototeca.collect.licenses import to_spdx
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.metadata import SourceInfo

INFO = SourceInfo(
    "inaturalist",
    "API",
    "nothing; a query is the name of a taxon (Vulpes vulpes, or a common name)",
    "60 requests a minute, 200 observations each; research grade only",
    "each image's own Creative Commons license; images without one are left out",
    "images of one observation show one individual and stay in one split",
)


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield every licensed photograph of the taxon, oldest observation first.

    Photographs of one observation show one individual: they share an `original`, and so a split. FototecaError (exit 4) if a
    request fails.
    """
    site, client = context.site("inaturalist"), context.client("inaturalist")
    parameters = {**site["parameters"], **(site["commercial"] if query.commercial else {}), site["query"]: query.text}
    last_id, rank = 0, 0
    while rank < site["max_results"]:
        document = client.fetch_json(site["endpoint"], {**parameters, "id_above": last_id})
        observations = require_records(client, document, "results")
        total = require_int(client, document, "total_results")
        if total and not observations and not last_id:
            raise client.unexpected_response(f"{total} results, none of them in the response")
        size = site["size"]
        provenances = [photo for observation in observations for photo in _read(client, observation, size, query)]
        if observations and not provenances:
            raise client.unexpected_response("no photograph has a URL and a license")
        for provenance in provenances:
            yield replace(provenance, rank=rank)
            rank += 1
        if len(observations) < site["page_size"]:
            return
        last_id = max(require_int(client, observation, "id") for observation in observations)


def _read(client: ServiceClient, observation: Mapping[str, Any], size: str, query: Query) -> Iterator[Provenance]:
    """Yield the licensed photographs of one observation."""
    require_int(client, observation, "id")  # the next page is requested by it
    for photo in require_records(client, observation, "photos"):
        if get_text(photo, "license_code") and get_text(photo, "url"):
            yield _to_provenance(observation, photo, size, query)


def _to_provenance(observation: Mapping[str, Any], photo: Mapping[str, Any], size: str, query: Query) -> Provenance:
    code = get_text(photo, "license_code")
    return Provenance(
        get_text(photo, "url").replace("/square.", f"/{size}."),
        "inaturalist",
        query.category,
        query=query.text,
        page_url=f"https://www.inaturalist.org/observations/{observation['id']}",
        author=get_text(observation, "user", "name") or get_text(observation, "user", "login"),
        license="CC0-1.0" if code == "cc0" else to_spdx(f"{code} 4.0"),
        license_found=get_text(photo, "attribution") or code,
        original=f"inaturalist:{observation['id']}",
    )
