"""Near-duplicates: found whatever was done to the copy, never among strangers; the best copy is kept, ids last."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from collect.catalog import Catalog
from collect.download import FetchOptions
from collect.folder import collect_folder
from collect.local import Labelling
from curate.duplicates import dedup, find_near
from curate.groups import list_groups
from curate.signatures import read_pictures
from workspace import FototecaError, Workspace, create_workspace

Edit = Callable[[Image.Image], Image.Image]


def crop(picture: Image.Image, share: float, across: float = 0.5, down: float = 0.5) -> Image.Image:
    """The picture without a share of each side, cut where `across` and `down` say."""
    width, height = picture.size
    left, top = int(width * share * across), int(height * share * down)
    return picture.crop((left, top, left + int(width * (1 - share)), top + int(height * (1 - share))))


def recompressed(picture: Image.Image) -> Image.Image:
    """Through a JPEG of low quality."""
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=30)
    return Image.open(data).convert("RGB")


EDITS: dict[str, Edit] = {
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
    """A picture with detail at every scale, as photographs have; each seed gives a stranger."""
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
    collect_folder(workspace, folder, Labelling(category=category), FetchOptions())
    with Catalog.open(workspace) as catalog:
        rows = catalog.connection.execute("SELECT url, image_id FROM candidates WHERE image_id IS NOT NULL")
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
    facts = dedup(workspace)
    assert facts == {"images": 12 + 2 * len(EDITS), "groups": len(EDITS), "set_aside": len(EDITS)}
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
    """Two pictures with one luminance but other colours are not copies."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(1)
    hsv = original.convert("HSV").split()
    turned = Image.merge("HSV", (hsv[0].point(lambda hue: (hue + 128) % 256), hsv[1], hsv[2]))
    original.save(folder / "a.png")
    turned.convert("RGB").save(folder / "b.png")
    store(workspace, folder)
    assert dedup(workspace)["groups"] == 0


def test_flat_pictures_are_judged_by_pixels(workspace: Workspace, tmp_path: Path) -> None:
    """Plain surfaces, whose hashes collide, are copies only if their colours are the same."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, colour in {"white": (250, 250, 250), "cream": (250, 240, 220), "sky": (90, 160, 230)}.items():
        Image.new("RGB", (200, 150), colour).save(folder / f"{name}.png")
    Image.new("RGB", (100, 75), (251, 250, 249)).save(folder / "white-again.png")
    ids = store(workspace, folder)
    assert dedup(workspace) == {"images": 4, "groups": 1, "set_aside": 1}
    assert {row["image_id"] for row in list_groups(workspace)} == {ids["white.png"], ids["white-again.png"]}


def test_best_copy_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    """More pixels first; then lossless; a copy somebody decided on outranks both."""
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
        catalog.decide(ids["c.png"], "b", who="person:tester", why="")
    dedup(workspace)
    rows = list_groups(workspace)
    assert [row["image_id"] for row in rows if row["kept"]] == [ids["c.png"]]
    assert rows[0]["label"] == "b", "groups with two labels come first, the kept copy first in them"


def test_equal_pixels_keep_near(workspace: Workspace, tmp_path: Path) -> None:
    """With keep-near only copies of equal pixels are set aside; the near ones stay, in one group with the others."""
    folder = tmp_path / "in"
    folder.mkdir()
    original = photograph(5)
    original.save(folder / "a.png")
    original.save(folder / "b.bmp")
    original.resize((160, 120)).save(folder / "c.png")
    ids = store(workspace, folder)
    assert dedup(workspace) == {"images": 3, "groups": 1, "set_aside": 2}
    assert {row["reason"] for row in list_groups(workspace)} == {"best", "pixels", "near"}
    assert dedup(workspace, keep_near=True) == {"images": 3, "groups": 1, "set_aside": 1}
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
    picture = crop(original, 0.1)
    for number in range(2, 6):
        picture = crop(picture, 0.1)
        picture.save(folder / f"{number}.png")
    ids = store(workspace, folder)
    dedup(workspace)
    after = by_group(workspace)
    assert next(iter(before)) in after
    assert all(ids["0.png"] not in {row["image_id"] for row in rows} or len(rows) < 6 for rows in after.values())
    assert dedup(workspace) == dedup(workspace)
    assert by_group(workspace) == after, "the same pictures give the same groups"


def test_new_pictures_against_known(workspace: Workspace, tmp_path: Path) -> None:
    """A new picture is recognised as a copy, in both directions of a cut; a stranger and a broken file are not."""
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
    new[4].write_bytes(b"no picture")
    with Catalog.open(workspace) as catalog:
        known = catalog.images()
    found = find_near(workspace, [blob for _, blob in read_pictures(new)], known)
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
