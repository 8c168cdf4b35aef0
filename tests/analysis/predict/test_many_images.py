"""Predicting many images: memory, what is printed, files that are complete or absent."""

from __future__ import annotations

import csv
import gc
import io
import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fototeca.analysis.predict.predict import stream_predictions
from fototeca.analysis.predict.results import Prediction, stored_predictions_path
from fototeca.analysis.prediction_summary import MAX_LISTED, PredictionSummary
from fototeca.cli import app
from fototeca.core.workspace import Workspace
from fototeca.train.runs import read_run

Studied = tuple[Workspace, list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """70 new images and a file that is not an image."""
    (tmp_path / "new").mkdir()
    for number in range(70):
        Image.new("RGB", (40 + number, 40), (3 * number, 200 - 2 * number, 60)).save(tmp_path / "new" / f"{number:03}.png")
    (tmp_path / "new" / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    return tmp_path / "new"


def test_predictions_are_yielded_batch_by_batch_and_released(studied: Studied, folder: Path) -> None:
    """No earlier prediction is alive when a later one is taken, beyond its batch."""
    alive: list[weakref.ref[Prediction]] = []
    most = 0
    for prediction in stream_predictions(studied[0], studied[1][0], [str(folder)]):
        alive.append(weakref.ref(prediction))
        del prediction
        if len(alive) % 10 == 1:  # a collection takes a third of a second
            gc.collect()
            most = max(most, sum(one() is not None for one in alive))
    assert len(alive) == 71 and most <= 32
    document = json.loads(stored_predictions_path(studied[0], read_run(studied[0], studied[1][0])).read_text())
    assert (document["n"], len(document["images"]), document["num_failed"]) == (70, 48, 1)


def run_predict(workspace: Workspace, *arguments: object) -> tuple[int, str]:
    """Return the exit code and what the command prints."""
    result = CliRunner().invoke(
        app, ["analysis", "predict", *map(str, arguments)], env={"FOTOTECA_WORKSPACE": str(workspace.root)}
    )
    return result.exit_code, result.stdout


def test_many_images_are_summarized(studied: Studied, folder: Path, tmp_path: Path) -> None:
    """Counts by prediction instead of a line each; CSV and JSON have a row each, equal to one another."""
    workspace, runs = studied
    code, text = run_predict(workspace, runs[0], folder, "--csv", tmp_path / "out.csv")
    assert code == 3 and len(text.splitlines()) < 20 and "000.png" not in text
    assert "70 of 71 images" in text and "1 not read" in text and "--csv FILE or --json" in text
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8"))))
    code, text = run_predict(workspace, runs[0], folder, "--json")
    assert code == 3 and [(row["path"], row["label"] or None) for row in rows] == [
        (one["path"], one.get("label")) for one in json.loads(text)
    ]
    (folder / "broken.jpg").unlink()
    code, text = run_predict(workspace, runs[0], *sorted(folder.iterdir())[:MAX_LISTED])
    assert code == 0 and text.count(".png") == MAX_LISTED


def test_no_csv_is_left_by_an_interrupted_prediction(studied: Studied, folder: Path, tmp_path: Path) -> None:
    """The file appears when it is complete."""
    stream = stream_predictions(studied[0], studied[1][0], [str(folder)], csv_path=tmp_path / "out.csv")
    assert isinstance(stream, Iterator)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_summary_counts_other_labels() -> None:
    """Of hundreds of labels the most frequent are listed and the others counted."""
    summary = PredictionSummary()
    for number in range(300):
        for _ in range(1 + (number < 5)):
            summary.add(
                Prediction(f"{number}.jpg", f"class {number}", 0.9, {}, None, number == 7, None, None, None, True, None, None)
            )
    lines = summary.text(3).splitlines()
    assert len(lines) < 60 and "class 0" in lines[1] and any("260 other labels" in line for line in lines)
    assert "1 unlike the training images" in lines
