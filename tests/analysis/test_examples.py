"""Choice of examples and error patterns, on predictions whose answers are known."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fototeca.analysis.cli_tables import examples_table
from fototeca.analysis.error_patterns import ConfusedPair, ErrorCount, GroupErrors, error_groups
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.examples import (
    choose_examples,
    confident_errors,
    examples_of_run,
    find_label_suspects,
    worst_per_class,
)
from fototeca.analysis.images import add_caption
from fototeca.analysis.plots.bars import bars_chart
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow
from fototeca.train.runs import Run

NAMES = ("a", "b", "c", "never")
ROW = ManifestRow("", "", "", "val", "", 9, 9, "0" * 16, "", "", "", "", "MIT", True)
ANSWERS = (
    # label, said, how sure, source, group
    ("a", "a", 0.99, "web", ""),
    ("a", "a", 0.98, "web", ""),
    ("a", "a", 0.97, "web", ""),
    ("b", "b", 0.60, "web", "g1"),
    ("a", "b", 0.95, "web", "g1"),
    ("a", "b", 0.92, "disk", "g2"),
    ("a", "b", 0.91, "disk", ""),
    ("b", "c", 0.55, "web", ""),
    ("c", "a", 0.93, "web", ""),
)


def make_predictions() -> SplitPredictions:
    """Return predictions of a run; the last category has no images."""
    run = Run("r", Path("r"), {"task": "single", "categories": NAMES, "model": "m", "regime": "scratch", "manifest": "v001"})
    rows = tuple(
        replace(ROW, image_id=f"i{k}", label=label, source=source, group=group)
        for k, (label, _, _, source, group) in enumerate(ANSWERS)
    )
    probabilities = np.zeros((len(ANSWERS), len(NAMES)))
    for k, (label, said, sure, _, _) in enumerate(ANSWERS):
        probabilities[k, NAMES.index(label)] = 1 - sure
        probabilities[k, NAMES.index(said)] = sure
    labels, said = tuple(one[0] for one in ANSWERS), tuple(one[1] for one in ANSWERS)
    return SplitPredictions(run, "val", NAMES, False, rows, labels, said, probabilities)


def test_confident_errors_are_not_balanced_by_category(monkeypatch: pytest.MonkeyPatch) -> None:
    """The most confident errors are returned even if all are of one category."""
    monkeypatch.setattr("fototeca.analysis.examples.MAX_SUSPECTS", 3)
    assert confident_errors(make_predictions()) == [4, 8, 5] and make_predictions().confidence[7] < 0.9
    monkeypatch.setattr("fototeca.analysis.examples.MAX_SUSPECTS", 40)
    assert confident_errors(make_predictions()) == [4, 8, 5, 6]


def test_captions_fit_their_image() -> None:
    """Captions are cut by pixel width; letters beyond ASCII are drawn."""
    blank = Image.new("RGB", (224, 10))
    for words in ("SEÑAL DE PROHIBIDO ADELANTAR A OTROS", "Donaudampfschifffahrtsgesellschaftskapitän", "ñ"):
        page = np.asarray(add_caption(blank, [words, "x"]).convert("L"))[10:]
        assert page.min() < 100 and (page[:, -2:] == 255).all(), words
    assert not np.array_equal(add_caption(blank, ["ñ"]), add_caption(blank, ["\ue000"])), "no box for a letter that there is"


def test_long_category_names_are_cut_in_the_middle() -> None:
    """In the chart of the splits."""
    drawn = bars_chart("splits", [("x" * 60 + "y" * 60, {"train": 1}), ("short", {"train": 2})], "alt").svg
    assert ">short<" in drawn and f">{'x' * 31}…{'y' * 30}<" in drawn


def test_choose_examples() -> None:
    """Most confident with at most two of a class first, least confident, and random ones reproducible by seed."""
    found = choose_examples(make_predictions(), 4)
    assert found["right"] == [0, 1, 3, 2]
    assert found["wrong"] == [4, 8, 5, 7]
    assert found["least_sure"][:2] == [7, 3]
    assert set(found["wrong_random"]) < {4, 5, 6, 7, 8} and set(found["right_random"]) == {0, 1, 2, 3}
    assert choose_examples(make_predictions(), 4) == found
    assert any(choose_examples(make_predictions(), 4, seed)["wrong_random"] != found["wrong_random"] for seed in range(1, 5))


def test_worst_per_class() -> None:
    """The image with the lowest probability of its category, worst category first."""
    assert list(worst_per_class(make_predictions()).items()) == [("a", 4), ("c", 8), ("b", 7)]


def test_label_suspects_need_unanimous_neighbors() -> None:
    """Only confident errors whose nearest training images all have the predicted label."""
    train = [replace(ROW, image_id=f"t{label}", label=label, split="train") for label in "abc"]
    rows = (*make_predictions().rows, *train)
    manifest = Manifest("v001", "d", "single", NAMES, rows, "0", 0, (70, 10, 20), 10, None, "", "", Path("v001.csv"))
    near = {"i4": ["tb", "tb", "tb"], "i5": ["tb", "tb", "ta"], "i7": ["tc", "tc", "tc"], "i8": ["tb", "tb", "tb"]}
    assert find_label_suspects(make_predictions(), near, manifest) == [4]


def test_error_groups() -> None:
    """Errors by pair, source and group; the hardest categories are ones with images."""
    found = error_groups(make_predictions())
    assert found.confused_pairs[0] == ConfusedPair("a", "b", 3)
    assert found.by_source == {"web": ErrorCount(7, 3), "disk": ErrorCount(2, 2)}
    assert found.by_group == [GroupErrors("g1", 2, 1)]
    assert found.hardest == ["c", "a", "b"]


def test_error_groups_skip_single_images() -> None:
    """A group with one error is listed however many single images are wrong."""
    alone = make_predictions()
    many = replace(
        alone,
        rows=tuple(replace(ROW, image_id=f"i{k}", label="a", group="pair" if k > 38 else f"i{k}") for k in range(41)),
        labels=("a",) * 41,
        predicted_labels=("b",) * 40 + ("a",),
        probabilities=np.tile([[0.1, 0.8, 0.1]], (41, 1)),
    )
    assert error_groups(many).by_group == [GroupErrors("pair", 2, 1)]


def test_examples_have_maps_and_nearest_training_images(studied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """Each example has a PNG of the requested method, three nearest training images and its source, in the CSV too."""
    workspace, runs = studied
    result = examples_of_run(workspace, runs[0], number=2, method="saliency", output=tmp_path)
    kinds = {**result.examples, "worst": list(result.worst_per_class.values()), "suspect": result.suspects}
    shown = [example for kind in kinds.values() for example in kind]
    assert {str(path) for path in tmp_path.glob("*.png")} == {example.maps for example in shown}
    assert all(len(example.nearest_training) == 3 and example.source == "folder" for example in shown)
    rows = list(csv.DictReader((tmp_path / "examples.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["kind"] for row in rows] == [kind for kind, chosen in kinds.items() for _ in chosen]
    assert all(re.fullmatch(r"\w+/\d+\.jpg", example.file_name) for example in shown)
    for row, example in zip(rows, shown, strict=True):
        names = ("image_id", "file_name", "path", "label", "predicted", "source")
        assert [row[name] for name in names] == [getattr(example, name) for name in names]
        assert row["map"] == example.maps
        assert float(row["probability"]) == pytest.approx(example.confidence, abs=1e-6)
        assert row["nearest_training"].split() == example.nearest_training
        paths = [Path(path) for path in row["nearest_training_paths"].split()]
        assert [path.stem for path in paths] == example.nearest_training
        assert all((workspace.root / path).is_file() for path in (row["path"], *paths))


def test_examples_table_fits_80_columns(studied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """Each example is a row under a heading; the last line is the path of the CSV."""
    result = examples_of_run(studied[0], studied[1][0], number=2, method="saliency", output=tmp_path)
    *lines, path = examples_table(result).splitlines()
    assert path == str(tmp_path / "examples.csv")
    assert all(len(line) <= 80 for line in lines)
    assert any(line.split()[:4] == ["image", "label", "predicted", "confidence"] for line in lines)
    for example in (example for kind in result.examples.values() for example in kind):
        (row,) = {line for line in lines if line.startswith(example.image_id[:12]) and "folder" in line}
        assert row.split()[1:3] == [example.label, example.predicted]
