"""Add an image that a person labeled elsewhere, such as on the page of a served model."""

from __future__ import annotations

from fototeca.collect.catalog import Actor, Catalog, Decision, Edit, FetchAttempt, Provenance
from fototeca.collect.store.accept import ImageRejectedError, accept_image
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace

MIN_SIDE = 32
"""Shortest side in pixels; a person chose the image, so it may be smaller than collected ones."""


def contribute(workspace: Workspace, data: bytes, label: str, *, source: str, by: Actor, file_name: str) -> Decision:
    """Store the image and record its label: see `fototeca.collect.store.contribute_image`."""
    label = workspace.settings.check_label(label)
    try:
        image, scores = accept_image(workspace, data, MIN_SIDE)
    except ImageRejectedError as error:
        raise FototecaError(f"the image cannot be added: {error.reason}", "see docs/reasons.md") from None
    place = Provenance(f"file:{image.path}", source, file_name=file_name)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        candidate = catalog.candidates.add(place, place.url)
        attempt = FetchAttempt(size=len(data))
        catalog.candidates.record(candidate.candidate_id, "accepted", image=image, quality=scores, attempt=attempt)
        decision = catalog.decisions.add(image.image_id, Edit.relabel(label), by=by)
    assert decision is not None, "a person's decision is always written"
    return decision
