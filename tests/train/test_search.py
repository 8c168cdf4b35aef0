"""Searching settings: what is drawn, what is stopped early, and going on after a kill."""

from __future__ import annotations

import errno
import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import optuna
import pytest

from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run
from fototeca.train.runs.registry import list_runs, write_config
from fototeca.train.sweep import hpo as searching
from fototeca.train.sweep.hpo import search
from fototeca.train.sweep.plan import Outcome, read_space
from fototeca.train.tables import unfinished_lines
from fototeca.train.training.loop import EpochCallback

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


def as_if_trained(workspace: Workspace, config: TrainConfig, number: int, accuracy: float = 0.5) -> Run:
    """A finished run in which nothing was learned."""
    learned_from = {"manifest_sha256": "0" * 64, "task": "single", "categories": ["blue", "green", "red"]}
    run = Run(f"run-{number}", workspace.runs / f"run-{number}", {**config.identity(), **learned_from})
    write_config(run)
    write_text(run.folder / "done.json", json.dumps({"val_accuracy": accuracy}))
    return run


def test_a_killed_search_draws_nothing_twice_and_stops_the_weak(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in its third run, it takes that one up again, which counts once; low rates are stopped early, and said to be."""
    begun: list[TrainConfig] = []

    def learns(workspace: Workspace, config: TrainConfig, callback: EpochCallback) -> Run:
        """A run whose accuracy is its rate."""
        begun.append(config)
        if len(begun) == 3:
            raise KeyboardInterrupt
        accuracy = config.lr or 0.0
        for epoch in (1, 2, 3):
            callback(epoch, accuracy)
        return as_if_trained(workspace, config, len(begun), accuracy)

    monkeypatch.setattr(searching, "train_run", learns)
    with pytest.raises(KeyboardInterrupt):
        search(small, SPACE, "v001", 12)
    found = search(small, SPACE, "v001", 12)
    assert begun[2] == begun[3] and len(set(begun)) == len(begun) - 1 == 12
    assert len(found.runs) + len(found.failed) == 12
    assert found.failed and {reason for _, reason in found.failed} == {"left out: stopped early, behind the median of the others"}
    rates = [run.config["lr"] for run in found.runs]
    assert rates == sorted(rates, reverse=True)
    assert [run.id for run in search(small, SPACE, "v001", 12).runs] == [run.id for run in found.runs]
    assert len(begun) == 13  # a search that is over trains nothing


def test_a_search_trains_runs_and_stops_them(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two real ones: that which was drawn is trained and its accuracy told to Optuna; the other is listed as given up."""
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda trial: trial.number == 1)
    told: list[tuple[int, float | None]] = []
    whole = optuna.Study.tell

    def tell(self: optuna.Study, trial: optuna.Trial, value: float | None = None, **options: object) -> object:
        told.append((trial.number, value))
        return whole(self, trial, value, **options)  # type: ignore[arg-type]  # whatever it takes

    monkeypatch.setattr(optuna.Study, "tell", tell)
    found = search(small, {**SPACE, "epochs": 2, "lr": {"low": 1e-3, "high": 1e-2, "log": True}}, "v001", 2)
    (run,) = found.runs
    assert told == [(0, run.facts["val_accuracy"]), (1, None)]
    assert run.done and len(run.epochs()) == 2 and 1e-3 <= run.config["lr"] <= 1e-2 and run.config["model"] == "cnn"
    ((drawn, reason),) = found.failed
    assert drawn.startswith("lr=") and reason == "left out: stopped early, behind the median of the others"
    (line,) = unfinished_lines(list_runs(small, unfinished=True))
    assert line.startswith("given up: cnn-scratch-v001-") and line.endswith(
        ", 1 of 2 epochs: stopped early, behind the median of the others"
    )


def test_a_draw_that_is_killed_twice_is_given_up(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a row with its reason, and the search goes on with others."""
    begun: list[float | None] = []

    def learns(workspace: Workspace, config: TrainConfig, callback: EpochCallback) -> Run:
        """The first draw ends the program whenever it is tried."""
        begun.append(config.lr)
        if config.lr == begun[0]:
            raise KeyboardInterrupt
        return as_if_trained(workspace, config, len(begun))

    monkeypatch.setattr(searching, "train_run", learns)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(small, SPACE, "v001", 3)
    found = search(small, SPACE, "v001", 3)
    assert begun[0] == begun[1] and begun.count(begun[0]) == 2
    assert len(found.runs) == 2
    assert [reason for _, reason in found.failed] == ["it was killed twice, perhaps for memory"]


def test_what_is_wrong_outside_uses_up_no_draw(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer, an image that is gone: the search ends with its reason, and goes on with the same draw."""
    begun: list[float | None] = []

    def learns(workspace: Workspace, config: TrainConfig, callback: EpochCallback) -> Run:
        """The host answers the third time."""
        begun.append(config.lr)
        if len(begun) < 3:
            raise FototecaError("cannot download the weights", "connect", EXIT_OUTSIDE)
        return as_if_trained(workspace, config, len(begun))

    monkeypatch.setattr(searching, "train_run", learns)
    for _ in range(2):
        with pytest.raises(FototecaError, match="cannot download the weights"):
            search(small, SPACE, "v001", 2)
    lost = small.root / read_manifest(small, "v001").split("val")[0].path
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(FototecaError, match="is missing"):
        search(small, SPACE, "v001", 2)
    lost.write_bytes(content)
    found = search(small, SPACE, "v001", 2)
    assert len(found.runs) == 2 and not found.failed
    assert len(begun) == 4 and begun[0] == begun[1] == begun[2] != begun[3]


def test_a_search_is_made_by_one_process_at_a_time(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one waits, and then finds what was drawn: no draw is taken for one that a kill cut short."""
    said: Queue[str] = Queue()
    monkeypatch.setattr("fototeca.train.runs.locks.notify", said.put)
    begun: list[TrainConfig] = []

    def learns(workspace: Workspace, config: TrainConfig, callback: EpochCallback) -> Run:
        """In the first run another process gives the same command."""
        begun.append(config)
        if len(begun) == 1:
            others.append(pool.submit(search, small, SPACE, "v001", 2))
            assert said.get(timeout=60).startswith("search-")
            assert not others[0].done()
        return as_if_trained(workspace, config, len(begun))

    monkeypatch.setattr(searching, "train_run", learns)
    others: list[Future[Outcome]] = []
    with ThreadPoolExecutor(1) as pool:
        found = search(small, SPACE, "v001", 2)
        assert [run.id for run in others[0].result(timeout=60).runs] == [run.id for run in found.runs]
    assert len(begun) == 2 and not found.failed


def test_a_full_disk_is_one_line(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the search's own journal cannot be written."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "search.journal")

    monkeypatch.setattr("optuna.storages.journal.JournalFileBackend.append_logs", full)
    with pytest.raises(FototecaError, match=r"disk is full \(search.journal\)"):
        search(small, SPACE, "v001", 1)


def test_a_space_is_read_from_a_plan(tmp_path: Path) -> None:
    """Ranges and choices are kept; one without an end, upside down or of no numbers is told."""
    path = tmp_path / "space.toml"
    path.write_text('model = "cnn"\nregime = "scratch"\nlr = {low = 1e-4, high = 1e-2, log = true}\nema = [0.0, 0.9]\n')
    assert read_space(path)["lr"] == {"low": 1e-4, "high": 1e-2, "log": True}
    for wrong in ("{low = 1e-4}", "{low = 1e-2, high = 1e-4}", "{low = 0, high = 1, log = true}", '{low = "a", high = "b"}'):
        path.write_text(f'model = "cnn"\nregime = "scratch"\nlr = {wrong}\n')
        with pytest.raises(FototecaError, match="lr is no range"):
            read_space(path)
