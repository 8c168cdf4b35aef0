"""Class mapping: class folders, proposals and mapping files."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fototeca.collect.files.class_mapping import (
    CategoryProposal,
    find_class_folders,
    propose_category,
    render_proposal,
)
from fototeca.collect.files.dataset_splits import is_split_folder
from fototeca.core.class_mapping import read_mapping
from fototeca.core.errors import FototecaError
from fototeca.core.settings import Category, Settings

DOGS = Settings(
    "dogs",
    "single",
    100,
    "",
    (
        Category("siberian-husky", ("siberian husky", "husky siberiano")),
        Category("pug", ("pug", "carlino")),
        Category("train", ("train",)),
    ),
)
MULTI = Settings("many", "multi", 100, "", (Category("red", ("red",)), Category("blue", ("blue",))))


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["data/train/cat/1.jpg", "data/test/dog/2.jpg"], ["cat", "dog"]),
        (["cat/train/1.jpg", "dog/test/2.jpg"], ["cat", "dog"]),
        (["a/b/Train/cat/1.jpg", "a/b/VALID/cat/2.jpg"], ["cat", "cat"]),
        (["x/images/cat/1.jpg", "x/masks/cat/1.png"], ["cat", "masks/cat"]),
        (["in/cat/1.jpg", "out/cat/2.jpg"], ["in/cat", "out/cat"]),
        (["1.jpg", "cat/2.jpg"], [".", "cat"]),
        (["train/1.jpg", "test/2.jpg"], [".", "."]),
        (["only/1.jpg"], ["only"]),
        (["pets/1.jpg", "pets/cat/2.jpg"], ["pets", "pets/cat"]),
        ([], []),
    ],
)
def test_find_class_folders(names: list[str], folders: list[str]) -> None:
    """Folders of splits and folders that all images share are left out."""
    assert list(find_class_folders(names, MULTI).values()) == folders


def test_category_named_train() -> None:
    """The innermost folder counts if a category has its name; above it, train is a split."""
    assert list(find_class_folders(["train/car/1.jpg", "train/train/2.jpg", "test/train/3.jpg"], DOGS).values()) == [
        "car",
        "train",
        "train",
    ]


@pytest.mark.parametrize(
    ("folder", "category", "is_exact"),
    [
        ("Siberian_Husky", "siberian-husky", True),
        ("n02110185-Siberian_husky", "siberian-husky", True),
        ("001.Siberian.Huskies", "siberian-husky", True),
        ("HUSKY SIBERIANO", "siberian-husky", True),
        ("dogs/Pugs", "pug", True),
        ("carlíno", "pug", True),
        ("siberian_huskie", "siberian-husky", False),
        ("beagle", "", False),
        ("犬", "", False),
        (".", "", False),
    ],
)
def test_propose_category(folder: str, category: str, is_exact: bool) -> None:
    """Spelling, plurals, accents, numbers and WordNet ids are ignored; similar names are not exact; others get none."""
    assert propose_category(folder, DOGS) == CategoryProposal(category, is_exact)


def test_similar_names_are_marked_in_the_proposal() -> None:
    """The file gives the number of images per folder and marks names to check."""
    names = ["Pug/1.jpg", "siberian_huskie/2.jpg", "siberian_huskie/3.jpg", "beagle/4.jpg"]
    text = render_proposal(find_class_folders(names, DOGS), DOGS, "Dogs\nof all kinds")
    assert text.splitlines()[0] == "# Dogs of all kinds"
    assert '"Pug" = "pug"  # 1 image\n' in text
    assert '"siberian_huskie" = "siberian-husky"  # 2 images, similar name: check\n' in text
    assert '"beagle" = ""  # 1 image\n' in text


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.text(min_size=1).filter(lambda part: "/" not in part and part not in (".", "..")), max_size=4), max_size=8
    )
)
def test_proposal_round_trips_any_folder_name(paths: list[list[str]]) -> None:
    """Quotes, backslashes, control and non-ASCII characters survive TOML, and no split is a class."""
    folders = find_class_folders(["/".join([*path, "1.jpg"]) for path in paths], MULTI)
    document = tomllib.loads(render_proposal(folders, MULTI, "title"))
    assert set(document["map"]) == set(folders.values())
    assert not any(is_split_folder(part) for folder in folders.values() for part in folder.split("/"))


def test_folder_maps_to_several_labels(tmp_path: Path) -> None:
    """In a multi-label task a folder may map to more than one category."""
    file = tmp_path / "m.toml"
    file.write_text('[map]\npurple = "blue|red"\n')
    assert read_mapping(file, MULTI) == {"purple": "blue|red"}
    with pytest.raises(FototecaError, match="unknown category"):
        read_mapping(file, DOGS)
