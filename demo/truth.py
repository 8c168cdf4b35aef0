"""Compare what was planted in the gallery with what the pipeline found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.files import write_bytes
from fototeca.core.tables import render_table
from fototeca.core.workspace import Workspace
from fototeca.curate.label_issues.find import LabelIssue
from fototeca.demo.plan import EXPECTED_REASONS, Entry


@dataclass(frozen=True)
class EntryResult:
    """Final state of an entry's candidate, and its image if it was accepted."""

    state: str
    reason: str
    image: ImageRow | None


def read_results(workspace: Workspace, entries: Sequence[Entry]) -> dict[str, EntryResult]:
    """Return the catalog's result for each entry by name; entries that were never found are absent."""
    results = {}
    name_by_path = {entry.url_path: entry.name for entry in entries}
    with Catalog.open(workspace) as catalog:
        for candidate in catalog.candidates.all():
            name = name_by_path.get(urlsplit(candidate.url).path)
            if name:
                image = catalog.images.get(candidate.image_id) if candidate.image_id else None
                results[name] = EntryResult(candidate.state, candidate.reason, image)
    return results


def copy_masks(workspace: Workspace, entries: Sequence[Entry], gallery: Path) -> None:
    """Copy the masks of collected originals to `data/masks`, where the evaluation of attribution maps reads them."""
    for name, result in read_results(workspace, [entry for entry in entries if not entry.origin]).items():
        if result.image:
            mask = (gallery / "masks" / f"{name}.png").read_bytes()
            write_bytes(workspace.data / "masks" / f"{result.image.image_id}.png", mask)


def render_planted_table(workspace: Workspace, entries: Sequence[Entry], issues: Sequence[LabelIssue]) -> str:
    """Return the table of planted and found numbers that ends the demo."""
    results = read_results(workspace, entries)
    rows = [
        ("exact copies", *_count_exact(entries, results)),
        ("edited copies", *_count_edited(entries, results)),
        *((_FAULT_NAMES[kind], *_count_broken(entries, results, kind, reason)) for kind, reason in EXPECTED_REASONS.items()),
        ("429 at the first request, fetched later", *_count_limited(entries, results)),
        ("one image under two labels", *_count_two_labels(workspace, entries, results)),
        ("wrong labels, among as many label issues", *_count_wrong_labels(entries, results, issues)),
    ]
    false_groups, distinct = count_false_groups(entries, results)
    table = render_table(("kind", "planted", "found"), rows, right=("planted", "found"))
    share = false_groups / max(distinct, 1)
    return "\n".join([table, f"falsely grouped: {false_groups} of {distinct} distinct images ({share:.1%})"])


_FAULT_NAMES = {
    "truncated": "truncated files",
    "html": "HTML named .jpg",
    "opted-out": "opted out (X-Robots-Tag)",
    "robots": "forbidden by robots.txt",
}


def _count_exact(entries: Sequence[Entry], results: Mapping[str, EntryResult]) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == "exact"]
    return len(planted), sum(_image_id(results, entry.name) == _image_id(results, entry.origin) != "" for entry in planted)


def _count_edited(entries: Sequence[Entry], results: Mapping[str, EntryResult]) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == "edited"]
    return len(planted), sum(_group(results, entry.name) == _group(results, entry.origin) != "" for entry in planted)


def _count_broken(entries: Sequence[Entry], results: Mapping[str, EntryResult], kind: str, reason: str) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == kind]
    return len(planted), sum(entry.name in results and results[entry.name].reason == reason for entry in planted)


def _count_limited(entries: Sequence[Entry], results: Mapping[str, EntryResult]) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == "limited"]
    return len(planted), sum(_image_id(results, entry.name) != "" for entry in planted)


def _count_two_labels(workspace: Workspace, entries: Sequence[Entry], results: Mapping[str, EntryResult]) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == "two-labels"]
    with Catalog.open(workspace) as catalog:
        categories = [
            {place.category for place in catalog.provenance.of_image(_image_id(results, entry.name))} for entry in planted
        ]
    return len(planted), sum(set(entry.queries) <= names for entry, names in zip(planted, categories, strict=True))


def _count_wrong_labels(
    entries: Sequence[Entry], results: Mapping[str, EntryResult], issues: Sequence[LabelIssue]
) -> tuple[int, int]:
    """Return the number of planted wrong labels, and how many of them are among that many first label issues."""
    planted = {_image_id(results, entry.name) for entry in entries if entry.kind == "wrong-label"}
    first = [issue.image_id for issue in issues if issue.kind == "label-error"][: len(planted)]
    return len(planted), len(planted & set(first))


def count_false_groups(entries: Sequence[Entry], results: Mapping[str, EntryResult]) -> tuple[int, int]:
    """Return the number of originals that share a group with an image of another origin, and the number of originals."""
    origins: dict[str, set[str]] = {}
    for entry in entries:
        if group := _group(results, entry.name):
            origins.setdefault(group, set()).add(entry.origin or entry.name)
    distinct = [entry for entry in entries if not entry.origin and _image_id(results, entry.name)]
    return sum(len(origins.get(_group(results, entry.name), ())) > 1 for entry in distinct), len(distinct)


def _image_id(results: Mapping[str, EntryResult], name: str) -> str:
    image = results[name].image if name in results else None
    return image.image_id if image else ""


def _group(results: Mapping[str, EntryResult], name: str) -> str:
    image = results[name].image if name in results else None
    return image.group if image else ""
