"""Plans: what is refused before anything is trained, and what of a plan is trained when something goes wrong."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from io import TextIOWrapper
from multiprocessing import get_context
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest
from tqdm import tqdm

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig, train_command
from fototeca.train.run_spec import resolve_run
from fototeca.train.runs import Run
from fototeca.train.runs.locks import lock_run
from fototeca.train.runs.registry import write_config
from fototeca.train.sweep import plan as sweeping
from fototeca.train.sweep import workers as parallel
from fototeca.train.sweep.plan import read_plan, sweep
from fototeca.train.sweep.workers import gpu_of
from fototeca.train.trainer import train_run
from fototeca.train.training import optim as optimiser
from fototeca.vision.backbones import build_model

SMALL = {"model": "cnn", "regime": "scratch", "image_size": 32, "epochs": 1, "batch_size": 16, "device": "cpu"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('optimizer = "adam"', "--optimizer is 'adam'; choose sgd, adamw"),
        ('regime = "scrach"', "--regime is 'scrach'; choose scratch, features, finetune"),
        ('head = "forest"', "--head is 'forest'"),
        ('schedule = ["onecycle", "linear"]', "--schedule is 'linear'"),
        ('epochs = "3"', "--epochs is '3'; choose a whole number"),
        ("epochs = 2.5", "--epochs is 2.5"),
        ("freeze_bn = 1", "--freeze-bn is 1; choose true or false"),
        ("mixup = true", "--mixup is True; choose a number"),
        ("seed = []", "seed has no choices"),
        ("lr = [0.01, -1.0]", "--lr is -1.0; choose a number from 0 to 1e"),
        ("seed = -1", "--seed is -1; choose 0 or more"),
        ("seed = 4294967296", "--seed is 4294967296; choose 4294967295 or less"),
        ("lr = 1e38", "--lr is 1e.38; choose a number from 0 to 1e.30"),
        ('device = "tpu"', "--device is 'tpu'; choose auto, cpu, cuda, mps"),
        ("epochs = 0", "--epochs is 0; choose 1 or more"),
        ("random_erasing = 2", "--random-erasing is 2.0; choose a number from 0 to 1"),
        ('model = "cnnn"', "unknown model 'cnnn'; similar names: cnn"),
        ("lr = {low = 0.1, high = 0.2}", "lr is a range; write a list, or draw from it with --search N"),
        ('[run]\nmodel = "cnn"', r"run is no list of tables; write each run as \[\[run\]\]"),
    ],
)
def test_a_plan_with_a_wrong_value_is_refused_whole(tmp_path: Path, line: str, words: str) -> None:
    """Before anything is trained, in one line that names the file, the value and what to choose."""
    path = tmp_path / "plan.toml"
    path.write_text("\n".join(part for part in ('model = "cnn"', 'regime = "scratch"') if part[:5] != line[:5]) + f"\n{line}\n")
    with pytest.raises(FototecaError, match=f"plan.toml: {words}"):
        read_plan(path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "sgd"}, "--optimizer has no effect over frozen features"),
        ({"mixup": 0.2}, "--mixup has no effect over frozen features"),
        ({"snapshots": 2}, "--snapshots has no effect over frozen features"),
        ({"precision": "bf16"}, "--precision has no effect over frozen features"),
        ({"weight_decay": 0.1}, "--weight-decay has no effect over frozen features"),
        ({"lr": 0.1, "head": "logistic"}, "--lr has no effect with --head logistic"),
        ({"balance": "sampling"}, "use --balance weights"),
        ({"label_smoothing": 0.1, "head": "svm"}, "--label-smoothing has no effect with --head svm"),
        ({"augment": "rand"}, "add --augmented-copies 2"),
    ],
)
def test_what_a_head_over_features_does_not_use_is_refused(settings: dict[str, object], words: str) -> None:
    """It would be in config.json as if it had been done, and make another run of the same result."""
    with pytest.raises(FototecaError, match=words):
        TrainConfig("v001", "resnet18", "features", **settings)  # type: ignore[arg-type]  # a test's plain dict


def test_what_a_head_over_features_uses_is_taken() -> None:
    """With every default filled in, too."""
    TrainConfig(
        "v001", "resnet18", "features", augmented_copies=2, augment="rand", label_smoothing=0.1, balance="weights", lr=0.1
    ).resolved()


def test_what_a_plan_says_for_all_its_runs_makes_no_other_head() -> None:
    """Epochs and batches of the networks beside it: the head is the one run it would be alone, and they are not written of it."""
    for head, unused in (("svm", {"epochs": 5, "batch_size": 8}), ("linear", {"batch_size": 8})):
        alone = TrainConfig("v001", "resnet18", "features", head=head).resolved()  # type: ignore[arg-type]
        assert TrainConfig("v001", "resnet18", "features", head=head, **unused).resolved() == alone == alone.resolved()  # type: ignore[arg-type]
    svm = TrainConfig("v001", "resnet18", "features", head="svm").resolved()
    assert svm.epochs is svm.weight_decay is None
    assert train_command(svm.identity()).endswith("--regime features --head svm")


def test_whole_numbers_stand_for_broken_ones_and_for_text() -> None:
    """As TOML writes them: the run is the same one."""
    plain = TrainConfig("v001", "cnn", "finetune", unfreeze="2", precision="32", mixup=1.0)
    assert TrainConfig("v001", "cnn", "finetune", unfreeze=2, precision=32, mixup=1).identity() == plain.identity()  # type: ignore[arg-type]


def test_a_run_that_ends_by_a_bug_does_not_end_the_others(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a row with its reason."""

    def breaks(workspace: Workspace, config: TrainConfig) -> Run:
        if config.seed == 0:
            raise RuntimeError("sizes do not match\nand more")
        return train_run(workspace, config)

    monkeypatch.setattr(parallel, "train_run", breaks)
    found = sweep(small, [{**SMALL, "seed": 0}, {**SMALL, "seed": 1}], "v001")
    assert [run.config["seed"] for run in found.runs] == [1]
    ((name, reason),) = found.failed
    assert "seed=0" in name and reason.startswith("RuntimeError: sizes do not match; ")


@pytest.mark.parametrize("plan", [None, [SMALL, {**SMALL, "seed": 1}]], ids=["default", "own"])
@pytest.mark.parametrize("version", ["latest", "v009"])
def test_a_version_that_is_not_there_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, plan: list[dict[str, Any]] | None
) -> None:
    """In the line that a single run gives, without a word of weights that are not at hand either."""
    workspace = create_workspace(tmp_path / "work", ["red", "blue"])
    with pytest.raises(FototecaError) as alone:
        train_run(workspace, TrainConfig(**{**SMALL, "manifest": version}))  # type: ignore[arg-type]  # a test's plain dict
    with pytest.raises(FototecaError) as swept:
        sweep(workspace, plan, version)
    assert str(swept.value) == str(alone.value) == f"no version {version!r}; run: fototeca curate freeze"
    assert not capsys.readouterr().err


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[TrainConfig]]:
    """What a sweep asks for side by side; nothing is trained."""
    asked: list[list[TrainConfig]] = []

    def each(_: Workspace, configs: list[TrainConfig], jobs: int) -> list[Run]:
        asked.append(configs)
        return [named(config) for config in configs]

    def named(config: TrainConfig) -> Run:
        name = f"{config.regime}-{config.unfreeze}-{config.seed}-{config.lr}"
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "done.json").write_text('{"val_accuracy": 0.5}')
        return Run(name, folder, {})

    monkeypatch.setattr(sweeping, "train_each", each)
    monkeypatch.setattr(sweeping, "_version", lambda _, version: version)
    return asked


def test_each_rung_of_a_ladder_starts_from_its_own_seed_and_rate(tmp_path: Path, told: list[list[TrainConfig]]) -> None:
    """A grid over a ladder is as many ladders, whose rungs are trained side by side."""
    path = tmp_path / "plan.toml"
    path.write_text(
        """
        seed = [0, 1, 2]
        model = "resnet18"
        regime = "finetune"
        [[run]]
        unfreeze = "head"
        [[run]]
        unfreeze = ["1", "all"]
        weights = "previous"
        lr = [0.01, 0.1]
        """
    )
    found = sweep(Workspace(tmp_path), read_plan(path), "v001")
    heads, ones, alls = told
    assert (len(heads), len(ones), len(alls), len(found.runs)) == (3, 6, 6, 15)
    assert {config.weights for config in heads} == {"DEFAULT"}
    assert all(config.weights == f"run:finetune-head-{config.seed}-{4e-5}" for config in ones)
    assert all(config.weights == f"run:finetune-1-{config.seed}-{config.lr}" for config in alls)


def test_a_rung_without_a_run_below_it_is_told(tmp_path: Path, told: list[list[TrainConfig]]) -> None:
    """Of another seed it is no start; the others are trained."""
    base = {"model": "resnet18", "regime": "finetune"}
    found = sweep(Workspace(tmp_path), [{**base, "seed": 0}, {**base, "seed": 1, "weights": "previous"}], "v001")
    assert len(found.runs) == 1
    assert found.failed[0][1].startswith("there is no run before it to start from; one that differs in regime, weights, unfreeze")


def test_equal_points_are_one_run(tmp_path: Path, told: list[list[TrainConfig]]) -> None:
    """A default that is written out makes no other run; neither does a whole number for a broken one."""
    base = {"model": "cnn", "regime": "scratch"}
    found = sweep(Workspace(tmp_path), [base, {**base, "epochs": 20}, {**base, "mixup": 0}], "v001")
    assert [len(part) for part in told] == [1] and len(found.runs) == 1


@pytest.mark.parametrize("other", [{"image_size": 64}, {"regime": "finetune", "unfreeze": "half"}], ids=["size", "stages"])
def test_what_comes_to_the_same_is_one_run(small: Workspace, other: dict[str, Any]) -> None:
    """A network's own size in numbers, and stages by their number: named otherwise it is trained once."""
    weights = {"weights": f"run:{train_run(small, TrainConfig('v001', **SMALL)).id}"} if "unfreeze" in other else {}  # type: ignore[arg-type]
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "epochs": 1, "device": "cpu", **weights, **other}
    stages = len(optimiser.list_stages(build_model("cnn", 3)[0]))
    plain = {**base, "image_size": None} if "image_size" in other else {**base, "unfreeze": str((stages + 1) // 2)}
    manifest = read_manifest(small, "v001")
    settings = (base, plain, {**base, "seed": 1})
    first, same, reseeded = (resolve_run(small, TrainConfig(**each), manifest).run.id for each in settings)  # type: ignore[arg-type]
    assert first == same != reseeded


def test_bars_of_runs_side_by_side_do_not_write_over_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, too, a process beside others draws none; its lines are written."""
    terminal = TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(parallel.torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(parallel, "_end_with_parent", lambda: None)
    assert not tqdm([], disable=None).disable
    parallel._prepare(2, get_context("spawn").Value("i", 0))
    assert tqdm([], disable=None).disable
    notify("a line")
    assert terminal.buffer.getvalue().endswith(b"a line\n")  # type: ignore[attr-defined]


def test_a_run_is_trained_by_one_process_at_a_time(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one waits, says so, and then finds it finished."""
    run = train_run(small, TrainConfig("v001", **SMALL))  # type: ignore[arg-type]  # a test's plain dict
    said: Queue[str] = Queue()
    monkeypatch.setattr("fototeca.train.runs.locks.notify", said.put)
    with ThreadPoolExecutor(1) as pool:
        with lock_run(small, run.id):
            other = pool.submit(train_run, small, TrainConfig("v001", **SMALL))  # type: ignore[arg-type]
            assert said.get(timeout=60) == f"{run.id} is being trained by another process: waiting for it"
            assert not other.done()
        assert other.result().id == run.id


def test_a_name_that_two_runs_share_is_noticed(small: Workspace) -> None:
    """The other run's results are not shown as this one's, nor is it written over."""
    config = TrainConfig("v001", **SMALL)  # type: ignore[arg-type]  # a test's plain dict
    run = train_run(small, config)
    write_config(Run(run.id, run.folder, {**run.config, "lr": 0.5}))
    for resume in (True, False):
        with pytest.raises(FototecaError, match=r"with other settings \(lr\); use another --seed"):
            train_run(small, config, resume=resume)
    assert run.done


def test_each_process_has_a_gpu_that_is_there() -> None:
    """Also when there are more processes than GPUs, and when the person has chosen some of them."""
    assert [gpu_of(number, 2, None) for number in range(3)] == ["0", "1", "0"]
    assert [gpu_of(number, 2, "2, 3") for number in range(3)] == ["2", "3", "2"]


@pytest.mark.parametrize(("cores", "free", "jobs"), [(2, 64, 1), (16, 1, 1), (16, 9, 2), (8, 64, 2), (None, 64, 1)], ids=str)
def test_as_many_runs_at_once_as_cores_and_free_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, free: int, jobs: int
) -> None:
    """Four cores and 4 GiB for each, and always one."""
    monkeypatch.setattr(parallel.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(parallel.psutil, "virtual_memory", lambda: SimpleNamespace(available=free * 2**30))
    assert parallel.jobs_at_once() == jobs
