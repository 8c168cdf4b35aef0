"""Plans: validation, chained runs, parallel workers and locks."""

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
from fototeca.train.runs.metrics import RunMetrics
from fototeca.train.runs.registry import write_config, write_done
from fototeca.train.sweep import run_plan as sweeping
from fototeca.train.sweep import workers as parallel
from fototeca.train.sweep.plan import read_plan
from fototeca.train.sweep.run_plan import sweep
from fototeca.train.sweep.workers import assign_gpu
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
        ("seed = []", "seed is an empty list"),
        ("lr = [0.01, -1.0]", "--lr is -1.0; choose a number from 0 to 1e"),
        ("seed = -1", "--seed is -1; choose 0 or more"),
        ("seed = 4294967296", "--seed is 4294967296; choose 4294967295 or less"),
        ("lr = 1e38", "--lr is 1e.38; choose a number from 0 to 1e.30"),
        ('device = "tpu"', "--device is 'tpu'; choose auto, cpu, cuda, mps"),
        ("epochs = 0", "--epochs is 0; choose 1 or more"),
        ("random_erasing = 2", "--random-erasing is 2.0; choose a number from 0 to 1"),
        ('model = "cnnn"', "unknown model 'cnnn'; similar names: cnn"),
        ("lr = {low = 0.1, high = 0.2}", "lr is a range; write a list, or search it with --search N"),
        ('[run]\nmodel = "cnn"', r"run is not a list of tables; write each run as \[\[run\]\]"),
    ],
)
def test_plan_with_an_invalid_value_is_rejected(tmp_path: Path, line: str, words: str) -> None:
    """The error names the file, the value and the choices before anything is trained."""
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
def test_settings_without_effect_over_features_are_rejected(settings: dict[str, object], words: str) -> None:
    """They would be recorded and make another run with the same result."""
    with pytest.raises(FototecaError, match=words):
        TrainConfig("v001", "resnet18", "features", **settings)  # type: ignore[arg-type]  # a test's plain dict


def test_settings_of_heads_over_features_are_accepted() -> None:
    """Also with every default filled in."""
    TrainConfig(
        "v001", "resnet18", "features", augmented_copies=2, augment="rand", label_smoothing=0.1, balance="weights", lr=0.1
    ).resolved()


def test_network_settings_of_a_plan_do_not_change_heads() -> None:
    """Epochs and batch size of the networks beside it do not enter a head's identity."""
    for head, unused in (("svm", {"epochs": 5, "batch_size": 8}), ("linear", {"batch_size": 8})):
        alone = TrainConfig("v001", "resnet18", "features", head=head).resolved()  # type: ignore[arg-type]
        assert TrainConfig("v001", "resnet18", "features", head=head, **unused).resolved() == alone == alone.resolved()  # type: ignore[arg-type]
    svm = TrainConfig("v001", "resnet18", "features", head="svm").resolved()
    assert svm.epochs is svm.weight_decay is None
    assert train_command(svm.identity()).endswith("--regime features --head svm")


def test_integers_are_accepted_for_floats_and_text() -> None:
    """As TOML writes them; the run is the same."""
    plain = TrainConfig("v001", "cnn", "finetune", unfreeze="2", precision="32", mixup=1.0)
    assert TrainConfig("v001", "cnn", "finetune", unfreeze=2, precision=32, mixup=1).identity() == plain.identity()  # type: ignore[arg-type]


def test_unexpected_exception_does_not_end_the_sweep(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The point is listed with its reason."""

    def fail(workspace: Workspace, config: TrainConfig) -> Run:
        if config.seed == 0:
            raise RuntimeError("sizes do not match\nand more")
        return train_run(workspace, config)

    monkeypatch.setattr(parallel, "train_run", fail)
    found = sweep(small, [{**SMALL, "seed": 0}, {**SMALL, "seed": 1}], "v001")
    assert [run.config["seed"] for run in found.runs] == [1]
    (failed,) = found.failed
    name, reason = failed.point, failed.reason
    assert "seed=0" in name and reason.startswith("RuntimeError: sizes do not match; ")


@pytest.mark.parametrize("plan", [None, [SMALL, {**SMALL, "seed": 1}]], ids=["default", "own"])
@pytest.mark.parametrize("version", ["latest", "v009"])
def test_missing_version_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, plan: list[dict[str, Any]] | None
) -> None:
    """The line is that of a single run, without notices about weights."""
    workspace = create_workspace(tmp_path / "work", ["red", "blue"])
    with pytest.raises(FototecaError) as alone:
        train_run(workspace, TrainConfig(**{**SMALL, "manifest": version}))  # type: ignore[arg-type]  # a test's plain dict
    with pytest.raises(FototecaError) as swept:
        sweep(workspace, plan, version)
    assert str(swept.value) == str(alone.value) == f"no version {version!r}; run: fototeca curate freeze"
    assert not capsys.readouterr().err


@pytest.fixture
def trained_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[TrainConfig]]:
    """Record the configurations that a sweep trains in parallel; nothing is trained."""
    calls: list[list[TrainConfig]] = []

    def each(_: Workspace, configs: list[TrainConfig], jobs: int) -> list[Run]:
        calls.append(configs)
        return [named(config) for config in configs]

    def named(config: TrainConfig) -> Run:
        name = f"{config.regime}-{config.unfreeze}-{config.seed}-{config.lr}"
        folder = tmp_path / "runs" / name
        run = Run(name, folder, {})
        metrics = RunMetrics(train_accuracy=0.5, val_accuracy=0.5, val_images=9, parameters=1, seconds=1.0, images_per_second=1.0)
        write_done(run, metrics)
        return run

    monkeypatch.setattr(sweeping, "train_each", each)
    monkeypatch.setattr(sweeping, "_pin_version", lambda _, version: version)
    return calls


def test_chained_runs_start_from_the_run_with_equal_settings(tmp_path: Path, trained_configs: list[list[TrainConfig]]) -> None:
    """A grid over a chain gives several chains, whose steps are trained in parallel."""
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
    heads, ones, alls = trained_configs
    assert (len(heads), len(ones), len(alls), len(found.runs)) == (3, 6, 6, 15)
    assert {config.weights for config in heads} == {"DEFAULT"}
    assert all(config.weights == f"run:finetune-head-{config.seed}-{4e-5}" for config in ones)
    assert all(config.weights == f"run:finetune-1-{config.seed}-{config.lr}" for config in alls)


def test_chained_run_without_a_previous_run_fails(tmp_path: Path, trained_configs: list[list[TrainConfig]]) -> None:
    """A run with another seed is not a start; the other points are trained."""
    base = {"model": "resnet18", "regime": "finetune"}
    found = sweep(Workspace(tmp_path), [{**base, "seed": 0}, {**base, "seed": 1, "weights": "previous"}], "v001")
    assert len(found.runs) == 1
    assert found.failed[0].reason.startswith(
        "there is no previous run to start from; put a run above it that differs in regime, weights, unfreeze"
    )


def test_equal_points_are_trained_once(tmp_path: Path, trained_configs: list[list[TrainConfig]]) -> None:
    """A default written out, or an integer for a float, is the same run."""
    base = {"model": "cnn", "regime": "scratch"}
    found = sweep(Workspace(tmp_path), [base, {**base, "epochs": 20}, {**base, "mixup": 0}], "v001")
    assert [len(part) for part in trained_configs] == [1] and len(found.runs) == 1


@pytest.mark.parametrize("other", [{"image_size": 64}, {"regime": "finetune", "unfreeze": "half"}], ids=["size", "stages"])
def test_equivalent_settings_resolve_to_one_run(small: Workspace, other: dict[str, Any]) -> None:
    """The model's own image size as a number, and stages by number, give the same id."""
    weights = {"weights": f"run:{train_run(small, TrainConfig('v001', **SMALL)).id}"} if "unfreeze" in other else {}  # type: ignore[arg-type]
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "epochs": 1, "device": "cpu", **weights, **other}
    stages = len(optimiser.list_stages(build_model("cnn", 3)[0]))
    plain = {**base, "image_size": None} if "image_size" in other else {**base, "unfreeze": str((stages + 1) // 2)}
    manifest = read_manifest(small, "v001")
    settings = (base, plain, {**base, "seed": 1})
    first, same, reseeded = (resolve_run(small, TrainConfig(**each), manifest).run.id for each in settings)  # type: ignore[arg-type]
    assert first == same != reseeded


def test_parallel_workers_show_no_progress_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are still written."""
    terminal = TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(parallel.torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(parallel, "_end_with_parent", lambda: None)
    assert not tqdm([], disable=None).disable
    parallel._start_worker(2, get_context("spawn").Value("i", 0))
    assert tqdm([], disable=None).disable
    notify("a line")
    assert terminal.buffer.getvalue().endswith(b"a line\n")  # type: ignore[attr-defined]


def test_second_process_waits_for_the_run(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints a notice and then finds the run finished."""
    run = train_run(small, TrainConfig("v001", **SMALL))  # type: ignore[arg-type]  # a test's plain dict
    messages: Queue[str] = Queue()
    monkeypatch.setattr("fototeca.core.locks.notify", messages.put)
    with ThreadPoolExecutor(1) as pool:
        with lock_run(small, run.id):
            other = pool.submit(train_run, small, TrainConfig("v001", **SMALL))  # type: ignore[arg-type]
            assert messages.get(timeout=60) == f"{run.id} is being trained by another process: waiting for it"
            assert not other.done()
        assert other.result().id == run.id


def test_digest_collision_of_two_runs_is_an_error(small: Workspace) -> None:
    """The other run is neither returned nor overwritten."""
    config = TrainConfig("v001", **SMALL)  # type: ignore[arg-type]  # a test's plain dict
    run = train_run(small, config)
    write_config(Run(run.id, run.folder, {**run.config, "lr": 0.5}))
    for resume in (True, False):
        with pytest.raises(FototecaError, match=r"with other settings \(lr\); use another --seed"):
            train_run(small, config, resume=resume)
    assert run.done


def test_workers_use_visible_gpus_in_turn() -> None:
    """Also with more workers than GPUs, and with CUDA_VISIBLE_DEVICES."""
    assert [assign_gpu(number, 2, None) for number in range(3)] == ["0", "1", "0"]
    assert [assign_gpu(number, 2, "2, 3") for number in range(3)] == ["2", "3", "2"]


@pytest.mark.parametrize(("cores", "free", "jobs"), [(2, 64, 1), (16, 1, 1), (16, 9, 2), (8, 64, 2), (None, 64, 1)], ids=str)
def test_default_jobs_depend_on_cores_and_free_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, free: int, jobs: int
) -> None:
    """Four cores and 4 GiB for each run, and at least one run."""
    monkeypatch.setattr(parallel.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(parallel.psutil, "virtual_memory", lambda: SimpleNamespace(available=free * 2**30))
    assert parallel.default_jobs() == jobs
