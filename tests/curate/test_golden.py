"""Versions as they were frozen once, under golden/: the same catalogs give the same bytes today.

A difference means that versions frozen by earlier releases cannot be rebuilt any more, or that scripts which read them break.
Where that is meant, bump `SCHEMA`, say so in CHANGELOG.md, and replace the files by those that the failing test names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fototeca.collect.catalog import Catalog, GroupRow, ImageRow, Provenance
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import FACTS, list_versions, read_facts, read_manifest
from fototeca.curate.snapshot.catalog_state import THRESHOLD
from fototeca.curate.versions.decision_log import kept_decisions
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version

GOLDEN = Path(__file__).parent / "golden"
BEGIN = datetime.fromisoformat("2020-01-02T03:04:05.000000+00:00")
NAMES = ("único", "heron", "007")
"""Categories, one with a letter beyond ASCII and one that looks like a number."""


def drawn(number: int) -> str:
    """The id of the golden image of this number: a digest of words, since a PNG file's differs with the zlib that wrote it."""
    return hashlib.sha256(f"golden {number}".encode()).hexdigest()


def moment(number: int) -> str:
    """The time of the golden image of this number."""
    return (BEGIN + timedelta(seconds=number)).isoformat(timespec="microseconds")


def origin(number: int) -> Provenance:
    """Where an image was found: full, quoted, unknown and private origins in turn."""
    kinds = (
        {"author": 'Ana "la fotógrafa", Lima', "license": "CC-BY-4.0", "page_url": f"https://example.org/{number}?a=1,2"},
        {"author": "José\nÑandú", "license": "CC0-1.0"},
        {"author": "", "license": "unknown", "page_url": "file:///home/ana"},
        {"author": "x", "license": "LicenseRef-PublicDomain", "thumbnail": True},
    )
    url = f"/home/ana/{number}.png" if number % 9 == 4 else f"https://example.org/{number}.png"
    return Provenance(url, ("site", "museum")[number % 2], **kinds[number % 4])  # type: ignore[arg-type]


def fill(catalog: Catalog, labels: Sequence[str], start: int, *, copies: int = 0) -> list[str]:
    """Know an image per label, numbered from `start`; the first `copies` of them come in threes from one original each."""
    for number, label in enumerate(labels, start):
        image_id = drawn(number)
        place = replace(origin(number), original=f"o{(number - start) // 3}" if number - start < copies else "")
        row = ImageRow(
            image_id,
            f"data/images/{image_id[:2]}/{image_id}.png",
            "PNG",
            60 + number % 7,
            40 + number % 5,
            "RGB",
            9,
            image_id[:16],
        )
        candidate = catalog.add_finding(place, place.url)
        catalog.record(candidate.candidate_id, "accepted", image=row)
        catalog.decide(image_id, label, who=f"collect:{place.source}", why=f"found as {label}", time=moment(number))
    return [drawn(number) for number in range(start, start + len(labels))]


def near(catalog: Catalog, groups: Sequence[Sequence[str]], keep: bool = False) -> None:
    """Make these the near-duplicate groups, the first image of each the best."""
    rows = [GroupRow(one, group[0], keep or one == group[0], "test", 0) for group in groups for one in group]
    catalog.replace_groups(rows, [[one] for group in groups for one in group])
    catalog.set_fact(THRESHOLD, "8")


def single(root: Path) -> Workspace:
    """One label an image; groups that keep one or all; rejected, relabelled, restored images; then more, and a merged group."""
    workspace = create_workspace(root, NAMES, target=1)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        ids = fill(catalog, [NAMES[number % 7 % 3] for number in range(70)], 0, copies=9)
        near(catalog, [ids[20:23], ids[30:32], ids[40:45]])
        for number, new in ((50, "reject:blurry"), (51, "heron"), (52, "reject:drawing"), (52, "restore"), (22, "restore")):
            catalog.decide(ids[number], new, who="person:ana", why="seen, twice", time=moment(500 + number))
    first = freeze_version(workspace, note="the first, «golden»").manifest
    with Catalog.open(workspace) as catalog, catalog.transaction():
        more = fill(catalog, [NAMES[number % 3] for number in range(20)], 70)
        trained, tested = (min(row.image_id for row in first.split(split)) for split in ("train", "test"))
        near(catalog, [[trained, tested], more[:3], more[9:11]], keep=True)
        better = Provenance(
            "https://example.org/3.png", "museum", page_url="https://m.example/3", author="Eva", license="CC0-1.0"
        )
        catalog.add_finding(better, better.url)
    freeze_version(workspace)
    return workspace


def multi(root: Path) -> Workspace:
    """Several labels an image, or none; groups that stay whole; ratios and seed of its own; then more, for what is pinned."""
    workspace = create_workspace(root, NAMES, task="multi", target=1)
    kinds = ("heron", "007|heron", "", "único", "007", "heron|único", "007|heron|único", "único", "007")
    with Catalog.open(workspace) as catalog, catalog.transaction():
        ids = fill(catalog, [kinds[number % 9] for number in range(81)], 0)
        near(catalog, [ids[start : start + 1 + start % 4] for start in range(0, 60, 5)], keep=True)
    freeze_version(workspace, ratios="60/15/25", seed=7)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        fill(catalog, [kinds[number % 8] for number in range(30)], 81)
        catalog.decide(ids[5], "heron|único", who="person:ana", why="", time=moment(600))
    freeze_version(workspace)
    return workspace


BUILDERS = {"single": single, "multi": multi}
UNTIMELY = ("created", "tool")
"""What a JSON holds that differs from one freeze to the next."""


def timeless(text: str) -> dict[str, object]:
    """A version's JSON without it, the keys in their order."""
    return {name: value for name, value in json.loads(text).items() if name not in UNTIMELY}


@pytest.mark.parametrize("name", BUILDERS)
def test_the_same_catalog_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    """Rows and decisions byte for byte, facts but for time and program, the order of all of them included."""
    workspace = BUILDERS[name](tmp_path / name)
    files = sorted(path.name for path in workspace.manifests.iterdir())
    assert files == sorted(path.name for path in (GOLDEN / name).iterdir()), workspace.manifests
    for file in files:
        now, then = ((folder / file).read_bytes() for folder in (workspace.manifests, GOLDEN / name))
        if file.endswith(".json"):
            assert json.dumps(timeless(now.decode())) == json.dumps(timeless(then.decode())), f"{workspace.manifests}/{file}"
        else:
            assert now == then, f"{workspace.manifests}/{file}"
    assert all(rebuild_version(workspace, version) for version in list_versions(workspace))


@pytest.mark.parametrize("name", BUILDERS)
def test_they_can_still_be_read(tmp_path: Path, name: str) -> None:
    """As files that git brings: rows, facts and decisions, by today's reader."""
    workspace = create_workspace(tmp_path / name, NAMES)
    for path in (GOLDEN / name).iterdir():
        (workspace.manifests / path.name).write_bytes(path.read_bytes())
    assert list_versions(workspace) == ["v001", "v002"]
    for version in list_versions(workspace):
        manifest, facts, decisions = (
            read_manifest(workspace, version),
            read_facts(workspace, version),
            kept_decisions(workspace, version),
        )
        assert (len(manifest.rows), manifest.categories, manifest.task) == (facts["rows"], NAMES, name)
        assert set(facts) == {"schema", *FACTS}
        assert len(decisions) == facts["decisions"]
        assert {decision.image_id for decision in decisions} <= {drawn(number) for number in range(111)}
