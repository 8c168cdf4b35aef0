"""From a dataset's folders to categories: what is seen through, what is proposed, what a file may hold."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fototeca.collect.files.class_mapping import SPLITS, Proposal, class_folders, proposal_text, propose, read_map
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
def test_the_folder_that_tells_the_class(names: list[str], folders: list[str]) -> None:
    """Splits and the folders that all share are seen through; folders that differ stay apart."""
    assert list(class_folders(names, MULTI).values()) == folders


def test_a_category_that_is_called_train() -> None:
    """An image's own folder counts where a category has its name; above it, train is a split."""
    assert list(class_folders(["train/car/1.jpg", "train/train/2.jpg", "test/train/3.jpg"], DOGS).values()) == [
        "car",
        "train",
        "train",
    ]


@pytest.mark.parametrize(
    ("folder", "category", "sure"),
    [
        ("Siberian_Husky", "siberian-husky", True),
        ("n02110185-Siberian_husky", "siberian-husky", True),
        ("001.Siberian.Huskies", "siberian-husky", False),
        ("HUSKY SIBERIANO", "siberian-husky", True),
        ("dogs/Pugs", "pug", True),
        ("carlíno", "pug", True),
        ("siberian_huskie", "siberian-husky", False),
        ("beagle", "", False),
        ("犬", "", False),
        (".", "", False),
    ],
)
def test_what_is_proposed(folder: str, category: str, sure: bool) -> None:
    """Spelling, plurals, accents, numbers and WordNet's ids do not matter; what is only alike is marked; the rest is left out."""
    assert propose(folder, DOGS) == Proposal(category, sure)


def test_a_doubtful_proposal_is_marked() -> None:
    """A person sees which lines want a look, and how many images each is about."""
    names = ["Pug/1.jpg", "siberian_huskie/2.jpg", "siberian_huskie/3.jpg", "beagle/4.jpg"]
    text = proposal_text(class_folders(names, DOGS), DOGS, "Dogs\nof all kinds")
    assert text.splitlines()[0] == "# Dogs of all kinds"
    assert '"Pug" = "pug"  # 1 image\n' in text
    assert '"siberian_huskie" = "siberian-husky"  # 2 images, only alike: check\n' in text
    assert '"beagle" = ""  # 1 image\n' in text


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.text(min_size=1).filter(lambda part: "/" not in part and part not in (".", "..")), max_size=4), max_size=8
    )
)
def test_any_folder_names_make_a_file_that_can_be_read(paths: list[list[str]]) -> None:
    """Quotes, backslashes, control signs and signs of all scripts come back from TOML as they were, and no split is a class."""
    folders = class_folders(["/".join([*path, "1.jpg"]) for path in paths], MULTI)
    document = tomllib.loads(proposal_text(folders, MULTI, "title"))
    assert set(document["map"]) == set(folders.values())
    assert not SPLITS & {part.lower() for folder in folders.values() for part in folder.split("/")}


def test_several_labels(tmp_path: Path) -> None:
    """In a dataset with several labels per image a folder may stand for more than one category."""
    file = tmp_path / "m.toml"
    file.write_text('[map]\npurple = "blue|red"\n')
    assert read_map(file, MULTI) == {"purple": "blue|red"}
    with pytest.raises(FototecaError, match="unknown category"):
        read_map(file, DOGS)
