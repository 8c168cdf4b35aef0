"""Tests against the versions under golden/: all can be read and rebuilt, and the code writes the current ones byte for byte.

`golden/first` was written before versions stored their splits; its files never change. `golden/current` is the output of the
current code: a difference means that scripts that read versions may break, or that the same catalog is split differently. If the
change is intended, raise `SCHEMA` if old files are no longer readable, mention it in CHANGELOG.md, move `golden/current` to a
new folder, list that folder in `GOLDEN_FOLDERS`, and add the files named by the failing test as `golden/current`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fototeca.collect.catalog import Actor, Catalog, Edit, GroupRow, ImageRow, Provenance
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import list_versions, read_manifest, read_metadata
from fototeca.curate.manifest_fields import FIELDS_IF_SET, METADATA_FIELDS, OPTIONAL_METADATA_FIELDS
from fototeca.curate.snapshot.catalog_state import THRESHOLD
from fototeca.curate.versions.decision_log import read_decision_log
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.freeze_result import FreezeResult
from fototeca.curate.versions.rebuild import rebuild_version

Freeze = Callable[..., FreezeResult]
GOLDEN = Path(__file__).parent / "golden"
START_TIME = datetime.fromisoformat("2020-01-02T03:04:05.000000+00:00")
NAMES = ("único", "heron", "007")
"""Categories, including a non-ASCII name and a name that looks like a number."""


def golden_image_id(number: int) -> str:
    """Return the id of golden image `number`: a digest of text, since PNG bytes depend on the zlib version."""
    return hashlib.sha256(f"golden {number}".encode()).hexdigest()


def golden_time(number: int) -> str:
    """Return the time of golden image `number`."""
    return (START_TIME + timedelta(seconds=number)).isoformat(timespec="microseconds")


def golden_provenance(number: int) -> Provenance:
    """Return provenance that is in turn complete, quoted, unknown or private."""
    kinds = (
        {"author": 'Ana "la fotógrafa", Lima', "license": "CC-BY-4.0", "page_url": f"https://example.org/{number}?a=1,2"},
        {"author": "José\nÑandú", "license": "CC0-1.0"},
        {"author": "", "license": "unknown", "page_url": "file:///home/ana"},
        {"author": "x", "license": "LicenseRef-PublicDomain", "thumbnail": True},
    )
    url = f"/home/ana/{number}.png" if number % 9 == 4 else f"https://example.org/{number}.png"
    return Provenance(url, ("site", "museum")[number % 2], **kinds[number % 4])  # type: ignore[arg-type]


def insert_images(catalog: Catalog, labels: Sequence[str], start: int, *, copies: int = 0) -> list[str]:
    """Add one image per label, numbered from `start`; the first `copies` share an original in groups of three."""
    for number, label in enumerate(labels, start):
        image_id = golden_image_id(number)
        provenance = replace(golden_provenance(number), original=f"o{(number - start) // 3}" if number - start < copies else "")
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
        candidate = catalog.candidates.add(provenance, provenance.url)
        catalog.candidates.record(candidate.candidate_id, "accepted", image=row)
        catalog.decisions.add(
            image_id,
            Edit.relabel(label),
            by=Actor.source(provenance.source),
            reason=f"found as {label}",
            time=golden_time(number),
        )
    return [golden_image_id(number) for number in range(start, start + len(labels))]


def replace_groups(catalog: Catalog, groups: Sequence[Sequence[str]], keep: bool = False) -> None:
    """Replace the near-duplicate groups; the first image of each is its representative."""
    rows = [GroupRow(image_id, group[0], keep or image_id == group[0], "test", 0) for group in groups for image_id in group]
    catalog.groups.replace(rows, [[image_id] for group in groups for image_id in group])
    catalog.metadata.set(THRESHOLD, "8")


def build_single(root: Path, freeze: Freeze = freeze_version) -> Workspace:
    """Build a single-label workspace with decisions and groups, freeze it, add images and a merged group, freeze again."""
    workspace = create_workspace(root, NAMES, target=1)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        ids = insert_images(catalog, [NAMES[number % 7 % 3] for number in range(70)], 0, copies=9)
        replace_groups(catalog, [ids[20:23], ids[30:32], ids[40:45]])
        edits = (
            (50, Edit.reject("blurry")),
            (51, Edit.relabel("heron")),
            (52, Edit.reject("drawing")),
            (52, Edit.restore()),
            (22, Edit.restore()),
        )
        for number, edit in edits:
            catalog.decisions.add(ids[number], edit, by=Actor.person("ana"), reason="seen, twice", time=golden_time(500 + number))
    first = freeze(workspace, note="the first, «golden»").manifest
    with Catalog.open(workspace) as catalog, catalog.transaction():
        more = insert_images(catalog, [NAMES[number % 3] for number in range(20)], 70)
        train_id, test_id = (min(row.image_id for row in first.split(split)) for split in ("train", "test"))
        replace_groups(catalog, [[train_id, test_id], more[:3], more[9:11]], keep=True)
        better = Provenance(
            "https://example.org/3.png", "museum", page_url="https://m.example/3", author="Eva", license="CC0-1.0"
        )
        catalog.candidates.add(better, better.url)
    freeze(workspace)
    return workspace


def build_multi(root: Path, freeze: Freeze = freeze_version) -> Workspace:
    """Build a multi-label workspace with kept groups, freeze it with its own ratios and seed, add images, freeze again."""
    workspace = create_workspace(root, NAMES, task="multi", target=1)
    kinds = ("heron", "007|heron", "", "único", "007", "heron|único", "007|heron|único", "único", "007")
    with Catalog.open(workspace) as catalog, catalog.transaction():
        ids = insert_images(catalog, [kinds[number % 9] for number in range(81)], 0)
        replace_groups(catalog, [ids[start : start + 1 + start % 4] for start in range(0, 60, 5)], keep=True)
    freeze(workspace, ratios="60/15/25", seed=7)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        insert_images(catalog, [kinds[number % 8] for number in range(30)], 81)
        catalog.decisions.add(ids[5], Edit.relabel("heron|único"), by=Actor.person("ana"), time=golden_time(600))
    freeze(workspace)
    return workspace


BUILDERS = {"single": build_single, "multi": build_multi}
GOLDEN_FOLDERS = ("first", "current")
VOLATILE = ("created", "tool")
"""Keys of a version's JSON that differ between freezes."""


def stable_json(text: str) -> str:
    """Return a version's JSON without the volatile keys, in the original order."""
    return json.dumps({name: value for name, value in json.loads(text).items() if name not in VOLATILE})


@pytest.mark.parametrize("name", BUILDERS)
def test_freeze_writes_the_golden_bytes(tmp_path: Path, name: str) -> None:
    """Rows and decisions are equal byte for byte; the JSON is equal except for time and tool."""
    workspace = BUILDERS[name](tmp_path / name)
    files = sorted(path.name for path in workspace.manifests.iterdir())
    assert files == sorted(path.name for path in (GOLDEN / "current" / name).iterdir()), workspace.manifests
    for file in files:
        written, golden = ((folder / file).read_bytes() for folder in (workspace.manifests, GOLDEN / "current" / name))
        if file.endswith(".json"):
            assert stable_json(written.decode()) == stable_json(golden.decode()), f"{workspace.manifests}/{file}"
        else:
            assert written == golden, f"{workspace.manifests}/{file}"
    assert all(rebuild_version(workspace, version) for version in list_versions(workspace))


def freeze_from(folder: Path) -> Freeze:
    """Return a freeze function that replaces the version by the files of `folder`, as if another release had written them."""

    def freeze(workspace: Workspace, **options: object) -> FreezeResult:
        result = freeze_version(workspace, **options)  # type: ignore[arg-type]
        created = result.manifest.created
        for path in folder.glob(f"{result.manifest.version}.*"):
            (workspace.manifests / path.name).write_bytes(path.read_bytes())
        target = result.manifest.path.with_suffix(".json")
        target.write_text(json.dumps(json.loads(target.read_text()) | {"created": created}))
        return replace(result, manifest=read_manifest(workspace, result.manifest.version))

    return freeze


@pytest.mark.parametrize("release", GOLDEN_FOLDERS)
@pytest.mark.parametrize("name", BUILDERS)
def test_versions_of_every_release_rebuild(tmp_path: Path, name: str, release: str) -> None:
    """Rebuild uses the splits stored in a version, independent of the current optimizer."""
    workspace = BUILDERS[name](tmp_path / name, freeze_from(GOLDEN / release / name))
    for version in list_versions(workspace):
        output = tmp_path / f"{version}.csv"
        assert rebuild_version(workspace, version, output)
        assert output.read_bytes() == (GOLDEN / release / name / f"{version}.csv").read_bytes()


@pytest.mark.parametrize("release", GOLDEN_FOLDERS)
@pytest.mark.parametrize("name", BUILDERS)
def test_versions_of_every_release_can_be_read(tmp_path: Path, name: str, release: str) -> None:
    """Rows, metadata and decisions are read from the files alone."""
    workspace = create_workspace(tmp_path / name, NAMES)
    for path in (GOLDEN / release / name).iterdir():
        (workspace.manifests / path.name).write_bytes(path.read_bytes())
    assert list_versions(workspace) == ["v001", "v002"]
    for version in list_versions(workspace):
        manifest, metadata = read_manifest(workspace, version), read_metadata(workspace, version)
        decisions = read_decision_log(workspace, version)
        assert (len(manifest.rows), manifest.categories, manifest.task) == (metadata["rows"], NAMES, name)
        assert manifest.decode_version == 1
        always = OPTIONAL_METADATA_FIELDS.keys() - set(FIELDS_IF_SET)
        assert set(metadata) == {"schema", *METADATA_FIELDS, *(always if release == "current" else ())}
        assert len(decisions) == metadata["decisions"]
        assert {decision.image_id for decision in decisions} <= {golden_image_id(number) for number in range(111)}
