"""Where each category stands: the numbers of `fototeca status`."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from fototeca.collect.catalog import CandidateOutcome, Catalog, ImageRow
from fototeca.collect.files.local_files import LOCAL
from fototeca.collect.ingest.targets import Targets
from fototeca.core.files import write_text
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace

Counts = dict[str, Any]


def workspace_status(workspace: Workspace) -> dict[str, Any]:
    """`{"dataset", "task", "unlabelled", "categories": {name: counts}, "total": counts}`.

    An image counts for every category of its label; a candidate for every category it was found under. `found` are
    candidates, `fetched` those whose bytes came, `duplicate` both exact copies and near-duplicates set aside, `unlabelled`
    accepted images that carry no category and that no person has looked at.
    """
    settings = workspace.settings
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all()
        outcomes = catalog.candidates.outcomes()
    per_label: defaultdict[str, list[ImageRow]] = defaultdict(list)
    for image in images:
        for label in image.label.split(LABEL_SEPARATOR):
            per_label[label].append(image)
    per_category: defaultdict[str, list[CandidateOutcome]] = defaultdict(list)
    for outcome in outcomes:
        for name in outcome.category.split(LABEL_SEPARATOR):
            per_category[name].append(outcome)
    distinct = list({outcome.candidate_id: outcome for outcome in outcomes}.values())
    return {
        "dataset": settings.name,
        "task": settings.task,
        "unlabelled": sum(image.status == "accepted" and not image.label and not image.reviewed for image in images),
        "categories": {name: _counts(per_label[name], per_category[name], settings.target) for name in settings.names},
        "total": _counts(images, distinct, settings.target * len(settings.names)),
    }


def _counts(images: list[ImageRow], outcomes: list[CandidateOutcome], target: int) -> Counts:
    rejected = Counter(outcome.reason for outcome in outcomes if outcome.state == "rejected")
    copies = rejected.pop("duplicate", 0)
    rejected.update(image.rejected for image in images if image.rejected)
    return {
        "found": len(outcomes),
        "fetched": sum(outcome.was_fetched for outcome in outcomes),
        "accepted": sum(image.status == "accepted" for image in images),
        "duplicate": copies + sum(image.status == "duplicate" for image in images),
        "rejected": dict(sorted(rejected.items())),
        "failed": dict(sorted(Counter(outcome.reason for outcome in outcomes if outcome.state == "failed").items())),
        "reviewed": sum(image.reviewed for image in images),
        "target": target,
    }


def short_categories(workspace: Workspace) -> dict[str, int]:
    """How many accepted images each category lacks to reach the target, those that look alike counted once."""
    settings = workspace.settings
    with Catalog.open(workspace) as catalog:
        targets = Targets(catalog, settings.target)
    return {name: targets.missing(name) for name in settings.names if not targets.reached(name)}


def write_attribution(workspace: Workspace, file: Path) -> int:
    """Write a CSV row for each place of each accepted image; return the number of images."""
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all("accepted")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("image_id", "label", "author", "license", "license_found", "source", "page_url", "image_url"))
        for image in images:
            for place in catalog.provenance.of_image(image.image_id):
                url = "" if place.url.startswith(LOCAL) else place.url
                rights = (place.author, place.license, place.license_found, place.source, place.page_url, url)
                writer.writerow((image.image_id, image.label, *rights))
    write_text(file, text.getvalue())
    return len(images)


def status_table(status: dict[str, Any]) -> str:
    """The status as a table for people, reasons below it."""
    columns = ("found", "fetched", "accepted", "duplicate", "rejected", "failed", "reviewed", "target")
    entries = [*status["categories"].items(), ("total", status["total"])]
    lines = [["category", *columns]]
    for name, counts in entries:
        values = [sum(counts[column].values()) if isinstance(counts[column], dict) else counts[column] for column in columns]
        lines.append([name, *map(str, values)])
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    table = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    if status["unlabelled"]:
        table.append(f"{status['unlabelled']} accepted images have no label: give them one in fototeca curate review")
    reasons = [f"{kind}: {_listed(status['total'][kind])}" for kind in ("rejected", "failed") if status["total"][kind]]
    return "\n".join([f"{status['dataset']} ({status['task']}-label)", *table, *reasons])


def _listed(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
