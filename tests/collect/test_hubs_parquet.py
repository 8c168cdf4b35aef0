"""Images inside parquet files: their labels, their names, broken and hostile files, and the whole way from a hub."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from fototeca.collect.catalog import Catalog
from fototeca.collect.files.archives import unpack
from fototeca.collect.files.class_mapping import class_folders
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.hubs.import_dataset import import_dataset
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from tests.collect.hubs import Hubs
from tests.servers import jpeg

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=5.0)
IMAGE = {"_type": "Image"}
PETS = {"names": ["cat", "dog"], "_type": "ClassLabel"}
ROOT = Path(__file__).parents[2]


def file_of(columns: dict[str, Any], features: object = None, **options: object) -> bytes:
    """A parquet file; `features` as Hugging Face's own library writes them."""
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    stream = io.BytesIO()
    parquet.write_table(table, stream, **options)
    return stream.getvalue()


def images(count: int, paths: Sequence[str | None] | None = None) -> list[dict[str, Any]]:
    """Values of an image column."""
    return [{"bytes": jpeg(number), "path": paths[number] if paths else None} for number in range(count)]


def unpacked(tmp_path: Path, data: bytes) -> dict[str, bytes]:
    """What a parquet file leaves on the disk, outside its folder too."""
    (tmp_path / "in.parquet").write_bytes(data)
    unpack(tmp_path / "in.parquet", tmp_path / "out" / "folder")
    files = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    return {name.removeprefix("folder/"): path.read_bytes() for name, path in files.items()}


def test_labels_of_hugging_face(tmp_path: Path) -> None:
    """The names behind the numbers are the folders; -1 is no label; the bytes stay as they are."""
    data = file_of({"image": images(4), "label": [0, 1, -1, None]}, {"image": IMAGE, "label": PETS})
    assert unpacked(tmp_path, data) == {
        "cat/000000.jpg": jpeg(0),
        "dog/000001.jpg": jpeg(1),
        "unlabelled/000002.jpg": jpeg(2),
        "unlabelled/000003.jpg": jpeg(3),
    }


@pytest.mark.parametrize(
    ("columns", "features", "folders"),
    [
        ({"label": ["cat", "dog"]}, None, ["cat", "dog"]),
        ({"Class": [3, 12]}, None, ["3", "12"]),
        ({"id": [3, 12]}, None, ["unlabelled"]),
        ({"sure": [True, False]}, None, ["unlabelled"]),
        ({"label": [[0, 1], [1]]}, {"label": [PETS]}, ["cat+dog", "dog"]),
        ({"label": [[0, 1], []]}, {"label": {"_type": "Sequence", "feature": PETS}}, ["cat+dog", "unlabelled"]),
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
def test_which_column_is_the_label(tmp_path: Path, columns: dict[str, Any], features: object, folders: list[str]) -> None:
    """The metadata decides, then the column's name; a label is one folder, wherever it wants to lead."""
    if isinstance(features, dict):
        features = {"image": IMAGE, **features}
    found = unpacked(tmp_path, file_of({"image": images(2), **columns}, features))
    assert sorted(name.rpartition("/")[0] for name in found) == sorted(folders * (2 // len(folders)))


def test_which_column_is_the_image(tmp_path: Path) -> None:
    """`image` before other bytes, a mask among them; a table without images gives none."""
    masks = [{"bytes": jpeg(7), "path": None}]
    both = {"mask": masks, "image": images(1)}
    for data in (file_of(both), file_of(both, {"mask": IMAGE, "image": IMAGE}), file_of({"jpg": [jpeg(0)]})):
        assert list(unpacked(tmp_path, data).values()) == [jpeg(0)]
        shutil.rmtree(tmp_path / "out")
    assert unpacked(tmp_path, file_of({"file_name": ["a.jpg"], "label": [1]})) == {}


def test_names_of_images(tmp_path: Path) -> None:
    """An image keeps its own name; two of one name are told apart by their row; no name leads out."""
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


def test_rows_without_bytes_are_passed_over(tmp_path: Path) -> None:
    """A column may hold addresses, and rows may be empty."""
    rows = [{"bytes": None, "path": "https://example.org/a.jpg"}, None, *images(1)]
    assert unpacked(tmp_path, file_of({"image": rows})) == {"unlabelled/000002.jpg": jpeg(0)}


@pytest.mark.parametrize("cut", [4, 200, 0.5, 0.9])
def test_broken_files(tmp_path: Path, cut: float) -> None:
    """One line, wherever the file was cut."""
    data = file_of({"image": images(3), "label": [0, 1, 0]})
    with pytest.raises(FototecaError, match="cannot be unpacked"):
        unpacked(tmp_path, data[: int(cut if cut > 1 else cut * len(data))])


@pytest.mark.parametrize("place", range(0, 1000, 41))
def test_damaged_files(tmp_path: Path, place: int) -> None:
    """Wrong bytes anywhere are one line or other images, never another error."""
    data = bytearray(file_of({"image": images(3), "label": [0, 1, 0]}, {"image": IMAGE, "label": PETS}))
    start = place * (len(data) - 40) // 1000
    data[start : start + 8] = b"\xff" * 8
    try:
        unpacked(tmp_path, bytes(data))
    except FototecaError as error:
        assert re.search("cannot be unpacked|unpacks to too much", error.message)


@pytest.mark.parametrize("same", [True, False])
def test_bombs(tmp_path: Path, same: bool) -> None:
    """What becomes over 200 times its size is refused, whether one image comes again and again or zeros were packed well."""
    rows = [{"bytes": (b"" if same else number.to_bytes(2)) + bytes(1_000_000), "path": None} for number in range(60)]
    data = file_of({"image": rows}, compression="zstd")
    assert len(data) < 100_000
    with pytest.raises(FototecaError, match="unpacks to too much"):
        unpacked(tmp_path, data)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.jpg")) <= 25_000_000


def test_memory_is_that_of_one_row_group(tmp_path: Path) -> None:
    """A file of 300 MB in groups of 20 is never held whole."""
    noise = bytes(range(256)) * 4000
    rows = [{"bytes": number.to_bytes(4, "little") + noise, "path": None} for number in range(300)]
    file = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"image": rows}), file, row_group_size=20, compression="none")
    code = (
        "import re, sys; from pathlib import Path; from fototeca.collect.files.parquet import parquet_images\n"
        "import pyarrow.parquet\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = peak(); count = sum(1 for _ in parquet_images(Path(sys.argv[1]), 10**9))\n"
        "print(count, (peak() - before) // 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code, file], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    count, megabytes = map(int, done.stdout.split())
    assert count == 300
    assert megabytes < 100


def test_a_missing_package_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow is an extra."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FototecaError, match="needs the package pyarrow") as stop:
        unpacked(tmp_path, file_of({"image": images(1)}))
    assert "fototeca[hubs]" in stop.value.hint


def test_numbered_files_are_seen_through(workspace: Workspace) -> None:
    """The pieces that a dataset is cut into are no classes."""
    names = ["data/train-00000-of-00002-0f1e2d/dog/1.jpg", "data/test-00001-of-00002/cat/2.jpg", "data/validation/cat/3.jpg"]
    assert list(class_folders(names, workspace.settings).values()) == ["dog", "cat", "cat"]


# ---- the whole way


@pytest.fixture
def hubs() -> Hubs:
    """A dataset of parquet files, in two pieces, with an image on its page and a table that holds none."""
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


def test_a_dataset_of_parquet_is_proposed_confirmed_and_taken_in(workspace: Workspace, hubs: Hubs) -> None:
    """By the hub's real client: its labels become categories, the banner is left out, and a broken download goes on."""
    hubs.half = 1
    with pytest.raises(FototecaError, match="confirm it with --map") as stop:
        import_dataset(workspace, "huggingface", "alice/pets", None, LOCAL)
    proposal = Path(stop.value.hint.rpartition("--map ")[2])
    assert {line.partition("  #")[0] for line in proposal.read_text().splitlines() if line.startswith('"')} == {
        '"assets" = ""',
        '"data/Cats" = "cat"',
        '"data/dog" = "dog"',
    }
    assert not list(proposal.with_suffix("").rglob("*.parquet"))
    import_dataset(workspace, "huggingface", "alice/pets", proposal, LOCAL)
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all()
        places = [place for image in images for place in catalog.provenance.of_image(image.image_id)]
    assert sorted(image.label for image in images) == ["cat", "cat", "dog"]
    assert {(place.source, place.query, place.license) for place in places} == {("huggingface", "alice/pets", "CC-BY-4.0")}


def test_what_is_unpacked_already_stays(tmp_path: Path) -> None:
    """After a kill the same command writes nothing twice."""
    data = file_of({"image": images(3), "label": ["cat", "dog", "cat"]})
    unpacked(tmp_path, data)
    (tmp_path / "out/folder/dog/000001.jpg").unlink()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")}
    assert len(unpacked(tmp_path, data)) == 3
    assert {path: path.stat().st_mtime_ns for path in times} == times
