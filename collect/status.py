"""Numbers of `fototeca status`, shortfalls to the target, and the attribution file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fototeca.collect.catalog import CandidateOutcome, Catalog, ImageRow
from fototeca.collect.catalog.local_urls import LOCAL_SCHEME
from fototeca.collect.ingest.targets import Targets
from fototeca.core.files import write_csv
from fototeca.core.public_url import public_url
from fototeca.core.results import Result
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.tables import render_table
from fototeca.core.workspace import Workspace


@dataclass(frozen=True)
class CategoryStatus(Result):
    """Counts of one category, or of the whole workspace."""

    candidates: int
    """Distinct URLs and files found for the category."""

    fetched: int
    """Candidates whose bytes were received and examined."""

    accepted: int
    """Images that are neither rejected nor set aside as duplicates."""

    duplicates: int
    """Exact copies and near-duplicates that were set aside."""

    rejected: Mapping[str, int]
    """Rejected candidates and images by reason."""

    failed: Mapping[str, int]
    """Failed candidates by reason."""

    reviewed: int
    """Images that a person reviewed."""

    target: int
    """Accepted images wanted."""


@dataclass(frozen=True)
class WorkspaceStatus(Result):
    """Result of `fototeca status`."""

    dataset: str
    task: str
    unlabeled: int
    """Accepted images without a category that no person has reviewed."""

    categories: Mapping[str, CategoryStatus]
    total: CategoryStatus


def workspace_status(workspace: Workspace) -> WorkspaceStatus:
    """Count candidates and images by category.

    An image counts for every category of its label, a candidate for every category for which it was found.
    """
    settings = workspace.settings
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all()
        outcomes = catalog.candidates.outcomes()
    images_by_label: defaultdict[str, list[ImageRow]] = defaultdict(list)
    for image in images:
        for label in image.label.split(LABEL_SEPARATOR):
            images_by_label[label].append(image)
    outcomes_by_category: defaultdict[str, list[CandidateOutcome]] = defaultdict(list)
    for outcome in outcomes:
        for name in outcome.category.split(LABEL_SEPARATOR):
            outcomes_by_category[name].append(outcome)
    distinct = list({outcome.candidate_id: outcome for outcome in outcomes}.values())
    return WorkspaceStatus(
        dataset=settings.name,
        task=settings.task,
        unlabeled=sum(image.status == "accepted" and not image.label and not image.reviewed for image in images),
        categories={name: _count(images_by_label[name], outcomes_by_category[name], settings.target) for name in settings.names},
        total=_count(images, distinct, settings.target * len(settings.names)),
    )


def _count(images: Sequence[ImageRow], outcomes: Sequence[CandidateOutcome], target: int) -> CategoryStatus:
    rejected = Counter(outcome.reason for outcome in outcomes if outcome.state == "rejected")
    exact_copies = rejected.pop("duplicate", 0)
    rejected.update(image.rejected for image in images if image.rejected)
    return CategoryStatus(
        candidates=len(outcomes),
        fetched=sum(outcome.was_fetched for outcome in outcomes),
        accepted=sum(image.status == "accepted" for image in images),
        duplicates=exact_copies + sum(image.status == "duplicate" for image in images),
        rejected=dict(sorted(rejected.items())),
        failed=dict(sorted(Counter(outcome.reason for outcome in outcomes if outcome.state == "failed").items())),
        reviewed=sum(image.reviewed for image in images),
        target=target,
    )


def compute_shortfalls(workspace: Workspace) -> dict[str, int]:
    """Return the number of accepted images that each category lacks to its target, near-duplicates counted once.

    Categories that have their target are absent.
    """
    settings = workspace.settings
    with Catalog.open(workspace) as catalog:
        targets = Targets(catalog, settings.target)
    return {name: targets.missing(name) for name in settings.names if not targets.is_reached(name)}


def write_attribution(workspace: Workspace, file: Path) -> int:
    """Write a CSV row for each place where an accepted image was found; return the number of images.

    Local paths are left out.
    """
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all("accepted")
        rows = []
        for image in images:
            for place in catalog.provenance.of_image(image.image_id):
                url = "" if place.url.startswith(LOCAL_SCHEME) else public_url(place.url)
                rights = (place.author, place.license, place.license_found, place.source, public_url(place.page_url), url)
                rows.append((image.image_id, image.label, *rights))
    columns = ("image_id", "label", "author", "license", "license_found", "source", "page_url", "image_url")
    write_csv(file, columns, rows)
    return len(images)


def status_table(status: WorkspaceStatus) -> str:
    """Return the status for the terminal: a table of categories, then the reasons of rejections and failures.

    The column `found` counts candidates; the target is equal for all categories and stands in the first line.
    """
    columns = ("found", "fetched", "accepted", "duplicate", "rejected", "failed", "reviewed")
    rows = [
        (
            name,
            *(row.candidates, row.fetched, row.accepted, row.duplicates),
            *(sum(row.rejected.values()), sum(row.failed.values()), row.reviewed),
        )
        for name, row in [*status.categories.items(), ("total", status.total)]
    ]
    target = status.total.target // max(len(status.categories), 1)
    lines = [
        f"{status.dataset} ({status.task}-label), target: {target} accepted images per category",
        render_table(("category", *columns), rows, right=columns),
    ]
    if status.unlabeled:
        lines.append(f"{status.unlabeled} accepted images have no label; label them with: fototeca curate review")
    reasons = {"rejected": status.total.rejected, "failed": status.total.failed}
    lines += [f"{state}: {_list_reasons(counts)}" for state, counts in reasons.items() if counts]
    return "\n".join(lines)


def _list_reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
