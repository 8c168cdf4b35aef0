"""Parquet files: labels, names, damaged and hostile files, and a dataset of a hub from end to end."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fototeca.collect.catalog import Catalog
from fototeca.collect.files.archives import unpack
from fototeca.collect.files.class_mapping import find_class_folders
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.hubs.import_dataset import import_dataset
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import Workspace
from tests.collect.hub_server import Hubs
from tests.servers import jpeg

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=5.0)
IMAGE = {"_type": "Image"}
PETS = {"names": ["cat", "dog"], "_type": "ClassLabel"}


def file_of(columns: dict[str, Any], features: object = None, **options: object) -> bytes:
    """Return a parquet file; `features` as the datasets library writes them."""
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    stream = io.BytesIO()
    parquet.write_table(table, stream, **options)
    return stream.getvalue()


def images(count: int, paths: Sequence[str | None] | None = None) -> list[dict[str, Any]]:
    """Return values of an image column."""
    return [{"bytes": jpeg(number), "path": paths[number] if paths else None} for number in range(count)]


def unpacked(tmp_path: Path, data: bytes) -> dict[str, bytes]:
    """Return the files that extracting writes, inside and outside the target folder."""
    (tmp_path / "in.parquet").write_bytes(data)
    unpack(tmp_path / "in.parquet", tmp_path / "out" / "folder", PassedOver())
    files = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    return {name.removeprefix("folder/"): path.read_bytes() for name, path in files.items()}


def test_class_label_names_become_folders(tmp_path: Path) -> None:
    """Indices become names; -1 and null are unlabeled; the bytes stay unchanged."""
    data = file_of({"image": images(4), "label": [0, 1, -1, None]}, {"image": IMAGE, "label": PETS})
    assert unpacked(tmp_path, data) == {
        "cat/000000.jpg": jpeg(0),
        "dog/000001.jpg": jpeg(1),
        "unlabeled/000002.jpg": jpeg(2),
        "unlabeled/000003.jpg": jpeg(3),
    }


@pytest.mark.parametrize(
    ("columns", "features", "folders"),
    [
        ({"label": ["cat", "dog"]}, None, ["cat", "dog"]),
        ({"Class": [3, 12]}, None, ["3", "12"]),
        ({"id": [3, 12]}, None, ["unlabeled"]),
        ({"sure": [True, False]}, None, ["unlabeled"]),
        ({"label": [[0, 1], [1]]}, {"label": [PETS]}, ["cat+dog", "dog"]),
        ({"label": [[0, 1], []]}, {"label": {"_type": "Sequence", "feature": PETS}}, ["cat+dog", "unlabeled"]),
        (
            {"coarse": [0, 0], "label": [0, 1]},
            {"coarse": {"_type": "ClassLabel", "names": ["pet"]}, "label": PETS},
            ["cat", "dog"],
        ),
        ({"fine": [0, 1], "coarse": [0, 0]}, {"fine": PETS, "coarse": {"_type": "ClassLabel", "names": ["pet"]}}, ["cat", "dog"]),
        ({"label": [0, 7]}, {"label": PETS}, ["cat", "7"]),
        ({"label": [0, 1]}, {"label": {"_type": "ClassLabel"}}, ["0", "1"]),
        ({"label": [0, 1]}, [1, 2], ["0", "1"]),
        ({"label": ["../../up", "a/b"]}, None, ["__.._up", "a_b"]),
        ({"label": [".hidden", "C:\\x"]}, None, ["_hidden", "C__x"]),
    ],
)
def test_choice_of_label_column(tmp_path: Path, columns: dict[str, Any], features: object, folders: list[str]) -> None:
    """A label is one path component whatever it contains."""
    if isinstance(features, dict):
        features = {"image": IMAGE, **features}
    found = unpacked(tmp_path, file_of({"image": images(2), **columns}, features))
    assert sorted(name.rpartition("/")[0] for name in found) == sorted(folders * (2 // len(folders)))


def test_image_column_is_chosen_by_name_then_type(tmp_path: Path) -> None:
    """`image` is preferred to other binary columns; a table without images yields none."""
    masks = [{"bytes": jpeg(7), "path": None}]
    both = {"mask": masks, "image": images(1)}
    for data in (file_of(both), file_of(both, {"mask": IMAGE, "image": IMAGE}), file_of({"jpg": [jpeg(0)]})):
        assert list(unpacked(tmp_path, data).values()) == [jpeg(0)]
        shutil.rmtree(tmp_path / "out")
    assert unpacked(tmp_path, file_of({"file_name": ["a.jpg"], "label": [1]})) == {}


def test_image_names_are_kept_unique_and_inside(tmp_path: Path) -> None:
    """An image keeps its name; equal names get the row number; no name points outside the folder."""
    paths = ["x/a_jpg.rf.0f.jpg", "a.PNG", "A.png", "..\\..\\up.jpg", "no image.exe", None]
    found = unpacked(tmp_path, file_of({"image": images(6, paths), "label": [0] * 6}, {"image": IMAGE, "label": PETS}))
    assert sorted(found) == [
        "cat/000002-A.png",
        "cat/000004.jpg",
        "cat/000005.jpg",
        "cat/a.PNG",
        "cat/a_jpg.rf.0f.jpg",
        "cat/up.jpg",
    ]


def test_rows_without_bytes_are_skipped(tmp_path: Path) -> None:
    """Rows may be empty or hold URLs."""
    rows = [{"bytes": None, "path": "https://example.org/a.jpg"}, None, *images(1)]
    assert unpacked(tmp_path, file_of({"image": rows})) == {"unlabeled/000002.jpg": jpeg(0)}


@pytest.mark.parametrize("cut", [4, 200, 0.5, 0.9])
def test_truncated_file_is_one_error_line(tmp_path: Path, cut: float) -> None:
    """Wherever the file is cut."""
    data = file_of({"image": images(3), "label": [0, 1, 0]})
    with pytest.raises(FototecaError, match="cannot be unpacked"):
        unpacked(tmp_path, data[: int(cut if cut > 1 else cut * len(data))])


@pytest.mark.parametrize("place", range(0, 1000, 41))
def test_corrupted_bytes_never_raise_another_error(tmp_path: Path, place: int) -> None:
    """Damage gives an error line or other images."""
    data = bytearray(file_of({"image": images(3), "label": [0, 1, 0]}, {"image": IMAGE, "label": PETS}))
    start = place * (len(data) - 40) // 1000
    data[start : start + 8] = b"\xff" * 8
    try:
        unpacked(tmp_path, bytes(data))
    except FototecaError as error:
        assert re.search("cannot be unpacked|unpacks to too much", error.message)


@pytest.mark.parametrize("same", [True, False])
def test_decompression_bombs_are_rejected(tmp_path: Path, same: bool) -> None:
    """More than 200 times the file's size is rejected, with repeated and with compressed data."""
    rows = [{"bytes": (b"" if same else number.to_bytes(2)) + bytes(1_000_000), "path": None} for number in range(60)]
    data = file_of({"image": rows}, compression="zstd")
    assert len(data) < 100_000
    with pytest.raises(FototecaError, match="unpacks to too much"):
        unpacked(tmp_path, data)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.jpg")) <= 25_000_000


def test_memory_is_bounded_by_a_row_group(tmp_path: Path) -> None:
    """A file of 300 MB in row groups of 20 MB is never loaded whole."""
    noise = bytes(range(256)) * 4000
    rows = [{"bytes": number.to_bytes(4, "little") + noise, "path": None} for number in range(300)]
    file = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"image": rows}), file, row_group_size=20, compression="none")
    code = (
        "import re, sys; from pathlib import Path; from fototeca.collect.files.parquet import read_parquet_images\n"
        "from fototeca.core.passed_over import PassedOver\n"
        "import pyarrow.parquet\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = peak(); count = sum(1 for _ in read_parquet_images(Path(sys.argv[1]), 10**9, PassedOver()))\n"
        "print(count, (peak() - before) // 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, timeout=120, check=True)
    count, megabytes = map(int, done.stdout.split())
    assert count == 300
    assert megabytes < 100


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["image", "empty", "url", "none"]), min_size=1, max_size=6))
def test_every_row_is_taken_or_counted(kinds: list[str]) -> None:
    """Rows without bytes are named by their number."""
    values = {"image": {"bytes": jpeg(1), "path": "a.jpg"}, "empty": {"bytes": b"", "path": "b.jpg"}, "none": None}
    column = [values.get(kind, {"bytes": None, "path": "https://a.org/1.jpg"}) for kind in ["image", *kinds]]
    with TemporaryDirectory() as name:
        path = Path(name) / "in.parquet"
        path.write_bytes(file_of({"image": column}))
        unpack(path, folder := Path(name) / "out", passed_over := PassedOver())
        counts = {count.reason: count.count for count in passed_over.counts()}
        assert sum(file.is_file() for file in folder.rglob("*")) == 1 + kinds.count("image")
    expected = {"row-without-image": kinds.count("url") + kinds.count("none"), "empty": kinds.count("empty")}
    assert counts == {reason: count for reason, count in expected.items() if count}


def test_missing_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow is installed with an extra."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FototecaError, match="needs the package pyarrow") as stop:
        unpacked(tmp_path, file_of({"image": images(1)}))
    assert "fototeca[hubs]" in stop.value.hint


def test_shard_folders_are_not_classes(workspace: Workspace) -> None:
    """The numbered parts of a dataset are left out of class names."""
    names = ["data/train-00000-of-00002-0f1e2d/dog/1.jpg", "data/test-00001-of-00002/cat/2.jpg", "data/validation/cat/3.jpg"]
    assert list(find_class_folders(names, workspace.settings).values()) == ["dog", "cat", "cat"]


# ---- end to end


@pytest.fixture
def hubs() -> Hubs:
    """Simulate a dataset of two parquet files, a banner image and a table without images."""
    features = {"image": IMAGE, "label": {"names": ["Cats", "dog"], "_type": "ClassLabel"}}
    first = file_of({"image": [{"bytes": jpeg(1), "path": "1.jpg"}, {"bytes": jpeg(3), "path": None}], "label": [0, 1]}, features)
    second = file_of({"image": [{"bytes": jpeg(2), "path": "1.jpg"}], "label": [0]}, features)
    return Hubs(
        files={
            "data/train-00000-of-00001.parquet": first,
            "data/test-00000-of-00001.parquet": second,
            "assets/banner.png": jpeg(8),
            "stats.parquet": file_of({"rows": [3]}),
        }
    )


def test_parquet_dataset_is_proposed_confirmed_and_collected(workspace: Workspace, hubs: Hubs) -> None:
    """With the hub's real client: labels become categories, and an interrupted download resumes."""
    hubs.half = 1
    with pytest.raises(FototecaError, match="confirm it with --map") as stop:
        import_dataset(workspace, "huggingface", "alice/pets", FolderOptions(), LOCAL)
    proposal = Path(stop.value.hint.rpartition("--map ")[2])
    assert {line.partition("  #")[0] for line in proposal.read_text().splitlines() if line.startswith('"')} == {
        '"assets" = ""',
        '"data/Cats" = "cat"',
        '"data/dog" = "dog"',
    }
    assert not list(proposal.with_suffix("").rglob("*.parquet"))
    import_dataset(workspace, "huggingface", "alice/pets", FolderOptions(mapping=proposal), LOCAL)
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all()
        places = [place for image in images for place in catalog.provenance.of_image(image.image_id)]
    assert sorted(image.label for image in images) == ["cat", "cat", "dog"]
    assert {(place.source, place.query, place.license) for place in places} == {("huggingface", "alice/pets", "CC-BY-4.0")}


def test_extracted_images_are_not_written_again(tmp_path: Path) -> None:
    """Repeating a killed command writes only what is missing."""
    data = file_of({"image": images(3), "label": ["cat", "dog", "cat"]})
    unpacked(tmp_path, data)
    (tmp_path / "out/folder/dog/000001.jpg").unlink()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")}
    assert len(unpacked(tmp_path, data)) == 3
    assert {path: path.stat().st_mtime_ns for path in times} == times
