"""Searching settings: what is drawn, what is stopped early, and going on after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from train import search as searching
from train.search import search
from train.sweep import read_space
from workspace import FototecaError, Workspace

SPACE = {
    "model": "cnn",
    "regime": "scratch",
    "image_size": 32,
    "batch_size": 16,
    "epochs": 3,
    "device": "cpu",
    "lr": {"low": 1e-6, "high": 1e-2, "log": True},
    "augment": ["none", "basic"],
}


def test_a_search_draws_stops_the_weak_and_goes_on(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in its third run, it takes that one up again; weak rates are stopped early; the best rate found is a high one."""
    whole, calls = searching.train_run, []

    def dies(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "train_run", dies)
    with pytest.raises(KeyboardInterrupt):
        search(small, SPACE, "v001", 9)
    monkeypatch.undo()
    outcome = search(small, SPACE, "v001", 9)
    assert len(outcome.runs) + len(outcome.failed) == 9
    assert any("stopped early" in reason for _, reason in outcome.failed)
    assert len({run.config["lr"] for run in outcome.runs}) > 3
    assert outcome.runs[0].config["lr"] > 1e-4 > min(run.config["lr"] for run in outcome.runs)
    again = search(small, SPACE, "v001", 9)
    assert [run.id for run in again.runs] == [run.id for run in outcome.runs]


def test_a_space_is_read_from_a_plan(tmp_path: Path) -> None:
    """Ranges and choices are kept; a range without an end is told."""
    path = tmp_path / "space.toml"
    path.write_text('model = "cnn"\nregime = "scratch"\nlr = {low = 1e-4, high = 1e-2, log = true}\nema = [0.0, 0.9]\n')
    assert read_space(path)["lr"] == {"low": 1e-4, "high": 1e-2, "log": True}
    path.write_text('model = "cnn"\nregime = "scratch"\nlr = {low = 1e-4}\n')
    with pytest.raises(FototecaError, match="lr is no range"):
        read_space(path)
