"""Near-duplicates: found whatever was done to the copy, never among strangers; the best copy is kept, ids last."""

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
from fototeca.collect.files.local_files import LabelSource
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup, find_known_duplicates
from fototeca.curate.duplicates.clustering import name_groups
from fototeca.curate.duplicates.listing import list_groups
from fototeca.curate.duplicates.signatures import read_signatures
from fototeca.curate.export.datasheet import known_issues
from fototeca.curate.labels.decisions import label_images, reject_images, restore_images
from fototeca.curate.manifest import read_manifest
from fototeca.curate.review.queues import CONFLICT, list_review_items
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version

ImageEdit = Callable[[Image.Image], Image.Image]
Rights = dict[str, str]


def crop(image: Image.Image, share: float, across: float = 0.5, down: float = 0.5) -> Image.Image:
    """The image without a share of each side, cut where `across` and `down` say."""
    width, height = image.size
    left, top = int(width * share * across), int(height * share * down)
    return image.crop((left, top, left + int(width * (1 - share)), top + int(height * (1 - share))))


def recompressed(image: Image.Image) -> Image.Image:
    """Through a JPEG of low quality."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=30)
    return Image.open(data).convert("RGB")


EDITS: dict[str, ImageEdit] = {
    "smaller": lambda p: p.resize((p.width // 2, p.height // 2)),
    "squeezed": lambda p: p.resize((p.width, p.height * 4 // 5)),
    "recompressed": recompressed,
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.3),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.6),
    "grey": lambda p: p.convert("L").convert("RGB"),
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
    """An image with detail at every scale, as photographs have; each seed gives a stranger."""
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
    """Collect a folder; the image id of each file by its name."""
    collect_folder(workspace, folder, LabelSource(category=category), FetchOptions())
    with Catalog.open(workspace) as catalog:
        rows = catalog.database.connection.execute("SELECT url, image_id FROM candidates WHERE image_id IS NOT NULL")
        return {Path(row["url"]).name: row["image_id"] for row in rows}


def by_group(workspace: Workspace) -> dict[str, list[dict[str, object]]]:
    """The rows of `curate groups` by group."""
    groups: dict[str, list[dict[str, object]]] = {}
    for row in list_groups(workspace):
        groups.setdefault(row["group"], []).append(dict(row))
    return groups


def test_every_edit_is_found_and_no_stranger(workspace: Workspace, tmp_path: Path) -> None:
    """Each edited copy joins its original; twelve strangers stay alone; what was done is named."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(12):
        photograph(100 + seed).save(folder / f"stranger{seed}.png")
    for seed, (name, edit) in enumerate(EDITS.items()):
        original = photograph(seed)
        original.save(folder / f"{name}-original.png")
        edit(original).save(folder / f"{name}-copy.png")
    ids = store(workspace, folder)
    result = dedup(workspace)
    assert result.to_json() == {"images": 12 + 2 * len(EDITS), "groups": len(EDITS), "set_aside": len(EDITS)}
    place = {row["image_id"]: row for row in list_groups(workspace)}
    for name in EDITS:
        first, second = place[ids[f"{name}-original.png"]], place[ids[f"{name}-copy.png"]]
        assert first["group"] == second["group"], name
    reasons = {name: {place[ids[f"{name}-{part}.png"]]["reason"] for part in ("original", "copy")} for name in EDITS}
    assert reasons["mirrored"] == {"best", "mirrored"}
    assert reasons["upside-down"] == {"best", "flipped"}
    assert reasons["rotated"] == {"best", "turned"}
    assert reasons["framed"] == {"best", "bordered"}
    assert reasons["cropped"] == {"best", "cropped"}


def test_same_shape_other_colour_is_a_stranger(workspace: Workspace, tmp_path: Path) -> None:
    """Two images with one luminance but other colours are not copies."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(1)
    hsv = original.convert("HSV").split()
    turned = Image.merge("HSV", (hsv[0].point(lambda hue: (hue + 128) % 256), hsv[1], hsv[2]))
    original.save(folder / "a.png")
    turned.convert("RGB").save(folder / "b.png")
    store(workspace, folder)
    assert dedup(workspace).groups == 0


def test_flat_images_are_judged_by_pixels(workspace: Workspace, tmp_path: Path) -> None:
    """Plain surfaces, whose hashes collide, are copies only if their colours are the same."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, colour in {"white": (250, 250, 250), "cream": (250, 240, 220), "sky": (90, 160, 230)}.items():
        Image.new("RGB", (200, 150), colour).save(folder / f"{name}.png")
    Image.new("RGB", (100, 75), (251, 250, 249)).save(folder / "white-again.png")
    ids = store(workspace, folder)
    assert dedup(workspace).to_json() == {"images": 4, "groups": 1, "set_aside": 1}
    assert {row["image_id"] for row in list_groups(workspace)} == {ids["white.png"], ids["white-again.png"]}


def test_equal_pixels_are_those_that_are_seen(workspace: Workspace, tmp_path: Path) -> None:
    """Turned by EXIF and turned in the file is one image; the same greys in another mode are a near copy, not an equal one."""
    folder = tmp_path / "in"
    folder.mkdir()
    upright, grey = photograph(7), photograph(8).convert("L")
    upright.save(folder / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° to the right
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=exif)
    grey.save(folder / "grey.png")
    grey.convert("RGB").save(folder / "grey-as-colour.png")
    ids = store(workspace, folder)
    dedup(workspace)
    told = {row["image_id"]: row["reason"] for row in list_groups(workspace)}
    assert {told[ids["upright.png"]], told[ids["turned.png"]]} == {"best", "pixels"}
    assert {told[ids["grey.png"]], told[ids["grey-as-colour.png"]]} == {"best", "near"}


def test_best_copy_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    """More pixels first; then lossless; a word on a copy that is set aside does not put it in the place of the better one."""
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
        catalog.decisions.add(ids["c.png"], Edit.relabel("b"), by=Actor.person("tester"))
    dedup(workspace)
    rows = list_groups(workspace)
    assert [row["image_id"] for row in rows if row["kept"]] == [ids["b.png"]]
    assert rows[0]["image_id"] == ids["b.png"], "the kept copy comes first"
    with Catalog.open(workspace) as catalog:
        waiting = {item.image.image_id for item in list_review_items(catalog, ["a", "b"], {}) if CONFLICT in item.queues}
    assert ids["b.png"] in waiting, "and is to be looked at: the other was given another label"


def test_the_less_compressed_copy_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    """Of JPEGs of one size the one with more bytes, whichever came first."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(6):
        for quality in ((95, 40), (40, 95))[seed % 2]:
            photograph(seed).save(folder / f"{seed}-{quality}.jpg", quality=quality)
    ids = store(workspace, folder)
    dedup(workspace)
    kept = {row["image_id"] for row in list_groups(workspace) if row["kept"]}
    assert kept == {ids[f"{seed}-95.jpg"] for seed in range(6)}


@pytest.mark.parametrize("rights", [{"license": "MIT"}, {"author": "Eva"}, {"page_url": "https://e.org/7"}])
def test_of_equal_copies_the_one_whose_source_is_known_is_kept(workspace: Workspace, tmp_path: Path, rights: Rights) -> None:
    """Two files of one length and the same pixels: by a licence, an author or a page, whichever of them has it."""
    folder = tmp_path / "in"
    folder.mkdir()
    photograph(5).save(folder / "a.png")
    data = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(data + b"a")
    (folder / "b.png").write_bytes(data + b"b")
    ids = store(workspace, folder)
    later = max(ids.values())  # the smaller id is kept where nothing else tells them apart
    with Catalog.open(workspace) as catalog:
        (place,) = catalog.provenance.of_image(later)
        catalog.candidates.add(replace(place, source="site", **rights), place.url)
    dedup(workspace)
    assert [row["image_id"] for row in list_groups(workspace) if row["kept"]] == [later]


def test_a_copy_that_somebody_decided_on_is_kept_when_a_better_one_comes(workspace: Workspace, tmp_path: Path) -> None:
    """What a person looked at stays in the dataset, whatever is collected afterwards."""
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


def test_a_version_tells_of_images_that_lost_their_copy(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy kept is rejected for its quality and no search has put another one in its place yet: neither is in."""
    two_categories(workspace, tmp_path / "in", 12, {"whole": lambda p: p, "half": lambda p: p.resize((160, 120))})
    dedup(workspace)
    kept = next(row["image_id"] for row in list_groups(workspace) if row["kept"])
    reject_images(workspace, [kept], "bad-quality")
    assert len(freeze_version(workspace).manifest.rows) == 11
    told = capsys.readouterr().err
    assert "warning: 1 duplicate groups have no accepted image, because the copy was rejected as bad-quality" in told
    dedup(workspace)
    assert len(freeze_version(workspace).manifest.rows) == 12
    assert "rejected as bad-quality" not in capsys.readouterr().err


def test_a_copy_that_was_brought_back_does_not_push_out_the_better_one(workspace: Workspace, tmp_path: Path) -> None:
    """Who restores a set-aside copy wants both: the best stays, whenever duplicates are looked for again."""
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


@pytest.mark.parametrize(("reason", "kept"), [("bad-quality", "large.png"), ("off-topic", "small.png")])
def test_a_rejected_copy(workspace: Workspace, tmp_path: Path, reason: str, kept: str) -> None:
    """Rejected for its quality it makes way for a better copy; rejected for what it shows it keeps its copies out."""
    folder = tmp_path / "in"
    folder.mkdir()
    photograph(5).resize((160, 120)).save(folder / "small.png")
    ids = store(workspace, folder)
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(ids["small.png"], Edit.reject(reason), by=Actor.person("tester"))
    photograph(5).save(folder / "large.png")
    ids = store(workspace, folder)
    dedup(workspace)
    assert [row["image_id"] for row in list_groups(workspace) if row["kept"]] == [ids[kept]]


def two_categories(workspace: Workspace, folder: Path, images: int, edits: Mapping[str, ImageEdit]) -> dict[str, str]:
    """Collect edited copies of as many strangers, half of them under each category; image ids by `NUMBER-EDIT`."""
    ids = {}
    for number in range(images):
        inside = folder / "ab"[number % 2]
        inside.mkdir(parents=True, exist_ok=True)
        for name, edit in edits.items():
            edit(photograph(number)).save(inside / f"{number}-{name}.png")
    for category in "ab":
        ids.update(store(workspace, folder / category, category))
    return {name.removesuffix(".png"): image_id for name, image_id in ids.items()}


def test_neither_review_nor_version_changes_a_group(workspace: Workspace, tmp_path: Path) -> None:
    """Two far cuts of each original, alike to it and hardly to one another: one is in a version and looked at before the others
    come; the groups are those around the originals all the same, and stay so after more reviews and another version."""
    two_categories(workspace, tmp_path / "first", 12, {"left": lambda p: crop(p, 0.1, 0, 0)})
    with Catalog.open(workspace) as catalog:
        for image in catalog.images.all():
            catalog.decisions.add(image.image_id, Edit.relabel(image.label), by=Actor.person("ana"))
    dedup(workspace)
    freeze_version(workspace)
    ids = two_categories(workspace, tmp_path / "more", 12, {"whole": lambda p: p, "right": lambda p: crop(p, 0.1, 1, 1)})
    dedup(workspace)
    before = {row["image_id"]: row["group"] for row in list_groups(workspace)}
    assert sorted(Counter(before.values()).values()) == [3] * 12
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(ids["0-right"], Edit.relabel("a"), by=Actor.person("ana"))
    freeze_version(workspace)
    dedup(workspace)
    assert {row["image_id"]: row["group"] for row in list_groups(workspace)} == before


def test_what_was_in_test_stays(workspace: Workspace, tmp_path: Path) -> None:
    """Copies that a version had in test before duplicates were looked for are all kept, two of one group too."""
    halves = {str(size): lambda p, size=size: p.resize((size, size)) for size in (100, 140, 180, 220)}
    two_categories(workspace, tmp_path / "in", 12, halves)
    held_out = {row.image_id for row in freeze_version(workspace).manifest.split("test")}
    dedup(workspace)
    rows = list_groups(workspace)
    assert max(Counter(row["group"] for row in rows if row["image_id"] in held_out).values()) > 1
    assert held_out <= {row["image_id"] for row in rows if row["kept"]}


def test_no_split_parts_a_verified_pair(workspace: Workspace, tmp_path: Path) -> None:
    """A chain of cuts makes several groups; all of it is in one split, and stays so when the version is made again."""
    folder = tmp_path / "chain"
    folder.mkdir()
    image = photograph(9, (640, 480))
    for number in range(6):
        image.save(folder / f"{number}.png")
        image = crop(image, 0.1)
    ids = set(store(workspace, folder).values())
    two_categories(workspace, tmp_path / "others", 20, {"whole": lambda p: p})
    dedup(workspace, keep_near=True)
    assert len({row["group"] for row in list_groups(workspace)}) > 1
    manifest = freeze_version(workspace).manifest
    assert len({row.split for row in manifest.rows if row.image_id in ids}) == 1
    assert len({row.group for row in manifest.rows if row.image_id in ids}) == 1
    assert rebuild_version(workspace, "v001")


def test_freezing_tells_what_was_not_searched(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Copies that came after the last search: a warning with their number, in the version's facts and known issues too."""
    two_categories(workspace, tmp_path / "in", 6, {"whole": lambda p: p})
    dedup(workspace)
    assert freeze_version(workspace).manifest.unsearched == 0
    two_categories(workspace, tmp_path / "late", 6, {"small": lambda p: p.resize((100, 75))})
    frozen = freeze_version(workspace)
    assert read_manifest(workspace, "v002").unsearched == frozen.manifest.unsearched == 6
    assert "6 images were not in the last search" in capsys.readouterr().err
    assert any("6 images were not searched" in issue for issue in known_issues(frozen.manifest))


def test_equal_pixels_keep_near(workspace: Workspace, tmp_path: Path) -> None:
    """With keep-near only copies of equal pixels are set aside; the near ones stay, in one group with the others."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(5)
    original.save(folder / "a.png")
    original.save(folder / "b.bmp")
    original.resize((160, 120)).save(folder / "c.png")
    ids = store(workspace, folder)
    assert dedup(workspace).to_json() == {"images": 3, "groups": 1, "set_aside": 2}
    assert {row["reason"] for row in list_groups(workspace)} == {"best", "pixels", "near"}
    assert dedup(workspace, keep_near=True).to_json() == {"images": 3, "groups": 1, "set_aside": 1}
    assert ids["c.png"] in {row["image_id"] for row in list_groups(workspace) if row["kept"]}


def test_ids_last_and_chains_are_cut(workspace: Workspace, tmp_path: Path) -> None:
    """A group keeps its id when copies come; a chain of ever narrower cuts is no single group."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(9, (640, 480))
    original.save(folder / "0.png")
    crop(original, 0.1).save(folder / "1.png")
    store(workspace, folder)
    dedup(workspace)
    before = by_group(workspace)
    assert len(before) == 1
    image = crop(original, 0.1)
    for number in range(2, 6):
        image = crop(image, 0.1)
        image.save(folder / f"{number}.png")
    ids = store(workspace, folder)
    dedup(workspace)
    after = by_group(workspace)
    assert next(iter(before)) in after
    assert all(ids["0.png"] not in {row["image_id"] for row in rows} or len(rows) < 6 for rows in after.values())
    assert dedup(workspace) == dedup(workspace)
    assert by_group(workspace) == after, "the same images give the same groups"


def test_new_images_against_known(workspace: Workspace, tmp_path: Path) -> None:
    """A new image is recognised as a copy, in both directions of a cut; a stranger and a broken file are not."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(3)
    original.save(folder / "known.png")
    ids = store(workspace, folder)
    new = [tmp_path / f"{name}.png" for name in ("cut", "wider", "same", "stranger", "broken")]
    crop(original, 0.1).save(new[0])
    ImageOps.expand(original, 24, "white").save(new[1])
    original.save(new[2])
    photograph(4).save(new[3])
    new[4].write_bytes(b"no image")
    with Catalog.open(workspace) as catalog:
        known = catalog.images.all()
    found = find_known_duplicates(workspace, [blob for _, blob in read_signatures(new)], known)
    assert [near.image_id if near else None for near in found] == [ids["known.png"]] * 3 + [None, None]
    assert found[2] is not None and found[2].distance == 0


def test_commands(workspace: Workspace, tmp_path: Path, fototeca: Callable[..., object]) -> None:
    """`dedup --json` and `groups --csv` speak as the design says; a silly threshold is one line and exit 2."""
    folder = tmp_path / "in"
    folder.mkdir()
    photograph(3).save(folder / "a.png")
    photograph(3).resize((160, 120)).save(folder / "b.png")
    store(workspace, folder)
    run = fototeca("curate", "dedup", "--json", cwd=workspace.root)
    assert json.loads(run.stdout) == {"images": 2, "groups": 1, "set_aside": 1}  # type: ignore[attr-defined]
    fototeca("curate", "groups", "--csv", "g.csv", cwd=workspace.root)
    lines = (workspace.root / "g.csv").read_text().splitlines()
    assert lines[0] == "image_id,group,kept,reason,distance,label,source"
    assert len(lines) == 3
    with pytest.raises(FototecaError) as error:
        dedup(workspace, threshold=40)
    assert error.value.exit_code == 2


def test_every_group_has_a_name() -> None:
    """Where all short names are other groups' from before, a longer one is taken."""
    ids = {name: name * 64 for name in "abcdxyzw"}
    before = {ids["x"]: "a" * 12, ids["y"]: "a" * 12, ids["z"]: "b" * 12, ids["w"]: "b" * 12}
    names = name_groups([[ids["x"], ids["y"]], [ids["z"], ids["w"]], [ids["a"], ids["b"]]], before)
    assert names == ["a" * 12, "b" * 12, "a" * 13]
