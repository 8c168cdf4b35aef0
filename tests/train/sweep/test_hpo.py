"""Hyperparameter search: sampling, pruning, and resuming after a kill."""

from __future__ import annotations

import errno
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import optuna
import pytest

from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run
from fototeca.train.runs.metrics import RunMetrics
from fototeca.train.runs.registry import list_runs, write_config, write_done
from fototeca.train.sweep import hpo as searching
from fototeca.train.sweep.hpo import PRUNED_REASON, search_hyperparameters
from fototeca.train.sweep.plan import read_space
from fototeca.train.sweep.results import SweepResult
from fototeca.train.tables import describe_unfinished
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
    """Write a finished run; nothing is trained."""
    learned_from = {"manifest_sha256": "0" * 64, "task": "single", "categories": ["blue", "green", "red"]}
    run = Run(f"run-{number}", workspace.runs / f"run-{number}", {**config.identity(), **learned_from})
    write_config(run)
    metrics = RunMetrics(
        train_accuracy=1.0, val_accuracy=accuracy, val_images=9, parameters=1, seconds=1.0, images_per_second=1.0
    )
    write_done(run, metrics)
    return run


def test_killed_search_resumes_its_trial_and_prunes_low_rates(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial that was killed counts once; trials below the median are pruned and listed."""
    started: list[TrainConfig] = []

    def fake_train(workspace: Workspace, config: TrainConfig, callback: EpochCallback) -> Run:
        """A run whose accuracy is its rate."""
        started.append(config)
        if len(started) == 3:
            raise KeyboardInterrupt
        accuracy = config.lr or 0.0
        for epoch in (1, 2, 3):
            callback(epoch, accuracy)
        return as_if_trained(workspace, config, len(started), accuracy)

    monkeypatch.setattr(searching, "train_run", fake_train)
    with pytest.raises(KeyboardInterrupt):
        search_hyperparameters(small, SPACE, "v001", 12)
    found = search_hyperparameters(small, SPACE, "v001", 12)
    assert started[2] == started[3] and len(set(started)) == len(started) - 1 == 12
    assert len(found.runs) + len(found.failed) == 12
    assert found.failed and {point.reason for point in found.failed} == {"stopped early, below the median of the other runs"}
    rates = [run.config["lr"] for run in found.runs]
    assert rates == sorted(rates, reverse=True)
    assert [run.id for run in search_hyperparameters(small, SPACE, "v001", 12).runs] == [run.id for run in found.runs]
    assert len(started) == 13  # a search that is over trains nothing


def test_search_reports_accuracies_and_prunes_runs(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accuracy is reported to Optuna; the pruned run is listed as aborted."""
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda trial: trial.number == 1)
    results: list[tuple[int, float | None]] = []
    original = optuna.Study.tell

    def tell(self: optuna.Study, trial: optuna.Trial, value: float | None = None, **options: object) -> object:
        results.append((trial.number, value))
        return original(self, trial, value, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(optuna.Study, "tell", tell)
    found = search_hyperparameters(small, {**SPACE, "epochs": 2, "lr": {"low": 1e-3, "high": 1e-2, "log": True}}, "v001", 2)
    (run,) = found.runs
    assert results == [(0, run.metrics.val_accuracy), (1, None)]
    assert run.done and len(run.epochs()) == 2 and 1e-3 <= run.config["lr"] <= 1e-2 and run.config["model"] == "cnn"
    (failed,) = found.failed
    assert failed.point.startswith("lr=") and failed.reason == PRUNED_REASON and failed.is_skipped
    (line,) = describe_unfinished(list_runs(small, unfinished=True))
    assert line.startswith("aborted: cnn-scratch-v001-") and line.endswith(
        ", 1 of 2 epochs: stopped early, below the median of the other runs"
    )


def test_trial_killed_twice_counts_as_failed(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listed with its reason, and the search continues."""
    started: list[float | None] = []

    def fake_train(workspace: Workspace, config: TrainConfig, callback: EpochCallback) -> Run:
        """The first draw ends the program whenever it is tried."""
        started.append(config.lr)
        if config.lr == started[0]:
            raise KeyboardInterrupt
        return as_if_trained(workspace, config, len(started))

    monkeypatch.setattr(searching, "train_run", fake_train)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search_hyperparameters(small, SPACE, "v001", 3)
    found = search_hyperparameters(small, SPACE, "v001", 3)
    assert started[0] == started[1] and started.count(started[0]) == 2
    assert len(found.runs) == 2
    assert [point.reason for point in found.failed] == ["it was killed twice, possibly for lack of memory"]


def test_external_failures_do_not_use_up_trials(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an unreachable host or a missing image the search resumes with the same parameters."""
    started: list[float | None] = []

    def fake_train(workspace: Workspace, config: TrainConfig, callback: EpochCallback) -> Run:
        """The host answers the third time."""
        started.append(config.lr)
        if len(started) < 3:
            raise ExternalError("cannot download the weights", "connect")
        return as_if_trained(workspace, config, len(started))

    monkeypatch.setattr(searching, "train_run", fake_train)
    for _ in range(2):
        with pytest.raises(FototecaError, match="cannot download the weights"):
            search_hyperparameters(small, SPACE, "v001", 2)
    lost = small.root / read_manifest(small, "v001").split("val")[0].path
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(FototecaError, match="is missing"):
        search_hyperparameters(small, SPACE, "v001", 2)
    lost.write_bytes(content)
    found = search_hyperparameters(small, SPACE, "v001", 2)
    assert len(found.runs) == 2 and not found.failed
    assert len(started) == 4 and started[0] == started[1] == started[2] != started[3]


def test_second_process_waits_for_the_search(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It then finds the finished trials; none is taken for a killed one."""
    messages: Queue[str] = Queue()
    monkeypatch.setattr("fototeca.core.locks.notify", messages.put)
    started: list[TrainConfig] = []

    def fake_train(workspace: Workspace, config: TrainConfig, callback: EpochCallback) -> Run:
        """In the first run another process gives the same command."""
        started.append(config)
        if len(started) == 1:
            others.append(pool.submit(search_hyperparameters, small, SPACE, "v001", 2))
            assert messages.get(timeout=60).startswith("search-")
            assert not others[0].done()
        return as_if_trained(workspace, config, len(started))

    monkeypatch.setattr(searching, "train_run", fake_train)
    others: list[Future[SweepResult]] = []
    with ThreadPoolExecutor(1) as pool:
        found = search_hyperparameters(small, SPACE, "v001", 2)
        assert [run.id for run in others[0].result(timeout=60).runs] == [run.id for run in found.runs]
    assert len(started) == 2 and not found.failed


def test_full_disk_is_one_error_line(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search's journal cannot be written."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "search.journal")

    monkeypatch.setattr("optuna.storages.journal.JournalFileBackend.append_logs", fail)
    with pytest.raises(FototecaError, match=r"disk is full \(search.journal\)"):
        search_hyperparameters(small, SPACE, "v001", 1)


def test_search_space_is_read_from_a_plan(tmp_path: Path) -> None:
    """Ranges and choices are accepted; incomplete, reversed and non-numeric ranges are rejected."""
    path = tmp_path / "space.toml"
    path.write_text('model = "cnn"\nregime = "scratch"\nlr = {low = 1e-4, high = 1e-2, log = true}\nema = [0.0, 0.9]\n')
    assert read_space(path)["lr"] == {"low": 1e-4, "high": 1e-2, "log": True}
    for wrong in ("{low = 1e-4}", "{low = 1e-2, high = 1e-4}", "{low = 0, high = 1, log = true}", '{low = "a", high = "b"}'):
        path.write_text(f'model = "cnn"\nregime = "scratch"\nlr = {wrong}\n')
        with pytest.raises(FototecaError, match="lr is not a valid range"):
            read_space(path)
