"""A run that somebody else made: its files are checked when they are read, and its names lead to no other folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.train.runs.load import load_model
from fototeca.train.runs.registry import Run, list_runs, read_run
from fototeca.train.runs.weights_io import weights_path

CONFIG = {
    "model": "cnn",
    "regime": "features",
    "head": "logistic",
    "manifest": "v001",
    "manifest_sha256": "a" * 64,
    "task": "single",
    "categories": ["cat", "dog"],
    "seed": 3,
    "preprocessing": {"resize": 37, "crop": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"},
    "transform_input": False,
}
DONE = {
    "train_accuracy": 0.9,
    "val_accuracy": 0.8,
    "val_images": 10,
    "parameters": 7,
    "seconds": 1.5,
    "images_per_second": 20,
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return create_workspace(tmp_path / "w", ["cat", "dog"])


def make_run(workspace: Workspace, name: str, config: dict[str, Any] | None = None, done: dict[str, Any] | None = None) -> Path:
    """Write the files of a run with some values changed; return its folder."""
    folder = workspace.runs / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    (folder / "done.json").write_text(json.dumps(DONE | (done or {})))
    return folder


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../runs/run", "run/../run", "/etc", "run/", "a\\b", "run\0", "\ud800", "x" * 300]
)
def test_names_of_runs_are_names_alone(workspace: Workspace, name: str) -> None:
    """A name with separators or dots is no run, even where a configuration lies there; `run:NAME` neither."""
    make_run(workspace, "run")
    (workspace.data / "config.json").write_text(json.dumps(CONFIG))
    (workspace.runs / "config.json").write_text(json.dumps(CONFIG))
    assert read_run(workspace, "run").done
    for read in (lambda: read_run(workspace, name), lambda: weights_path(workspace, f"run:{name}")):
        with pytest.raises(FototecaError, match="no run "):
            read()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("manifest", "../v001"),
        ("manifest_sha256", "a"),
        ("task", "both"),
        ("categories", []),
        ("categories", ["cat", "../dog"]),
        ("categories", ["cat", "cat"]),
        ("model", 3),
        ("regime", "magic"),
        ("head", "x"),
        ("lr", "fast"),
        ("lr", -1),
        ("epochs", 0),
        ("seed", 1 << 80),
        ("seed", True),
        ("preprocessing", {}),
        ("preprocessing", CONFIG["preprocessing"] | {"interpolation": "../../x"}),  # type: ignore[operator]
        ("preprocessing", CONFIG["preprocessing"] | {"resize": 10**9}),  # type: ignore[operator]
        ("preprocessing", CONFIG["preprocessing"] | {"std": [0, 0, 0]}),  # type: ignore[operator]
        ("members", ["../../other"]),
        ("members", "run"),
        ("made_of", {"../x": "0" * 16}),
        ("snapshot_of", "../x"),
        ("of", [3]),
        ("transform_input", "yes"),
        ("decode_version", -1),
    ],
)
def test_every_field_of_a_configuration_is_checked(workspace: Workspace, field: str, value: object) -> None:
    """The error is one line with the file, the field and the value; listing runs skips the run."""
    make_run(workspace, "run", {field: value})
    with pytest.raises(FototecaError) as error:
        read_run(workspace, "run")
    assert f"run/config.json: {field}" in error.value.message or "a key of made_of" in error.value.message
    assert "\n" not in error.value.message
    assert list_runs(workspace) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("val_accuracy", 7),
        ("val_accuracy", None),
        ("parameters", -1),
        ("seconds", "1"),
        ("val_interval", [0]),
        ("software", ["x"]),
        ("best_epoch", 0.5),
        ("train_accuracy", float("nan")),
    ],
)
def test_every_figure_is_checked(workspace: Workspace, field: str, value: object) -> None:
    """A figure out of range, NaN included, is one line, and listing runs skips the run."""
    make_run(workspace, "run", done={field: value})
    run = read_run(workspace, "run")
    with pytest.raises(FototecaError, match=rf"done\.json(: {field}|.*NaN is not a number)"):
        _ = run.metrics
    assert list_runs(workspace) == []


def test_ensemble_of_itself_is_refused(workspace: Workspace) -> None:
    """An ensemble that has itself, or one that has it, as a member does not recurse without end."""
    ensemble = {"regime": "ensemble", "member_weights": [1.0]}
    make_run(workspace, "a", {**ensemble, "members": ["b"]})
    make_run(workspace, "b", {**ensemble, "members": ["a"]})
    make_run(workspace, "c", {**ensemble, "members": ["c"]})
    make_run(workspace, "d", {**ensemble, "members": ["a", "b"]})
    for name in ("a", "c"):
        with pytest.raises(FototecaError, match="is an ensemble itself"):
            load_model(workspace, read_run(workspace, name))
    with pytest.raises(FototecaError, match=r"member_weights is .* not one weight per member"):
        read_run(workspace, "d")


def test_predictions_stay_in_the_folder_of_the_run(workspace: Workspace) -> None:
    """The name of a split is no path."""
    run: Run = read_run(workspace, make_run(workspace, "run").name)
    (workspace.runs / "x.csv").write_text("image_id,label,predicted,p:cat,p:dog\n")
    with pytest.raises(FototecaError):
        run.predictions("/../../x")
