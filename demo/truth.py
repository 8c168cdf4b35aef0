"""What was planted beside what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.files import write_bytes
from fototeca.core.workspace import Workspace
from fototeca.curate.label_issues.find import LabelIssue
from fototeca.demo.plan import BROKEN, Entry


@dataclass(frozen=True)
class Outcome:
    """What became of an entry."""

    state: str
    reason: str
    image: ImageRow | None


def outcomes(workspace: Workspace, entries: Sequence[Entry]) -> dict[str, Outcome]:
    """What the catalog says about each entry, by its name; entries that were never seen are left out."""
    found = {}
    by_address = {entry.address: entry.name for entry in entries}
    with Catalog.open(workspace) as catalog:
        for candidate in catalog.candidates.all():
            name = by_address.get(urlsplit(candidate.url).path)
            if name:
                image = catalog.images.get(candidate.image_id) if candidate.image_id else None
                found[name] = Outcome(candidate.state, candidate.reason, image)
    return found


def keep_masks(workspace: Workspace, entries: Sequence[Entry], gallery: Path) -> None:
    """Put the mask of every original that was collected where the trials of attribution maps look for it."""
    for name, outcome in outcomes(workspace, [entry for entry in entries if not entry.origin]).items():
        if outcome.image:
            mask = (gallery / "masks" / f"{name}.png").read_bytes()
            write_bytes(workspace.data / "masks" / f"{outcome.image.image_id}.png", mask)


def planted_table(workspace: Workspace, entries: Sequence[Entry], suggestions: Sequence[LabelIssue]) -> str:
    """The table that the demo ends with."""
    found = outcomes(workspace, entries)
    rows = [
        ("copies byte for byte", *_exact(entries, found)),
        ("edited copies", *_edited(entries, found)),
        *((_NAMES[kind], *_broken(entries, found, kind, reason)) for kind, reason in BROKEN.items()),
        ("asked to wait (429), fetched later", *_limited(entries, found)),
        ("one image under two labels", *_two_labels(workspace, entries, found)),
        ("wrong labels, among as many suggestions", *_wrong(entries, found, suggestions)),
    ]
    strangers, distinct = unplanted(entries, found)
    lines = [f"{'planted':<44}  {'planted':>7}  {'found':>5}"]
    lines += [f"{name:<44}  {planted:>7}  {number:>5}" for name, planted, number in rows]
    share = strangers / max(distinct, 1)
    return "\n".join([*lines, f"grouped though nothing was planted: {strangers} of {distinct} distinct images ({share:.1%})"])


_NAMES = {
    "truncated": "truncated files",
    "html": "HTML named .jpg",
    "opted-out": "opted out (X-Robots-Tag)",
    "robots": "forbidden by robots.txt",
}


def _exact(entries: Sequence[Entry], found: Mapping[str, Outcome]) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == "exact"]
    return len(planted), sum(_image_id(found, entry.name) == _image_id(found, entry.origin) != "" for entry in planted)


def _edited(entries: Sequence[Entry], found: Mapping[str, Outcome]) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == "edited"]
    return len(planted), sum(_group(found, entry.name) == _group(found, entry.origin) != "" for entry in planted)


def _broken(entries: Sequence[Entry], found: Mapping[str, Outcome], kind: str, reason: str) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == kind]
    return len(planted), sum(entry.name in found and found[entry.name].reason == reason for entry in planted)


def _limited(entries: Sequence[Entry], found: Mapping[str, Outcome]) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == "limited"]
    return len(planted), sum(_image_id(found, entry.name) != "" for entry in planted)


def _two_labels(workspace: Workspace, entries: Sequence[Entry], found: Mapping[str, Outcome]) -> tuple[int, int]:
    planted = [entry for entry in entries if entry.kind == "two-labels"]
    with Catalog.open(workspace) as catalog:
        seen = [{place.category for place in catalog.provenance.of_image(_image_id(found, entry.name))} for entry in planted]
    return len(planted), sum(set(entry.queries) <= categories for entry, categories in zip(planted, seen, strict=True))


def _wrong(entries: Sequence[Entry], found: Mapping[str, Outcome], suggestions: Sequence[LabelIssue]) -> tuple[int, int]:
    """How many of the planted wrong labels are among as many first suggestions as were planted."""
    planted = {_image_id(found, entry.name) for entry in entries if entry.kind == "wrong-label"}
    first = [suggestion.image_id for suggestion in suggestions if suggestion.kind == "label-error"][: len(planted)]
    return len(planted), len(planted & set(first))


def unplanted(entries: Sequence[Entry], found: Mapping[str, Outcome]) -> tuple[int, int]:
    """Distinct images that share a group with an image of another origin, and how many distinct images there are."""
    origins: dict[str, set[str]] = {}
    for entry in entries:
        if group := _group(found, entry.name):
            origins.setdefault(group, set()).add(entry.origin or entry.name)
    distinct = [entry for entry in entries if not entry.origin and _image_id(found, entry.name)]
    return sum(len(origins.get(_group(found, entry.name), ())) > 1 for entry in distinct), len(distinct)


def _image_id(found: Mapping[str, Outcome], name: str) -> str:
    image = found[name].image if name in found else None
    return image.image_id if image else ""


def _group(found: Mapping[str, Outcome], name: str) -> str:
    image = found[name].image if name in found else None
    return image.group if image else ""
