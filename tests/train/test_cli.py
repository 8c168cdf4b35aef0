"""The train commands: output, exit codes, and that finished runs are not trained again."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import fototeca.cli
from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import manifest_bytes, read_manifest, write_manifest
from fototeca.train.cli import sweep
from fototeca.train.config import TrainConfig
from fototeca.train.heads import fitted
from fototeca.train.runs import Run, read_run
from fototeca.train.runs.metrics import RunMetrics
from fototeca.train.runs.registry import list_runs, write_config, write_done
from fototeca.train.trainer import train_run
from fototeca.train.training import loop
from fototeca.vision.intervals import wilson_interval

Command = Callable[..., tuple[int, str]]

KEYS = ["run", "model", "regime", "manifest", "train_accuracy", "val_accuracy", "parameters", "seconds"]
"""Keys of the JSON output."""

SETTINGS = ("--manifest", "v001", "--model", "cnn", "--regime", "scratch", "--image-size", 32, "--device", "cpu")

FAILS = '[[run]]\nregime = "features"\nweights = "nowhere.pth"\n'

PLAN = """
model = "cnn"
image_size = 32
batch_size = 16
device = "cpu"
[[run]]
regime = "scratch"
epochs = [1, 4]
"""


@pytest.fixture
def command(small: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a train command in the small workspace and returns exit code and output."""

    def run_command(*arguments: object) -> tuple[int, str]:
        monkeypatch.chdir(small.root)
        monkeypatch.setattr("sys.argv", ["fototeca", "train", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            fototeca.cli.main()
        return int(stop.value.code or 0), capsys.readouterr().out

    return run_command


@pytest.fixture
def epochs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Record the run and number of every epoch that is trained."""
    seen: list[tuple[str, int]] = []
    whole = loop.TrainingLoop._epoch

    def record(self: loop.TrainingLoop, epoch: int, *rest: Any) -> Any:  # noqa: ANN401
        seen.append((self.folder.name, epoch))
        return whole(self, epoch, *rest)

    monkeypatch.setattr(loop.TrainingLoop, "_epoch", record)
    return seen


def test_list_shows_diverged_runs_as_aborted(small: Workspace, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists the reason and no command to resume, for a network and for a head; a later finished attempt is listed normally."""
    whole = loop.make_schedule
    monkeypatch.setattr(loop, "make_schedule", lambda *_: lambda step: 1e38 if step > 4 else 1e-3)
    settings = (*SETTINGS, "--optimizer", "sgd", "--epochs", 2, "--batch-size", 16)
    assert command("run", *settings)[0] == 2
    first, *rest = command("list")[1].splitlines()
    assert first.startswith("no finished runs")
    (line,) = rest
    assert line.startswith("aborted: cnn-scratch-v001-") and ", 1 of 2 epochs: loss became NaN or infinite at step" in line
    assert "resume with" not in line
    monkeypatch.setattr(loop, "make_schedule", whole)
    assert command("run", *settings)[0] == 0
    assert "aborted" not in command("list")[1]
    features = ("run", "--manifest", "v001", "--model", "cnn", "--regime", "features", "--image-size", 32, "--lr", 1e30)
    assert command(*features, "--weights", f"run:{list_runs(small)[0].id}")[0] == 2
    assert "aborted: cnn-features-linear-v001-" in command("list")[1] and "not finished" not in command("list")[1]


def make_run(workspace: Workspace, name: str, **figures: float) -> Run:
    """Write a finished run without a validation interval; nothing is trained."""
    learned_from = {"manifest": "v001", "manifest_sha256": "0" * 64, "task": "single", "categories": ["blue", "green", "red"]}
    run = Run(name, workspace.runs / name, {"model": "cnn", "regime": "scratch", **learned_from})
    write_config(run)
    metrics = RunMetrics(train_accuracy=0.5, val_accuracy=0.5, val_images=9, images_per_second=1.0, parameters=1, seconds=1.0)
    write_done(run, replace(metrics, **figures))  # type: ignore[arg-type]
    return run


def plan_file(folder: Path, text: str) -> Path:
    """Write a plan."""
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def test_json_of_all_commands_has_the_same_keys(small: Workspace, command: Command) -> None:
    """run, sweep, ensemble and list print the same JSON for a run."""
    first, second = (json.loads(command("run", *SETTINGS, "--epochs", 1, "--seed", seed, "--json")[1]) for seed in (0, 1))
    plan = plan_file(small.root, PLAN.replace("[1, 4]", "1").replace("16", "32"))
    exit_code, stdout = command("sweep", plan, "--manifest", "latest", "--json")
    assert exit_code == 0 and json.loads(stdout) == [first]
    joined = json.loads(command("ensemble", first["run"], second["run"], "--json")[1])
    listed = json.loads(command("list", "--json")[1])
    assert sorted(row["run"] for row in listed) == sorted(row["run"] for row in (first, second, joined))
    assert first in listed and second in listed and joined in listed
    for row in listed:
        assert list(row)[:4] == KEYS[:4] and row.keys() >= set(KEYS)
        assert row["manifest"] == "v001" and 0 <= row["val_accuracy"] <= 1 and row["parameters"] > 0


def test_val_interval_equals_that_of_analysis(small: Workspace, command: Command) -> None:
    """The interval is wider where validation consists of groups of three near-duplicates."""
    whole = read_manifest(small, "v001")
    val = [row.image_id for row in sorted(whole.split("val"), key=lambda row: row.label)]
    groups = {image_id: f"g{place // 3}" for place, image_id in enumerate(val)}
    rows = tuple(replace(row, group=groups.get(row.image_id, row.group)) for row in whole.rows)
    digest = hashlib.sha256(manifest_bytes(rows)).hexdigest()
    write_manifest(replace(whole, version="v002", rows=rows, sha256=digest, path=small.manifests / "v002.csv"), [])
    settings = [{"v001": "v002"}.get(word, word) for word in map(str, SETTINGS)]
    run = json.loads(command("run", *settings, "--epochs", 1, "--json")[1])
    (listed,) = json.loads(command("list", "--json")[1])
    assert listed["val_interval"] == run["val_interval"] == list(evaluate_run(small, run["run"], "val").accuracy_interval)
    alone = wilson_interval(run["val_accuracy"] * len(val), len(val))
    assert run["val_interval"][1] - run["val_interval"][0] > 1.2 * (alone[1] - alone[0])


def test_val_interval_is_bounded_by_0_and_1(small: Workspace, command: Command) -> None:
    """Accuracies of 0% and 100% have intervals that end exactly there."""
    make_run(small, "none", val_accuracy=0.0, val_images=6)
    make_run(small, "all", val_accuracy=1.0, val_images=9)
    every, none = (row["val_interval"] for row in json.loads(command("list", "--json")[1]))
    assert none == [0, pytest.approx(0.3903, abs=1e-4)] and every == [pytest.approx(0.7009, abs=1e-4), 1]
    assert "0.0–39.0%" in command("list")[1].split()


def test_incomplete_sweep_exits_with_3_and_prints_a_sorted_table(small: Workspace, command: Command) -> None:
    """The table has a heading and a row for each finished run, best first, also as JSON."""
    plan = plan_file(small.root, PLAN.replace("epochs = [1, 4]", "epochs = 3\nlr = [1e-9, 4e-3]") + FAILS)
    exit_code, stdout = command("sweep", plan, "--manifest", "v001")
    head, *rows = stdout.splitlines()
    assert exit_code == 3
    assert head.split() == ["run", "train", "val", "interval", "params", "seconds"]
    accuracies = [float(row.split()[2].rstrip("%")) for row in rows]
    assert len(rows) == 2 and accuracies[0] > accuracies[1]
    assert all(row.startswith("cnn-scratch-v001-") and len(row) == len(head) <= 80 for row in rows)
    low, high = (float(end.rstrip("%")) for end in rows[0].split()[3].split("–"))
    assert low <= accuracies[0] <= high
    exit_code, stdout = command("sweep", plan, "--manifest", "v001", "--json")
    assert exit_code == 3 and [row["run"] for row in json.loads(stdout)] == [row.split()[0] for row in rows]
    assert command("list")[1].splitlines() == [head, *rows]


def test_killed_sweep_resumes_without_repeating_runs(
    small: Workspace, command: Command, epochs: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill in the second run, the first is not trained again; a complete sweep trains nothing."""
    plan = plan_file(small.root, PLAN)
    saves: list[int] = []
    save = loop.TrainingLoop._save

    def interrupt(self: loop.TrainingLoop) -> None:
        save(self)
        saves.append(1)
        if len(saves) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingLoop, "_save", interrupt)
        assert command("sweep", plan, "--manifest", "v001", "--jobs", 1)[0] == 130
    assert command("sweep", plan, "--manifest", "v001", "--jobs", 1)[0] == 0
    assert [epoch for _, epoch in epochs] == [1, 1, 2, 3, 4] and len(set(epochs)) == 5
    assert command("sweep", plan, "--manifest", "v001", "--jobs", 1)[0] == 0
    assert len(epochs) == 5


def test_list_shows_progress_and_resume_command_of_unfinished_runs(
    small: Workspace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed command finishes the run."""

    def stop(self: loop.TrainingLoop) -> None:
        if self.progress.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingLoop, "_save", stop)
        assert command("run", *SETTINGS, "--epochs", 3)[0] == 130
    first, last = command("list")[1].splitlines()
    assert first.startswith("no finished runs")
    assert last.startswith("not finished: cnn-scratch-v001-") and ", 2 of 3 epochs; resume with: fototeca train run" in last
    assert command(*last.partition("fototeca train ")[2].split(), "--device", "cpu")[0] == 0
    assert "not finished" not in command("list")[1]


def test_list_shows_resume_command_of_unfinished_ensembles(
    small: Workspace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed command finishes a mean, a soup and a snapshot."""
    cycles = train_run(small, TrainConfig("v001", "cnn", "scratch", image_size=32, epochs=2, snapshots=2, device="cpu")).id
    other = train_run(small, TrainConfig("v001", "cnn", "scratch", image_size=32, epochs=1, device="cpu")).id

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for names in ((cycles, other), (cycles, other, "--method", "soup"), (cycles,)):
        with monkeypatch.context() as patch:
            patch.setattr("fototeca.train.ensemble.write_done", stop)
            assert command("ensemble", *names)[0] == 130
        (line,) = [line for line in command("list")[1].splitlines() if line.startswith("not finished")]
        assert command(*line.partition("resume with: fototeca train ")[2].split())[0] == 0
        assert "not finished" not in command("list")[1]


OLD_CONFIG = b'{"model": "cnn", "regime": "scratch", "manifest": "v001"}'
"""A configuration without categories and manifest digest."""


@pytest.mark.parametrize("content", [b"{", b"[]", OLD_CONFIG, b"\xff\xfe"], ids=["cut", "list", "lacking", "bytes"])
@pytest.mark.parametrize("name", ["done.json", "config.json"])
def test_list_names_damaged_runs_and_shows_the_others(
    small: Workspace, command: Command, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    """One line names the damaged file and the fix, with and without --json."""
    lines: list[str] = []
    monkeypatch.setattr("fototeca.train.runs.registry.notify", lines.append)
    runs = [make_run(small, f"cnn-scratch-v001-{number}") for number in range(3)]
    (runs[1].folder / name).write_bytes(content)
    for options in ((), ("--json",)):
        exit_code, stdout = command("list", *options)
        assert exit_code == 0 and [run.id in stdout for run in runs] == [True, False, True]
    assert [run.id for run in list_runs(small, unfinished=True)] == [runs[0].id, runs[2].id]
    assert len(lines) == 3 and len(set(lines)) == 1, "each time once"
    assert lines[0].startswith(f"skipped: {runs[1].folder / name}")
    assert lines[0].endswith("; delete the run's folder and train it again")
    with pytest.raises(FototecaError, match=f"no run 'none'; this workspace has: {runs[0].id}, {runs[1].id}, {runs[2].id}"):
        read_run(small, "none")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"plan": Path("plan.toml"), "model": "resnet18", "weights": "x.pth"}, "for the default plan; write them into plan.toml"),
        ({"model": "resnet18"}, "go together"),
        ({"trials": 3, "jobs": 2}, "one run at a time"),
    ],
)
def test_sweep_rejects_options_without_effect(options: dict[str, Any], words: str) -> None:
    """The error comes before anything is read or trained."""
    with pytest.raises(FototecaError, match=words):
        sweep("v001", **options)


@pytest.mark.parametrize("person", [True, False])
def test_progress_bars_are_shown_on_terminals_only(small: Workspace, monkeypatch: pytest.MonkeyPatch, person: bool) -> None:
    """Bars show steps, predicted images and the fit of a head."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return person

    monkeypatch.setattr("fototeca.train.training.predict.PROGRESS_DELAY", 0.0)
    monkeypatch.setitem(fitted.PROGRESS, "delay", 0.0)
    monkeypatch.setattr("sys.stderr", screen := Screen())
    settings: dict[str, Any] = {"image_size": 32, "epochs": 1, "device": "cpu"}
    run = train_run(small, TrainConfig("v001", "cnn", "scratch", **settings))
    train_run(small, TrainConfig("v001", "cnn", "features", weights=f"run:{run.id}", **settings))
    for what in (f"{run.id}: ", "predict: ", "head: "):
        assert (what in screen.getvalue()) is person


def test_progress_bar_shows_loss_rate_and_remaining_time(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values equal those in steps.csv."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(loop, "tqdm", partial(loop.tqdm, mininterval=0, miniters=1))
    monkeypatch.setattr("sys.stderr", screen := Screen())
    settings: dict[str, Any] = {"image_size": 32, "epochs": 2, "batch_size": 16, "device": "cpu"}
    run = train_run(small, TrainConfig("v001", "cnn", "scratch", **settings))
    line = rf"{run.id}: .*?(\d+)/(\d+) \[[\d:]+<([\d:?]+), [^]]*, loss=([\d.]+), lr=([\d.e-]+)\]"
    matches = re.findall(line, screen.getvalue())
    rows = run.steps()
    assert len(rows) >= 8 and {total for _, total, *_ in matches} == {str(len(rows))}
    assert {(f"{row['loss']:.3f}", f"{row['learning_rate']:.2g}") for row in rows[:-1]} <= {
        (loss, rate) for *_, loss, rate in matches
    }
    assert any(re.fullmatch(r"\d\d:\d\d", left) for _, _, left, *_ in matches)


def test_sweep_search_command_trains_one_run(small: Workspace, command: Command) -> None:
    """Its settings are in the plan's space, and it is printed like any other run."""
    plan = plan_file(
        small.root, PLAN.replace("[[run]]", "").replace("epochs = [1, 4]", "epochs = 1\nlr = {low = 1e-3, high = 2e-3}")
    )
    exit_code, stdout = command("sweep", plan, "--manifest", "v001", "--search", 1, "--json")
    (row,) = json.loads(stdout)
    assert exit_code == 0 and row == json.loads(command("list", "--json")[1])[0]
    assert 1e-3 <= read_run(small, row["run"]).config["lr"] <= 2e-3
