"""iNaturalist: photographs of living things whose species others have confirmed, each with its licence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collect.catalog import Finding
from collect.licenses import to_spdx
from collect.sources import Context, Query
from collect.sources.numbered import at


def search(query: Query, context: Context) -> Iterator[Finding]:
    """Every licensed photograph of the taxon, oldest observation first.

    Photographs of one observation show one individual: `original` ties them, so that no split comes between them.
    FototecaError (exit 4) when iNaturalist does not answer as it should.
    """
    site, web = context.site("inaturalist"), context.web("inaturalist")
    fixed = {**site["parameters"], **(site["commercial"] if query.commercial else {}), site["query"]: query.text}
    last, rank = 0, 0
    while True:
        answer = web.json(site["endpoint"], {**fixed, "id_above": last})
        observations = at(web, answer, "results")
        for observation in observations:
            if "id" not in observation or "photos" not in observation:
                raise web.changed("an observation has no 'id' or no 'photos'")
            last = max(last, int(observation["id"]))
            for photo in observation["photos"]:
                if photo.get("license_code") and photo.get("url"):
                    yield _read(observation, photo, site["size"], query, rank)
                    rank += 1
        if len(observations) < site["page_size"]:
            return


def _read(observation: Mapping[str, Any], photo: Mapping[str, Any], size: str, query: Query, rank: int) -> Finding:
    code = str(photo["license_code"])
    user = observation.get("user") or {}
    return Finding(
        str(photo["url"]).replace("/square.", f"/{size}."),
        "inaturalist",
        query.category,
        query=query.text,
        rank=rank,
        page_url=f"https://www.inaturalist.org/observations/{observation['id']}",
        author=user.get("name") or user.get("login") or "",
        license="CC0-1.0" if code == "cc0" else to_spdx(f"{code} 4.0"),
        license_found=str(photo.get("attribution") or code),
        original=f"inaturalist:{observation['id']}",
    )
