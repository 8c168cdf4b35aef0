"""Runs end to end: files, resuming bit for bit, workers, sweeps."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import image_path, read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.heads import fit as heads
from fototeca.train.heads.fitted import FeatureSet
from fototeca.train.runs import Run, load_model
from fototeca.train.runs.registry import list_runs
from fototeca.train.sweep.plan import expand_grid, read_plan
from fototeca.train.sweep.run_plan import sweep
from fototeca.train.sweep.workers import train_each
from fototeca.train.trainer import train_run
from fototeca.train.training import loop
from fototeca.vision.backbones import build_model

SMALL = {
    "manifest": "v001",
    "model": "cnn",
    "regime": "scratch",
    "image_size": 32,
    "epochs": 3,
    "batch_size": 16,
    "device": "cpu",
}


def config(**settings: object) -> TrainConfig:
    """Return a small configuration with some settings changed."""
    return TrainConfig(**{**SMALL, **settings})  # type: ignore[arg-type]  # a test's plain dict


def outcome(run: Run) -> dict[str, object]:
    """Return weights, predictions and curves, without times."""
    names = ("model.safetensors", "predictions-train.csv", "predictions-val.csv", "steps.csv")
    return {
        "epochs": [[row[name] for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")] for row in run.epochs()],
        **{name: (run.folder / name).read_bytes() for name in names},
    }


def copy_of(workspace: Workspace, folder: Path) -> Workspace:
    """Copy a workspace without its runs."""
    import shutil

    shutil.copytree(workspace.root, folder, ignore=shutil.ignore_patterns("runs"))
    return Workspace(folder)


def test_scratch_run_learns_and_loads(small: Workspace) -> None:
    """The loaded model's probabilities equal the written ones, and the test split is not predicted."""
    run = train_run(small, config(epochs=6))
    assert run.metrics.val_accuracy >= 0.9
    rows = read_manifest(small, "v001").split("val")
    asked = load_model(small, run).probabilities([image_path(small, row) for row in rows])
    assert np.abs(asked - run.predictions("val").probabilities).max() < 1e-5
    assert len(run.epochs()) == 6
    assert len(run.steps()) == 6 * -(-len(read_manifest(small, "v001").split("train")) // 16)
    assert not (run.folder / "predictions-test.csv").exists()
    assert [found.id for found in list_runs(small)] == [run.id]


def test_resumed_run_equals_an_uninterrupted_one(small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted within an epoch, with all stateful options on: the same bytes."""
    settings = config(ema=0.9, mixup=0.3, cutmix=0.5, random_erasing=0.3, augment="trivial", accumulate=2)
    other = copy_of(small, tmp_path / "other")
    uninterrupted = train_run(small, settings)
    original, calls = loop.TrainingLoop._step, []

    def interrupt(self: loop.TrainingLoop, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop.TrainingLoop, "_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_run(other, settings)
    monkeypatch.undo()
    assert outcome(train_run(other, settings)) == outcome(uninterrupted)


def test_workers_do_not_change_results(small: Workspace, tmp_path: Path) -> None:
    """Augmentation is seeded by seed, epoch and image."""
    other = copy_of(small, tmp_path / "other")
    settings = {"augment": "rand", "random_erasing": 0.5, "epochs": 2}
    assert outcome(train_run(small, config(**settings))) == outcome(train_run(other, config(**settings, workers=2)))


@pytest.mark.parametrize("kind", ["small", "several"])
def test_features_with_every_head(kind: str, request: pytest.FixtureRequest) -> None:
    """Each head learns, single- and multi-label, and loads with the written probabilities."""
    workspace: Workspace = request.getfixturevalue(kind)
    first = train_run(workspace, config(epochs=4))
    rows = read_manifest(workspace, "v001").split("val")
    for head in ("linear", "logistic", "svm", "boosting"):
        run = train_run(workspace, config(regime="features", head=head, weights=f"run:{first.id}", epochs=20))
        assert run.metrics.val_accuracy >= 0.6, head
        asked = load_model(workspace, run).probabilities([image_path(workspace, row) for row in rows])
        assert np.abs(asked - run.predictions("val").probabilities).max() < 1e-4, head
        assert (load_model(workspace, run).module is None) == (head == "boosting")


def test_augmented_copies_are_cached_and_trained_on(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two copies the head gets three features per image; copies differ and are computed once."""
    learned: list[FeatureSet] = []
    original = heads.fit_head

    def record(kind: str, train: FeatureSet, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  (whatever it takes and gives)
        learned.append(train)
        return original(kind, train, *arguments, **options)

    monkeypatch.setattr("fototeca.train.feature_trainer.fit_head", record)
    first = train_run(small, config(epochs=4))
    settings = {"regime": "features", "weights": f"run:{first.id}", "epochs": 20, "batch_size": 32}
    run = train_run(small, config(**settings, augmented_copies=2))
    stores = sorted((small.cache / "features").glob("*/rows.bin"), key=lambda path: path.stat().st_mtime_ns)
    assert len(stores) == 3 and len({path.read_bytes()[:4000] for path in stores}) == 3
    size = len(read_manifest(small, "v001").split("train"))
    parts = learned[0].features.reshape(3, size, -1)
    assert all(np.abs(parts[left] - parts[other]).max(axis=1).min() > 1e-4 for left, other in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(learned[0].labels, learned[0].labels[:size].repeat(3))
    before = [path.stat().st_mtime_ns for path in stores]
    assert run.metrics.val_accuracy >= 0.9 and run.id != train_run(small, config(**settings)).id
    train_run(small, config(**settings, augmented_copies=2, head="logistic"))
    assert [path.stat().st_mtime_ns for path in stores] == before
    with pytest.raises(FototecaError, match="frozen features"):
        config(augmented_copies=2)


def test_fine_tuning_changes_unfrozen_stages_only(small: Workspace) -> None:
    """Frozen stages keep weights and batch-norm statistics."""
    first = train_run(small, config(epochs=2))
    run = train_run(small, config(regime="finetune", weights=f"run:{first.id}", unfreeze="layers.3", epochs=1))
    before, after = (load_model(small, each).network.state_dict() for each in (first, run))
    changed = {
        name.split(".")[0] + name.split(".")[1] if name.startswith("layers") else name.split(".")[0]
        for name in before
        if not torch.equal(before[name], after[name])
    }
    assert changed == {"layers3", "head"}


def test_sweep_continues_after_a_failed_run(small: Workspace) -> None:
    """The failed point has its reason; finished runs are sorted, best first."""
    points = [{**SMALL, "epochs": 1}, {**SMALL, "model": "no-such"}, {**SMALL, "epochs": 4}]
    found = sweep(small, points, "v001")
    assert len(found.runs) == 2
    assert "no-such" in found.failed[0].reason
    assert found.runs[0].metrics.val_accuracy >= found.runs[1].metrics.val_accuracy


def test_chained_runs_start_from_the_previous_run(small: Workspace) -> None:
    """`previous` is the last run with equal settings; if it failed, the next one fails too, and others are trained."""
    base_step = {**SMALL, "regime": "finetune", "weights": "previous", "epochs": 1}
    levels = ("head", "1", "half", "all")
    found = sweep(small, [{**SMALL, "epochs": 1}, *({**base_step, "unfreeze": unfreeze} for unfreeze in levels)], "v001")
    by_unfreeze = {run.config["unfreeze"]: run for run in found.runs if run.regime == "finetune"}
    (first,) = (run for run in found.runs if run.regime == "scratch")
    for start, unfreeze in zip([first, *map(by_unfreeze.get, levels)], levels, strict=False):
        assert start is not None and by_unfreeze[unfreeze].config["weights"] == f"run:{start.id}"
    assert [len(by_unfreeze[unfreeze].config["trainable_stages"]) for unfreeze in levels] == [0, 1, 3, 5]
    broken = sweep(small, [{**SMALL, "epochs": 1}, {**base_step, "unfreeze": "no-such"}, {**base_step, "unfreeze": "1"}], "v001")
    assert len(broken.runs) == 1 and "no-such" in broken.failed[0].reason
    assert broken.failed[1].reason.startswith("the previous run, from which it starts, failed")


def kill_one(killed: threading.Event) -> None:
    """Kill one of this process's workers while it trains, as the system does when memory ends."""
    for _ in range(2000):
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                if any("spawn_main" in part for part in child.cmdline()) and child.cpu_times().user > 3:
                    child.kill()
                    killed.set()
                    return
        time.sleep(0.02)


@pytest.mark.slow
def test_parallel_runs_are_all_trained_after_a_worker_was_killed(small: Workspace) -> None:
    """The killed run is trained again."""
    killer = threading.Thread(target=kill_one, args=(killed := threading.Event(),))
    killer.start()
    configs = [config(epochs=1, seed=seed) for seed in (0, 1)]
    results = list(train_each(small, configs, jobs=2))
    killer.join()
    assert killed.is_set()
    assert [result.config["seed"] for result in results if not isinstance(result, FototecaError)] == [0, 1]


SIDE_BY_SIDE = """
import sys
from fototeca.train.config import TrainConfig
from fototeca.train.sweep.workers import train_each
from fototeca.core.workspace import Workspace
if __name__ == "__main__":
    base = {"model": "cnn", "regime": "scratch", "image_size": 32, "epochs": 5000, "device": "cpu"}
    list(train_each(Workspace(sys.argv[1]), [TrainConfig("v001", **base, seed=seed) for seed in (0, 1)], 2))
"""


def test_killed_sweep_leaves_no_process(small: Workspace, tmp_path: Path) -> None:
    """Its workers end with it."""
    (tmp_path / "sweep.py").write_text(SIDE_BY_SIDE)
    with subprocess.Popen([sys.executable, tmp_path / "sweep.py", small.root]) as process:
        started = time.monotonic()
        while len(list(small.runs.glob("*/epochs.csv"))) < 2:
            assert process.poll() is None and time.monotonic() < started + 120
            time.sleep(0.1)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_interrupted_sweep_starts_no_other_run(small: Workspace) -> None:
    """After Ctrl-C with two of six runs trained, the others are not started."""
    runs = train_each(small, [config(epochs=1 if seed == 0 else 5000, seed=seed) for seed in range(6)], jobs=2)
    assert isinstance(next(runs), Run)
    with pytest.raises(KeyboardInterrupt):
        runs.throw(KeyboardInterrupt)  # type: ignore[attr-defined]  # it is a generator
    assert len(list_runs(small)) == 1
    assert not [child for child in psutil.Process().children() if any("spawn_main" in part for part in child.cmdline())]


def test_run_that_killed_a_sweep_is_trained_in_its_own_process(small: Workspace) -> None:
    """Killed again, it is an error, and the next run is trained."""
    configs = [config(epochs=2000), config(epochs=1, seed=1)]
    mark = small.runs / "in-progress.txt"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(repr(configs[0]))
    killer = threading.Thread(target=kill_one, args=(killed := threading.Event(),))
    killer.start()
    cut_off, other = train_each(small, configs, jobs=1)
    killer.join()
    assert killed.is_set()
    assert isinstance(cut_off, FototecaError) and "the run was killed" in cut_off.message
    assert isinstance(other, Run) and other.done
    assert not mark.exists()


def test_plan_is_a_grid_of_lists_and_tables(tmp_path: Path) -> None:
    """An unknown setting is rejected."""
    path = tmp_path / "plan.toml"
    runs = '[[run]]\nmodel = "cnn"\nlr = [0.1, 0.2]\n[[run]]\nmodel = "cnn-cbam"\n'
    path.write_text(f'seed = [0, 1]\nregime = "scratch"\n{runs}')
    assert len(read_plan(path)) == 6
    assert list(expand_grid({"a": [1, 2], "b": 3})) == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]
    path.write_text('model = "cnn"\nregime = "scratch"\nspeed = 1\n')
    with pytest.raises(FototecaError, match="speed"):
        read_plan(path)


def test_nan_loss_aborts_the_run(small: Workspace) -> None:
    """The error has the step and a suggestion; the curves remain."""
    with pytest.raises(FototecaError, match=r"step \d+ .*try --lr"):
        train_run(small, config(lr=1e30, optimizer="sgd", schedule="constant"))
    (run,) = list_runs(small, unfinished=True)
    assert not run.done


def test_damaged_checkpoint_is_named(small: Workspace) -> None:
    """resume=False starts over."""
    run = train_run(small, config())
    (run.folder / "done.json").unlink()
    (run.folder / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(FototecaError, match="damaged"):
        train_run(small, config())
    assert train_run(small, config(), resume=False).done


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "resnet19"}, "resnet18"),
        ({"head": "svm"}, "features"),
        ({"unfreeze": "2"}, "fine-tuning"),
        ({"epochs": 0}, "--epochs"),
        ({"regime": "finetune", "weights": "run:nothing"}, "nothing"),
        ({"manifest": "v009"}, "v009"),
        ({"device": "abacus"}, "--device"),
    ],
)
def test_invalid_settings_are_rejected(small: Workspace, settings: dict[str, object], words: str) -> None:
    """The error names the setting."""
    with pytest.raises(FototecaError, match=words):
        train_run(small, config(**settings))


def test_losses_equal_a_plain_pytorch_loop(small: Workspace) -> None:
    """Without augmentation the first losses agree to 1e-5."""
    run = train_run(small, config(augment="none", epochs=1, optimizer="sgd", schedule="constant", weight_decay=0.0))
    manifest = read_manifest(small, "v001")
    from fototeca.train.training.data import ImageDataset, derive_seed, encode_labels, epoch_order
    from fototeca.vision.pixels import PixelCache

    torch.manual_seed(0)
    module, preprocessing, _ = build_model("cnn", 3)
    module, preprocessing = module.to(memory_format=torch.channels_last), preprocessing.at(32)
    rows = manifest.split("train")
    labels = encode_labels(rows, manifest.categories, False)
    order = epoch_order(labels, config(), 1)
    pixels = PixelCache(small.cache / "pixels", preprocessing.resize)
    images = ImageDataset([row.image_id for row in rows], pixels, preprocessing, None, 0)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    written = [row["loss"] for row in run.steps()]
    module.train()
    for step in range(3):
        torch.manual_seed(derive_seed(0, "step", step, 0))
        part = order[step * 16 : step * 16 + 16]
        stacked = torch.stack([images[i][0] for i in part]).contiguous(memory_format=torch.channels_last)
        batch = preprocessing.normalize(stacked)
        loss = torch.nn.functional.cross_entropy(module(batch), labels[part])
        assert loss.item() == pytest.approx(written[step], rel=1e-5), step
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_curves_have_the_documented_columns(small: Workspace) -> None:
    """epochs.csv and steps.csv have the columns of docs/training.md."""
    run = train_run(small, config(epochs=1))
    with (run.folder / "epochs.csv").open() as file:
        head = next(csv.reader(file))
    assert head == ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds", "images_per_second"]
    assert list(run.steps()[0]) == ["step", "epoch", "loss", "learning_rate"]
