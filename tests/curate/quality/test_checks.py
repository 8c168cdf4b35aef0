"""`curate quality` finds what is wrong with images, and only that; `queues` say what a reviewer should look at."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from fototeca.collect.catalog import Actor, Catalog, Edit, Provenance
from fototeca.collect.files.local_files import LabelSource
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.labels.decisions import reject_images, restore_images
from fototeca.curate.quality.checks import list_findings_by_image, measure_quality
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.curate.review.queues import CONFLICT, DISAGREED, UNREVIEWED, list_review_items
from fototeca.vision.image import decode, grey_levels
from fototeca.vision.quality import quality


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """An image with detail at every scale and even light."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (h, h * 4 // 3, 3), dtype=np.uint8)).resize(size), dtype=np.float64)
        for h in (4, 12, 48, 200)
    ]
    return Image.fromarray(np.clip((np.mean(layers, axis=0) - 128) * 1.9 + 128, 0, 255).astype(np.uint8))


BAD: dict[str, Callable[[Image.Image], Image.Image]] = {
    "blurry": lambda p: p.filter(ImageFilter.GaussianBlur(6)),
    "dark": lambda p: p.point(lambda value: value // 5),
    "light": lambda p: p.point(lambda value: 215 + value // 7),
    "low-information": lambda p: Image.new("RGB", p.size, (120, 130, 140)),
    "odd-aspect": lambda p: p.resize((640, 100)),
    "odd-size": lambda p: p.resize((1600, 1200)),
    "border": lambda p: ImageOps.expand(p, 60, "white"),
}


@pytest.fixture
def workspace(tmp_path: Path) -> tuple[Workspace, dict[str, str]]:
    """Twelve good images and one of each bad kind: the workspace, and the kind by image id."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(12):
        scene(seed).save(folder / f"good{seed}.png")
    for seed, (kind, spoil) in enumerate(BAD.items(), 50):
        spoil(scene(seed)).save(folder / f"{kind}.png")
    made = create_workspace(tmp_path / "w", ["a", "b"], target=10)
    collect_folder(made, folder, LabelSource(category="a"), FetchOptions())
    with Catalog.open(made) as catalog:
        rows = catalog.database.connection.execute("SELECT url, image_id FROM candidates WHERE image_id IS NOT NULL")
        return made, {row["image_id"]: Path(row["url"]).stem for row in rows}


def test_each_kind_is_found_and_good_images_are_not(workspace: tuple[Workspace, dict[str, str]]) -> None:
    """Every spoiled image has the finding it was spoiled for; no good one has any; a stored file that broke is one too."""
    made, kinds = workspace
    found = defaultdict(set)
    for finding in measure_quality(made, QualityThresholds()):
        found[kinds[finding.image_id]].add(finding.finding)
    assert not [name for name in found if name.startswith("good")]
    assert all(kind in found[kind] for kind in BAD), dict(found)
    again = measure_quality(made, QualityThresholds())
    assert measure_quality(made, QualityThresholds(blurry=0.0)) != again, "a limit can be moved"
    assert not [finding for finding in measure_quality(made, QualityThresholds(blurry=0.0)) if finding.finding == "blurry"]


def test_thumbnails_of_larger_originals(
    tmp_path: Path, add_images: Callable[..., list[str]], group_images: Callable[..., None]
) -> None:
    """Smaller than announced, smaller than a copy of its shape, or only ever a thumbnail; crops and set-aside copies are none."""
    made = create_workspace(tmp_path / "t", ["a", "b"], target=10)
    announced, cropped, small, large, bare, both = add_images(made, ["a"] * 6)
    with Catalog.open(made) as catalog, catalog.transaction():
        sql = catalog.database.connection
        of_image = "WHERE candidate_id = (SELECT candidate_id FROM candidates WHERE image_id = ?)"
        sql.execute(f"UPDATE provenance SET width = 600, height = 800 {of_image}", (announced,))
        sql.execute(f"UPDATE provenance SET width = 640, height = 640 {of_image}", (cropped,))
        sql.execute("UPDATE images SET width = 128, height = 96 WHERE image_id = ?", (large,))
        for image_id in (bare, both):
            sql.execute(f"UPDATE provenance SET thumbnail = 1 {of_image}", (image_id,))
        row = sql.execute("SELECT url, url_key FROM candidates WHERE image_id = ?", (both,)).fetchone()
        catalog.candidates.add(Provenance(row["url"], "elsewhere", "a"), row["url_key"])
    group_images(made, [[small, large]], True)

    def found() -> dict[str, float]:
        return {row.image_id: row.score for row in measure_quality(made, QualityThresholds()) if row.finding == "thumbnail"}

    assert found() == {announced: 0.08, small: 0.5, bare: 0.0}
    group_images(made, [[large, small]])
    assert found() == {announced: 0.08, bare: 0.0}


def test_a_broken_file_is_a_finding(workspace: tuple[Workspace, dict[str, str]]) -> None:
    """Damage to the store is told, not a crash."""
    made, kinds = workspace
    victim = next(image_id for image_id, kind in kinds.items() if kind == "good3")
    with Catalog.open(made) as catalog:
        image = catalog.images.get(victim)
    assert image is not None
    whole = (made.root / image.path).read_bytes()
    (made.root / image.path).write_bytes(b"broken")
    findings = measure_quality(made, QualityThresholds())
    assert (findings[0].image_id, findings[0].finding) == (victim, "corrupt")
    (made.root / image.path).write_bytes(whole)
    assert all(finding.image_id != victim for finding in measure_quality(made, QualityThresholds())), "it was looked at again"


def test_a_file_that_lost_its_pixels_and_not_its_length_is_found_after_a_dedup(
    workspace: tuple[Workspace, dict[str, str]],
) -> None:
    """Which reads every file, and tells to check."""
    made, kinds = workspace
    measure_quality(made, QualityThresholds())
    victim = next(image_id for image_id, kind in kinds.items() if kind == "good3")
    with Catalog.open(made) as catalog:
        image = catalog.images.get(victim)
    assert image is not None
    (made.root / image.path).write_bytes(bytes(image.bytes))
    dedup(made)
    findings = measure_quality(made, QualityThresholds())
    assert (findings[0].image_id, findings[0].finding) == (victim, "corrupt")


def test_queues_follow_the_last_check(workspace: tuple[Workspace, dict[str, str]]) -> None:
    """What a person has told the check, a review shows; neither measures sizes by what is rejected."""
    made, kinds = workspace
    rest = [image_id for image_id, kind in kinds.items() if kind != "odd-size"]
    reject_images(made, rest, "drawing")
    (odd,) = kinds.keys() - {*rest}
    measure_quality(made, QualityThresholds())
    with Catalog.open(made) as catalog:
        assert "odd-size" not in list_findings_by_image(catalog).get(odd, ()), "it is as large as what is left"
    restore_images(made, rest)
    for limits, named in ((QualityThresholds(blurry=0.0), False), (QualityThresholds(), True)):
        measure_quality(made, limits)
        with Catalog.open(made) as catalog:
            found = {kinds[image_id]: names for image_id, names in list_findings_by_image(catalog).items()}
        assert ("blurry" in found.get("blurry", ())) is named


def test_grey_levels_at_hand_score_as_the_image_does() -> None:
    """One grey image serves the hash and the scores; a blur lowers sharpness and nothing else much."""
    image = scene(3)
    scores = quality(image)
    assert quality(grey_levels(image)) == scores
    blurred = quality(image.filter(ImageFilter.GaussianBlur(2)))
    assert blurred["sharpness"] < QualityThresholds().blurry < scores["sharpness"]
    assert abs(blurred["brightness"] - scores["brightness"]) < 0.01


def test_photographs_have_no_findings_and_blurred_ones_have(grocery: Path) -> None:
    """The limits on real photographs: none of 300 found, all found once they are blurred by two pixels."""
    for path in sorted(grocery.rglob("*.jpg"))[::10]:
        photograph = decode(path)
        scores = quality(photograph)
        assert scores["sharpness"] >= QualityThresholds().blurry, path.name
        assert scores["highlights"] >= QualityThresholds().dark and scores["shadows"] <= QualityThresholds().light, path.name
        assert scores["border"] <= QualityThresholds().border and scores["entropy"] >= QualityThresholds().low_information, (
            path.name
        )
        assert quality(photograph.filter(ImageFilter.GaussianBlur(2)))["sharpness"] < QualityThresholds().blurry, path.name


def test_wrong_limits_are_one_line(workspace: tuple[Workspace, dict[str, str]], fototeca: Callable[..., object]) -> None:
    """A share beyond 1 is refused; the command prints JSON alone."""
    with pytest.raises(FototecaError, match="blurry"):
        QualityThresholds(blurry=2.0)
    done = fototeca("curate", "quality", "--json", cwd=workspace[0].root)
    assert {"image_id", "finding", "score", "label"} == set(json.loads(done.stdout)[0])  # type: ignore[attr-defined]


def test_queues(workspace: tuple[Workspace, dict[str, str]]) -> None:
    """An image found under two categories, one that two people disagree about, and what nobody has reviewed."""
    made, kinds = workspace
    ids = {kind: image_id for image_id, kind in kinds.items()}
    with Catalog.open(made) as catalog:
        candidate = catalog.database.connection.execute(
            "SELECT url, url_key FROM candidates WHERE image_id = ?", (ids["good0"],)
        ).fetchone()
        catalog.candidates.add(Provenance(candidate["url"], "site", "b"), candidate["url_key"])
        catalog.decisions.add(ids["good1"], Edit.relabel("a"), by=Actor.person("first"))
        catalog.decisions.add(ids["good1"], Edit.relabel("b"), by=Actor.person("second"))
        items = {item.image.image_id: item for item in list_review_items(catalog, made.settings.names, {})}
    assert CONFLICT in items[ids["good0"]].queues
    assert items[ids["good0"]].other_categories == ("b",)
    assert DISAGREED in items[ids["good1"]].queues
    assert UNREVIEWED not in items[ids["good1"]].queues
    assert items[ids["good2"]].queues == (UNREVIEWED,)
