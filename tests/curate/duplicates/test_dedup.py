"""Tests for near-duplicate search: detection under edits, choice of the representative, and stable group ids."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from fototeca.collect.catalog import Actor, Catalog, Edit
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import DedupResult, KnownImages, NewImage, dedup, sign_image
from fototeca.curate.duplicates.clustering import name_groups
from fototeca.curate.duplicates.listing import groups_table, list_groups
from fototeca.curate.export.datasheet import known_issues
from fototeca.curate.labels.decisions import label_images, reject_images
from fototeca.curate.manifest import read_manifest
from fototeca.curate.review.apart import restore_images
from fototeca.curate.review.queues import CONFLICT, list_review_items
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version

ImageEdit = Callable[[Image.Image], Image.Image]
Rights = dict[str, str]


def crop(image: Image.Image, share: float, across: float = 0.5, down: float = 0.5) -> Image.Image:
    """Remove a share of the width and height; `across` and `down` position the crop."""
    width, height = image.size
    left, top = int(width * share * across), int(height * share * down)
    return image.crop((left, top, left + int(width * (1 - share)), top + int(height * (1 - share))))


def recompress(image: Image.Image) -> Image.Image:
    """Return the image after low-quality JPEG compression."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=30)
    return Image.open(data).convert("RGB")


EDITS: dict[str, ImageEdit] = {
    "smaller": lambda p: p.resize((p.width // 2, p.height // 2)),
    "squeezed": lambda p: p.resize((p.width, p.height * 4 // 5)),
    "recompressed": recompress,
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.3),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.6),
    "gray": lambda p: p.convert("L").convert("RGB"),
    "vivid": lambda p: ImageEnhance.Color(p).enhance(1.6),
    "blurred": lambda p: p.filter(ImageFilter.GaussianBlur(2)),
    "sharpened": lambda p: p.filter(ImageFilter.UnsharpMask(2, 150)),
    "mirrored": ImageOps.mirror,
    "upside-down": ImageOps.flip,
    "rotated": lambda p: p.transpose(Image.Transpose.ROTATE_90),
    "cropped": lambda p: crop(p, 0.1, 0.3, 0.8),
    "framed": lambda p: ImageOps.expand(p, 20, "black"),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with one category."""
    return create_workspace(tmp_path / "w", ["a", "b"], target=100)


def photograph(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Return an image with detail at every scale; different seeds give unrelated images."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (height, height * 4 // 3, 3), dtype=np.uint8)).resize(
                size, Image.Resampling.BICUBIC
            ),
            dtype=np.float64,
        )
        for height in (3, 6, 12, 48)
    ]
    mixed = sum(layer * share for layer, share in zip(layers, (0.4, 0.3, 0.2, 0.1), strict=True))
    return Image.fromarray(np.clip((mixed - 128) * 1.6 + 128, 0, 255).astype(np.uint8))


def store(workspace: Workspace, folder: Path, category: str = "a") -> dict[str, str]:
    """Collect a folder and return the image id of each file name."""
    collect_folder(workspace, folder, FolderOptions(category=category), FetchOptions())
    with Catalog.open(workspace) as catalog:
        rows = catalog.database.connection.execute("SELECT url, image_id FROM candidates WHERE image_id IS NOT NULL")
        return {Path(row["url"]).name: row["image_id"] for row in rows}


def rows_by_group(workspace: Workspace) -> dict[str, list[dict[str, object]]]:
    """Return the rows of `curate groups`, grouped by group id."""
    groups: dict[str, list[dict[str, object]]] = {}
    for row in list_groups(workspace):
        groups.setdefault(row["group"], []).append(dict(row))
    return groups


def counts(result: DedupResult) -> tuple[int, int, int]:
    """Return the numbers of images, of groups and of images set aside."""
    return result.images, result.groups, result.set_aside


def test_edited_copies_are_grouped_and_unrelated_images_are_not(workspace: Workspace, tmp_path: Path) -> None:
    """Each edited copy joins its original with the transform as reason; unrelated images stay alone."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(12):
        photograph(100 + seed).save(folder / f"unrelated{seed}.png")
    for seed, (name, edit) in enumerate(EDITS.items()):
        original = photograph(seed)
        original.save(folder / f"{name}-original.png")
        edit(original).save(folder / f"{name}-copy.png")
    ids = store(workspace, folder)
    result = dedup(workspace)
    assert counts(result) == (12 + 2 * len(EDITS), len(EDITS), len(EDITS))
    rows = {row["image_id"]: row for row in list_groups(workspace)}
    for name in EDITS:
        first, second = rows[ids[f"{name}-original.png"]], rows[ids[f"{name}-copy.png"]]
        assert first["group"] == second["group"], name
    reasons = {name: {rows[ids[f"{name}-{part}.png"]]["reason"] for part in ("original", "copy")} for name in EDITS}
    assert reasons["mirrored"] == {"best", "mirrored"}
    assert reasons["upside-down"] == {"best", "flipped"}
    assert reasons["rotated"] == {"best", "turned"}
    assert reasons["framed"] == {"best", "bordered"}
    assert reasons["cropped"] == {"best", "cropped"}


def test_images_with_other_colors_are_not_duplicates(workspace: Workspace, tmp_path: Path) -> None:
    """Two images with equal luminance and different hues are not duplicates."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(1)
    hsv = original.convert("HSV").split()
    hue_shifted = Image.merge("HSV", (hsv[0].point(lambda hue: (hue + 128) % 256), hsv[1], hsv[2]))
    original.save(folder / "a.png")
    hue_shifted.convert("RGB").save(folder / "b.png")
    store(workspace, folder)
    assert dedup(workspace).groups == 0


def test_flat_images_are_compared_by_color(workspace: Workspace, tmp_path: Path) -> None:
    """Flat images, whose hashes collide, are duplicates only if their colors are equal."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, color in {"white": (250, 250, 250), "cream": (250, 240, 220), "sky": (90, 160, 230)}.items():
        Image.new("RGB", (200, 150), color).save(folder / f"{name}.png")
    Image.new("RGB", (100, 75), (251, 250, 249)).save(folder / "white-again.png")
    ids = store(workspace, folder)
    assert counts(dedup(workspace)) == (4, 1, 1)
    assert {row["image_id"] for row in list_groups(workspace)} == {ids["white.png"], ids["white-again.png"]}


def test_equal_pixels_after_exif_rotation(workspace: Workspace, tmp_path: Path) -> None:
    """EXIF rotation is applied before pixels are compared; a gray image stored as RGB is a near copy."""
    folder = tmp_path / "in"
    folder.mkdir()
    upright, gray = photograph(7), photograph(8).convert("L")
    upright.save(folder / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # displayed rotated by 90° clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=exif)
    gray.save(folder / "gray.png")
    gray.convert("RGB").save(folder / "gray-as-rgb.png")
    ids = store(workspace, folder)
    dedup(workspace)
    reasons = {row["image_id"]: row["reason"] for row in list_groups(workspace)}
    assert {reasons[ids["upright.png"]], reasons[ids["turned.png"]]} == {"best", "pixels"}
    assert {reasons[ids["gray.png"]], reasons[ids["gray-as-rgb.png"]]} == {"best", "near"}


def test_best_copy_is_the_representative(workspace: Workspace, tmp_path: Path) -> None:
    """More pixels rank first, then lossless formats; a decision about a set-aside copy does not change the order."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(5)
    original.save(folder / "a.jpg", quality=95)
    original.save(folder / "b.png")
    original.resize((160, 120)).save(folder / "c.png")
    ids = store(workspace, folder)
    dedup(workspace)
    assert [row["image_id"] for row in list_groups(workspace) if row["kept"]] == [ids["b.png"]]
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(ids["c.png"], Edit.relabel("a"), by=Actor.person("tester"))
    dedup(workspace)
    assert [row["image_id"] for row in list_groups(workspace) if row["kept"]] == [ids["b.png"]]


def test_copy_under_another_label_is_not_set_aside(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best image of each label stays for review; dedup and the list of groups state the conflict."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(5)
    original.save(folder / "a.png")
    original.resize((160, 120)).save(folder / "c.png")
    original.resize((200, 150)).save(folder / "d.png")
    ids = store(workspace, folder)
    with Catalog.open(workspace) as catalog:
        for name in ("c.png", "d.png"):
            catalog.decisions.add(ids[name], Edit.relabel("b"), by=Actor.person("tester"))
    dedup(workspace)
    assert "1 group of copies spans several categories: a 1" in capsys.readouterr().err
    rows = list_groups(workspace)
    assert {row["image_id"] for row in rows if row["kept"]} == {ids["a.png"], ids["d.png"]}
    assert "label conflict: a, b" in groups_table(rows)
    with Catalog.open(workspace) as catalog:
        conflicting = {item.image.image_id for item in list_review_items(catalog, ["a", "b"], {}) if CONFLICT in item.queues}
    assert conflicting == {ids["a.png"]}, "the image that nobody reviewed"


def test_less_compressed_copy_is_the_representative(workspace: Workspace, tmp_path: Path) -> None:
    """Of JPEGs with equal dimensions, the larger file is the representative, in any order of arrival."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(6):
        for quality in ((95, 40), (40, 95))[seed % 2]:
            photograph(seed).save(folder / f"{seed}-{quality}.jpg", quality=quality)
    ids = store(workspace, folder)
    dedup(workspace)
    representatives = {row["image_id"] for row in list_groups(workspace) if row["kept"]}
    assert representatives == {ids[f"{seed}-95.jpg"] for seed in range(6)}


@pytest.mark.parametrize("rights", [{"license": "MIT"}, {"author": "Eva"}, {"page_url": "https://e.org/7"}])
def test_copy_with_known_source_is_the_representative(workspace: Workspace, tmp_path: Path, rights: Rights) -> None:
    """Of files with equal length and pixels, a license, an author or a page decides."""
    folder = tmp_path / "in"
    folder.mkdir()
    photograph(5).save(folder / "a.png")
    data = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(data + b"a")
    (folder / "b.png").write_bytes(data + b"b")
    ids = store(workspace, folder)
    larger_id = max(ids.values())  # without a known source, the smaller id is the representative
    with Catalog.open(workspace) as catalog:
        (provenance,) = catalog.provenance.of_image(larger_id)
        catalog.candidates.add(replace(provenance, source="site", **rights), provenance.url)
    dedup(workspace)
    assert [row["image_id"] for row in list_groups(workspace) if row["kept"]] == [larger_id]


def test_reviewed_copy_stays_the_representative(workspace: Workspace, tmp_path: Path) -> None:
    """A reviewed copy stays in the dataset when a better copy is collected later."""
    folder = tmp_path / "in"
    folder.mkdir()
    photograph(5).resize((160, 120)).save(folder / "small.png")
    ids = store(workspace, folder)
    label_images(workspace, [ids["small.png"]], "a")
    photograph(5).save(folder / "large.png")
    ids = store(workspace, folder)
    for _ in range(2):
        dedup(workspace)
        assert [row["image_id"] for row in list_groups(workspace) if row["kept"]] == [ids["small.png"]]


def test_freeze_warns_of_groups_without_an_accepted_image(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Freeze warns of a group whose representative was rejected as bad-quality, until the next search replaces it."""
    add_edited_copies(workspace, tmp_path / "in", 12, {"whole": lambda p: p, "half": lambda p: p.resize((160, 120))})
    dedup(workspace)
    representative = next(row["image_id"] for row in list_groups(workspace) if row["kept"])
    reject_images(workspace, [representative], "bad-quality")
    assert len(freeze_version(workspace).manifest.rows) == 11
    warnings = capsys.readouterr().err
    assert "warning: 1 duplicate group has no accepted image, because the copy was rejected as bad-quality" in warnings
    dedup(workspace)
    assert len(freeze_version(workspace).manifest.rows) == 12
    assert "rejected as bad-quality" not in capsys.readouterr().err


def test_restored_copy_and_representative_are_both_accepted(workspace: Workspace, tmp_path: Path) -> None:
    """After a copy is restored, both images stay accepted in later searches."""
    folder = tmp_path / "in"
    folder.mkdir()
    photograph(5).save(folder / "large.png")
    photograph(5).resize((160, 120)).save(folder / "small.png")
    ids = store(workspace, folder)
    dedup(workspace)
    restore_images(workspace, [ids["small.png"]])
    for _ in range(2):
        dedup(workspace)
        with Catalog.open(workspace) as catalog:
            assert {image.status for image in catalog.images.all()} == {"accepted"}


@pytest.mark.parametrize(("reason", "representative"), [("bad-quality", "large.png"), ("off-topic", "small.png")])
def test_rejected_copy_by_reason(workspace: Workspace, tmp_path: Path, reason: str, representative: str) -> None:
    """A copy rejected for its quality is replaced by a better copy; one rejected for its content sets its copies aside."""
    folder = tmp_path / "in"
    folder.mkdir()
    photograph(5).resize((160, 120)).save(folder / "small.png")
    ids = store(workspace, folder)
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(ids["small.png"], Edit.reject(reason), by=Actor.person("tester"))
    photograph(5).save(folder / "large.png")
    ids = store(workspace, folder)
    dedup(workspace)
    assert [row["image_id"] for row in list_groups(workspace) if row["kept"]] == [ids[representative]]


def add_edited_copies(workspace: Workspace, folder: Path, images: int, edits: Mapping[str, ImageEdit]) -> dict[str, str]:
    """Collect edited copies of unrelated images, alternating between categories; return image ids by `NUMBER-EDIT`."""
    ids = {}
    for number in range(images):
        category_folder = folder / "ab"[number % 2]
        category_folder.mkdir(parents=True, exist_ok=True)
        for name, edit in edits.items():
            edit(photograph(number)).save(category_folder / f"{number}-{name}.png")
    for category in "ab":
        ids.update(store(workspace, folder / category, category))
    return {name.removesuffix(".png"): image_id for name, image_id in ids.items()}


def test_reviews_and_versions_do_not_change_groups(workspace: Workspace, tmp_path: Path) -> None:
    """Groups form around each original, independent of which crop was reviewed and frozen first, and stay the same later."""
    add_edited_copies(workspace, tmp_path / "first", 12, {"left": lambda p: crop(p, 0.1, 0, 0)})
    with Catalog.open(workspace) as catalog:
        for image in catalog.images.all():
            catalog.decisions.add(image.image_id, Edit.relabel(image.label), by=Actor.person("ana"))
    dedup(workspace)
    freeze_version(workspace)
    ids = add_edited_copies(workspace, tmp_path / "more", 12, {"whole": lambda p: p, "right": lambda p: crop(p, 0.1, 1, 1)})
    dedup(workspace)
    before = {row["image_id"]: row["group"] for row in list_groups(workspace)}
    assert sorted(Counter(before.values()).values()) == [3] * 12
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(ids["0-right"], Edit.relabel("a"), by=Actor.person("ana"))
    freeze_version(workspace)
    dedup(workspace)
    assert {row["image_id"]: row["group"] for row in list_groups(workspace)} == before


def test_frozen_test_images_stay_accepted(workspace: Workspace, tmp_path: Path) -> None:
    """All copies that a version has in the test split stay accepted, also two in one group."""
    resizes = {str(size): lambda p, size=size: p.resize((size, size)) for size in (100, 140, 180, 220)}
    add_edited_copies(workspace, tmp_path / "in", 12, resizes)
    held_out = {row.image_id for row in freeze_version(workspace).manifest.split("test")}
    dedup(workspace)
    rows = list_groups(workspace)
    assert max(Counter(row["group"] for row in rows if row["image_id"] in held_out).values()) > 1
    assert held_out <= {row["image_id"] for row in rows if row["kept"]}


def test_chained_copies_share_a_split(workspace: Workspace, tmp_path: Path) -> None:
    """A chain of crops forms several groups and one split unit, also when the version is rebuilt."""
    folder = tmp_path / "chain"
    folder.mkdir()
    image = photograph(9, (640, 480))
    for number in range(6):
        image.save(folder / f"{number}.png")
        image = crop(image, 0.1)
    ids = set(store(workspace, folder).values())
    add_edited_copies(workspace, tmp_path / "others", 20, {"whole": lambda p: p})
    dedup(workspace, keep_near=True)
    assert len({row["group"] for row in list_groups(workspace)}) > 1
    manifest = freeze_version(workspace).manifest
    assert len({row.split for row in manifest.rows if row.image_id in ids}) == 1
    assert len({row.group for row in manifest.rows if row.image_id in ids}) == 1
    assert rebuild_version(workspace, "v001")


def test_freeze_reports_images_not_searched(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images added after the last search are counted in a warning, in the metadata and in the known issues."""
    add_edited_copies(workspace, tmp_path / "in", 6, {"whole": lambda p: p})
    dedup(workspace)
    assert freeze_version(workspace).manifest.unsearched == 0
    add_edited_copies(workspace, tmp_path / "late", 6, {"small": lambda p: p.resize((100, 75))})
    frozen = freeze_version(workspace)
    assert read_manifest(workspace, "v002").unsearched == frozen.manifest.unsearched == 6
    assert "6 images were not in the last search" in capsys.readouterr().err
    assert any("6 images were not searched" in issue for issue in known_issues(frozen.manifest))


def test_keep_near_sets_aside_equal_pixels_only(workspace: Workspace, tmp_path: Path) -> None:
    """With keep_near, only copies with equal pixels are set aside; near copies stay accepted in the same group."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(5)
    original.save(folder / "a.png")
    original.save(folder / "b.bmp")
    original.resize((160, 120)).save(folder / "c.png")
    ids = store(workspace, folder)
    assert counts(dedup(workspace)) == (3, 1, 2)
    assert {row["reason"] for row in list_groups(workspace)} == {"best", "pixels", "near"}
    assert counts(dedup(workspace, keep_near=True)) == (3, 1, 1)
    assert ids["c.png"] in {row["image_id"] for row in list_groups(workspace) if row["kept"]}


def test_group_ids_are_stable_and_chains_are_cut(workspace: Workspace, tmp_path: Path) -> None:
    """A group retains its id when copies are added; a chain of ever narrower crops is not a single group."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(9, (640, 480))
    original.save(folder / "0.png")
    crop(original, 0.1).save(folder / "1.png")
    store(workspace, folder)
    dedup(workspace)
    before = rows_by_group(workspace)
    assert len(before) == 1
    image = crop(original, 0.1)
    for number in range(2, 6):
        image = crop(image, 0.1)
        image.save(folder / f"{number}.png")
    ids = store(workspace, folder)
    dedup(workspace)
    after = rows_by_group(workspace)
    assert next(iter(before)) in after
    assert all(ids["0.png"] not in {row["image_id"] for row in rows} or len(rows) < 6 for rows in after.values())
    assert dedup(workspace) == dedup(workspace)
    assert rows_by_group(workspace) == after, "the search is deterministic"


def test_new_images_are_matched_with_known_ones(workspace: Workspace, tmp_path: Path) -> None:
    """New images are matched with cataloged ones, cropped or extended; unrelated images are not."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(3)
    original.save(folder / "known.png")
    ids = store(workspace, folder)
    new = [tmp_path / f"{name}.png" for name in ("cut", "wider", "same", "stranger")]
    crop(original, 0.1).save(new[0])
    ImageOps.expand(original, 24, "white").save(new[1])
    original.save(new[2])
    photograph(4).save(new[3])
    with Catalog.open(workspace) as catalog:
        known = KnownImages(workspace, catalog.images.all())
    images = [Image.open(path).convert("RGB") for path in new]
    matches = known.find_duplicates([*(NewImage(image, sign_image(image, "RGB")) for image in images), None])
    assert [near.image_id if near else None for near in matches] == [ids["known.png"]] * 3 + [None, None]
    assert matches[2] is not None and matches[2].distance == 0


def test_dedup_and_groups_commands(workspace: Workspace, tmp_path: Path, fototeca: Callable[..., object]) -> None:
    """`dedup --json` and `groups --csv` have the documented fields; an invalid threshold exits with code 2."""
    folder = tmp_path / "in"
    folder.mkdir()
    photograph(3).save(folder / "a.png")
    photograph(3).resize((160, 120)).save(folder / "b.png")
    store(workspace, folder)
    run = fototeca("curate", "dedup", "--json", cwd=workspace.root)
    answer = json.loads(run.stdout)  # type: ignore[attr-defined]
    assert {name: answer[name] for name in ("images", "groups", "set_aside")} == {"images": 2, "groups": 1, "set_aside": 1}
    fototeca("curate", "groups", "--csv", "g.csv", cwd=workspace.root)
    lines = (workspace.root / "g.csv").read_text().splitlines()
    assert lines[0] == "image_id,group,kept,reason,distance,label,source,file_name,kind"
    assert len(lines) == 3
    with pytest.raises(FototecaError) as error:
        dedup(workspace, threshold=40)
    assert error.value.exit_code == 2


def test_group_names_are_unique() -> None:
    """A longer name is used if the short one belongs to an existing group."""
    ids = {name: name * 64 for name in "abcdxyzw"}
    before = {ids["x"]: "a" * 12, ids["y"]: "a" * 12, ids["z"]: "b" * 12, ids["w"]: "b" * 12}
    names = name_groups([[ids["x"], ids["y"]], [ids["z"], ids["w"]], [ids["a"], ids["b"]]], before)
    assert names == ["a" * 12, "b" * 12, "a" * 13]
