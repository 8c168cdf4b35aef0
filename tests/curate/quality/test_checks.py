"""Tests for `curate quality` findings and the review queues that use them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from fototeca.collect.catalog import Actor, Catalog, Edit, Provenance
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.labels.decisions import reject_images
from fototeca.curate.quality.checks import list_findings_by_image, measure_quality
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.curate.review.apart import restore_images
from fototeca.curate.review.queues import CONFLICT, DISAGREED, UNREVIEWED, list_review_items
from fototeca.vision.image import decode, grey_levels
from fototeca.vision.quality import quality


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Return an image with detail at every scale and even brightness."""
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
def quality_dataset(tmp_path: Path) -> tuple[Workspace, dict[str, str]]:
    """Twelve good images and one image per kind of defect: the workspace, and the kind by image id."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(12):
        scene(seed).save(folder / f"good{seed}.png")
    for seed, (kind, degrade) in enumerate(BAD.items(), 50):
        degrade(scene(seed)).save(folder / f"{kind}.png")
    workspace = create_workspace(tmp_path / "w", ["a", "b"], target=10)
    collect_folder(workspace, folder, FolderOptions(category="a"), FetchOptions())
    with Catalog.open(workspace) as catalog:
        rows = catalog.database.connection.execute("SELECT url, image_id FROM candidates WHERE image_id IS NOT NULL")
        return workspace, {row["image_id"]: Path(row["url"]).stem for row in rows}


def test_each_defect_is_found_and_good_images_pass(quality_dataset: tuple[Workspace, dict[str, str]]) -> None:
    """Every degraded image has its finding, good images have none, and a limit can be changed."""
    workspace, kinds = quality_dataset
    findings = defaultdict(set)
    for finding in measure_quality(workspace, QualityThresholds()):
        findings[kinds[finding.image_id]].add(finding.finding)
    assert not [name for name in findings if name.startswith("good")]
    assert all(kind in findings[kind] for kind in BAD), dict(findings)
    default = measure_quality(workspace, QualityThresholds())
    assert measure_quality(workspace, QualityThresholds(blurry=0.0)) != default, "thresholds apply"
    assert not [finding for finding in measure_quality(workspace, QualityThresholds(blurry=0.0)) if finding.finding == "blurry"]


def test_thumbnails_are_found(tmp_path: Path, add_images: Callable[..., list[str]], group_images: Callable[..., None]) -> None:
    """Images smaller than announced or than a copy, or known only as thumbnails, are found; crops and duplicates are not."""
    workspace = create_workspace(tmp_path / "t", ["a", "b"], target=10)
    announced, cropped, small, large, thumbnail_only, two_sources = add_images(workspace, ["a"] * 6)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        sql = catalog.database.connection
        of_image = "WHERE candidate_id = (SELECT candidate_id FROM candidates WHERE image_id = ?)"
        sql.execute(f"UPDATE provenance SET width = 600, height = 800 {of_image}", (announced,))
        sql.execute(f"UPDATE provenance SET width = 640, height = 640 {of_image}", (cropped,))
        sql.execute("UPDATE images SET width = 128, height = 96 WHERE image_id = ?", (large,))
        for image_id in (thumbnail_only, two_sources):
            sql.execute(f"UPDATE provenance SET thumbnail = 1 {of_image}", (image_id,))
        row = sql.execute("SELECT url, url_key FROM candidates WHERE image_id = ?", (two_sources,)).fetchone()
        catalog.candidates.add(Provenance(row["url"], "elsewhere", "a"), row["url_key"])
    group_images(workspace, [[small, large]], True)

    def thumbnail_scores() -> dict[str, float]:
        return {row.image_id: row.score for row in measure_quality(workspace, QualityThresholds()) if row.finding == "thumbnail"}

    assert thumbnail_scores() == {announced: 0.08, small: 0.5, thumbnail_only: 0.0}
    group_images(workspace, [[large, small]])
    assert thumbnail_scores() == {announced: 0.08, thumbnail_only: 0.0}


def test_corrupt_file_is_a_finding(quality_dataset: tuple[Workspace, dict[str, str]]) -> None:
    """A damaged file is reported as corrupt, and checked again once it is restored."""
    workspace, kinds = quality_dataset
    damaged_id = next(image_id for image_id, kind in kinds.items() if kind == "good3")
    with Catalog.open(workspace) as catalog:
        image = catalog.images.get(damaged_id)
    assert image is not None
    content = (workspace.root / image.path).read_bytes()
    (workspace.root / image.path).write_bytes(b"broken")
    findings = measure_quality(workspace, QualityThresholds())
    assert (findings[0].image_id, findings[0].finding) == (damaged_id, "corrupt")
    (workspace.root / image.path).write_bytes(content)
    assert all(finding.image_id != damaged_id for finding in measure_quality(workspace, QualityThresholds())), (
        "the restored file is checked again"
    )


def test_zeroed_file_is_found_after_dedup(
    quality_dataset: tuple[Workspace, dict[str, str]],
) -> None:
    """Dedup reads every file, so the next check finds a file that was overwritten with zeros of the same length."""
    workspace, kinds = quality_dataset
    measure_quality(workspace, QualityThresholds())
    damaged_id = next(image_id for image_id, kind in kinds.items() if kind == "good3")
    with Catalog.open(workspace) as catalog:
        image = catalog.images.get(damaged_id)
    assert image is not None
    (workspace.root / image.path).write_bytes(bytes(image.bytes))
    dedup(workspace)
    findings = measure_quality(workspace, QualityThresholds())
    assert (findings[0].image_id, findings[0].finding) == (damaged_id, "corrupt")


def test_queues_follow_the_last_check(quality_dataset: tuple[Workspace, dict[str, str]]) -> None:
    """Findings use the thresholds of the last check; rejected images do not count toward the typical size."""
    workspace, kinds = quality_dataset
    others = [image_id for image_id, kind in kinds.items() if kind != "odd-size"]
    reject_images(workspace, others, "drawing")
    (odd_size,) = kinds.keys() - {*others}
    measure_quality(workspace, QualityThresholds())
    with Catalog.open(workspace) as catalog:
        assert "odd-size" not in list_findings_by_image(catalog).get(odd_size, ()), "no other image is accepted"
    restore_images(workspace, others)
    for limits, is_listed in ((QualityThresholds(blurry=0.0), False), (QualityThresholds(), True)):
        measure_quality(workspace, limits)
        with Catalog.open(workspace) as catalog:
            findings = {kinds[image_id]: names for image_id, names in list_findings_by_image(catalog).items()}
        assert ("blurry" in findings.get("blurry", ())) is is_listed


def test_gray_levels_give_the_same_scores() -> None:
    """Scores from precomputed gray levels equal those of the image; blur lowers sharpness and keeps brightness."""
    image = scene(3)
    scores = quality(image)
    assert quality(grey_levels(image)) == scores
    blurred = quality(image.filter(ImageFilter.GaussianBlur(2)))
    assert blurred["sharpness"] < QualityThresholds().blurry < scores["sharpness"]
    assert abs(blurred["brightness"] - scores["brightness"]) < 0.01


def test_default_thresholds_on_photographs(grocery: Path) -> None:
    """None of 300 photographs has a finding, and each is blurry after a Gaussian blur of two pixels."""
    for path in sorted(grocery.rglob("*.jpg"))[::10]:
        photograph = decode(path)
        scores = quality(photograph)
        assert scores["sharpness"] >= QualityThresholds().blurry, path.name
        assert scores["highlights"] >= QualityThresholds().dark and scores["shadows"] <= QualityThresholds().light, path.name
        assert scores["border"] <= QualityThresholds().border and scores["entropy"] >= QualityThresholds().low_information, (
            path.name
        )
        assert quality(photograph.filter(ImageFilter.GaussianBlur(2)))["sharpness"] < QualityThresholds().blurry, path.name


def test_invalid_threshold_and_json_output(
    quality_dataset: tuple[Workspace, dict[str, str]], fototeca: Callable[..., object]
) -> None:
    """A threshold above 1 is rejected, and `--json` prints the findings alone."""
    with pytest.raises(FototecaError, match="blurry"):
        QualityThresholds(blurry=2.0)
    result = fototeca("curate", "quality", "--json", cwd=quality_dataset[0].root)
    assert {"image_id", "finding", "score", "label", "file_name"} == set(json.loads(result.stdout)[0])  # type: ignore[attr-defined]


def test_conflict_disagreement_and_unreviewed_queues(quality_dataset: tuple[Workspace, dict[str, str]]) -> None:
    """Images found under two categories, images with disagreeing reviewers and unreviewed images are queued."""
    workspace, kinds = quality_dataset
    ids = {kind: image_id for image_id, kind in kinds.items()}
    with Catalog.open(workspace) as catalog:
        candidate = catalog.database.connection.execute(
            "SELECT url, url_key FROM candidates WHERE image_id = ?", (ids["good0"],)
        ).fetchone()
        catalog.candidates.add(Provenance(candidate["url"], "site", "b"), candidate["url_key"])
        catalog.decisions.add(ids["good1"], Edit.relabel("a"), by=Actor.person("first"))
        catalog.decisions.add(ids["good1"], Edit.relabel("b"), by=Actor.person("second"))
        items = {item.image.image_id: item for item in list_review_items(catalog, workspace.settings.names, {})}
    assert CONFLICT in items[ids["good0"]].queues
    assert items[ids["good0"]].other_categories == ("b",)
    assert DISAGREED in items[ids["good1"]].queues
    assert UNREVIEWED not in items[ids["good1"]].queues
    assert items[ids["good2"]].queues == (UNREVIEWED,)
