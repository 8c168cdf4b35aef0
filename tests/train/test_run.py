"""Runs end to end: what is written, that they resume bit for bit, and that workers change nothing."""

from __future__ import annotations

import csv
import os
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
from fototeca.train.sweep.plan import grid, read_plan, sweep
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
    """A small run with some settings changed."""
    return TrainConfig(**{**SMALL, **settings})  # type: ignore[arg-type]  # a test's plain dict


def outcome(run: Run) -> dict[str, object]:
    """Weights, predictions and curves, without what time it took."""
    names = ("model.safetensors", "predictions-train.csv", "predictions-val.csv", "steps.csv")
    return {
        "epochs": [[row[name] for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")] for row in run.epochs()],
        **{name: (run.folder / name).read_bytes() for name in names},
    }


def copy_of(workspace: Workspace, folder: Path) -> Workspace:
    """The same frozen version without its runs."""
    import shutil

    shutil.copytree(workspace.root, folder, ignore=shutil.ignore_patterns("runs"))
    return Workspace(folder)


def test_a_scratch_run_learns_and_says_the_same_when_loaded(small: Workspace) -> None:
    """Colours are told apart; the loaded model gives the written probabilities; test is never predicted."""
    run = train_run(small, config(epochs=6))
    assert run.facts["val_accuracy"] >= 0.9
    rows = read_manifest(small, "v001").split("val")
    asked = load_model(small, run).probabilities([image_path(small, row) for row in rows])
    assert np.abs(asked - run.predictions("val").probabilities).max() < 1e-5
    assert len(run.epochs()) == 6
    assert len(run.steps()) == 6 * -(-len(read_manifest(small, "v001").split("train")) // 16)
    assert not (run.folder / "predictions-test.csv").exists()
    assert [found.id for found in list_runs(small)] == [run.id]


def test_a_stopped_run_ends_as_the_uninterrupted_one(small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle of an epoch, with everything on that holds state: the same bytes come out."""
    settings = config(ema=0.9, mixup=0.3, cutmix=0.5, random_erasing=0.3, augment="trivial", accumulate=2)
    other = copy_of(small, tmp_path / "other")
    calm = train_run(small, settings)
    whole, calls = loop.TrainingLoop._step, []

    def dies(self: loop.TrainingLoop, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return whole(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop.TrainingLoop, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        train_run(other, settings)
    monkeypatch.undo()
    assert outcome(train_run(other, settings)) == outcome(calm)


def test_workers_change_nothing(small: Workspace, tmp_path: Path) -> None:
    """Augmentation is drawn from the seed, the epoch and the image, not from who makes it."""
    other = copy_of(small, tmp_path / "other")
    settings = {"augment": "rand", "random_erasing": 0.5, "epochs": 2}
    assert outcome(train_run(small, config(**settings))) == outcome(train_run(other, config(**settings, workers=2)))


@pytest.mark.parametrize("kind", ["small", "several"])
def test_features_with_every_head(kind: str, request: pytest.FixtureRequest) -> None:
    """On features of a network trained before, each head learns, single and multi-label, and loads as it was written."""
    workspace: Workspace = request.getfixturevalue(kind)
    first = train_run(workspace, config(epochs=4))
    rows = read_manifest(workspace, "v001").split("val")
    for head in ("linear", "logistic", "svm", "boosting"):
        run = train_run(workspace, config(regime="features", head=head, weights=f"run:{first.id}", epochs=20))
        assert run.facts["val_accuracy"] >= 0.6, head
        asked = load_model(workspace, run).probabilities([image_path(workspace, row) for row in rows])
        assert np.abs(asked - run.predictions("val").probabilities).max() < 1e-4, head
        assert (load_model(workspace, run).module is None) == (head == "boosting")


def test_views_are_cached_and_learned_from(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --augmented-copies 2 the head sees three features an image; the views differ from the image and are computed once."""
    learned: list[FeatureSet] = []
    whole = heads.fit_head

    def noted(kind: str, train: FeatureSet, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  (whatever it takes and gives)
        learned.append(train)
        return whole(kind, train, *arguments, **options)

    monkeypatch.setattr("fototeca.train.feature_trainer.fit_head", noted)
    first = train_run(small, config(epochs=4))
    settings = {"regime": "features", "weights": f"run:{first.id}", "epochs": 20, "batch_size": 32}
    run = train_run(small, config(**settings, augmented_copies=2))
    stores = sorted((small.cache / "features").glob("*/rows.bin"), key=lambda path: path.stat().st_mtime_ns)
    assert len(stores) == 3 and len({path.read_bytes()[:4000] for path in stores}) == 3
    size = len(read_manifest(small, "v001").split("train"))
    parts = learned[0].features.reshape(3, size, -1)
    assert all(np.abs(parts[one] - parts[other]).max(axis=1).min() > 1e-4 for one, other in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(learned[0].labels, learned[0].labels[:size].repeat(3))
    before = [path.stat().st_mtime_ns for path in stores]
    assert run.facts["val_accuracy"] >= 0.9 and run.id != train_run(small, config(**settings)).id
    train_run(small, config(**settings, augmented_copies=2, head="logistic"))
    assert [path.stat().st_mtime_ns for path in stores] == before
    with pytest.raises(FototecaError, match="frozen features"):
        config(augmented_copies=2)


def test_finetuning_moves_only_what_is_unfrozen(small: Workspace) -> None:
    """With one stage unfrozen the others keep their weights and their batch-norm statistics."""
    first = train_run(small, config(epochs=2))
    run = train_run(small, config(regime="finetune", weights=f"run:{first.id}", unfreeze="layers.3", epochs=1))
    before, after = (load_model(small, each).network.state_dict() for each in (first, run))
    changed = {
        name.split(".")[0] + name.split(".")[1] if name.startswith("layers") else name.split(".")[0]
        for name in before
        if not torch.equal(before[name], after[name])
    }
    assert changed == {"layers3", "head"}


def test_a_sweep_goes_on_after_a_failure(small: Workspace) -> None:
    """One impossible point is told; the others are trained and sorted, the best first."""
    points = [{**SMALL, "epochs": 1}, {**SMALL, "model": "no-such"}, {**SMALL, "epochs": 4}]
    found = sweep(small, points, "v001")
    assert len(found.runs) == 2
    assert "no-such" in found.failed[0][1]
    assert found.runs[0].facts["val_accuracy"] >= found.runs[1].facts["val_accuracy"]


def test_a_ladder_starts_each_rung_from_the_one_before(small: Workspace) -> None:
    """`previous` is the run before with equal settings; where that one failed, so does the rung, and the rest goes on."""
    rung = {**SMALL, "regime": "finetune", "weights": "previous", "epochs": 1}
    rungs = ("head", "1", "half", "all")
    found = sweep(small, [{**SMALL, "epochs": 1}, *({**rung, "unfreeze": unfreeze} for unfreeze in rungs)], "v001")
    by_unfreeze = {run.config["unfreeze"]: run for run in found.runs if run.regime == "finetune"}
    (first,) = (run for run in found.runs if run.regime == "scratch")
    for start, unfreeze in zip([first, *map(by_unfreeze.get, rungs)], rungs, strict=False):
        assert start is not None and by_unfreeze[unfreeze].config["weights"] == f"run:{start.id}"
    assert [len(by_unfreeze[unfreeze].config["trainable_stages"]) for unfreeze in rungs] == [0, 1, 3, 5]
    broken = sweep(small, [{**SMALL, "epochs": 1}, {**rung, "unfreeze": "no-such"}, {**rung, "unfreeze": "1"}], "v001")
    assert len(broken.runs) == 1 and "no-such" in broken.failed[0][1]
    assert broken.failed[1][1].startswith("the run before it, from which it starts, failed")


def kill_one(killed: threading.Event) -> None:
    """The system's part when memory ends: one of this process's workers is killed while it is at work."""
    for _ in range(2000):
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                if any("spawn_main" in part for part in child.cmdline()) and child.cpu_times().user > 3:
                    child.kill()
                    killed.set()
                    return
        time.sleep(0.02)


@pytest.mark.slow
def test_runs_side_by_side_are_all_trained_though_a_process_is_killed(small: Workspace) -> None:
    """Two at once: what went down with the one that is killed is trained after all."""
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


def test_a_sweep_that_is_killed_leaves_no_process(small: Workspace, tmp_path: Path) -> None:
    """Those that trained side by side end with it, in the middle of a run."""
    (tmp_path / "sweep.py").write_text(SIDE_BY_SIDE)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, tmp_path / "sweep.py", small.root], env=environment) as process:
        started = time.monotonic()
        while len(list(small.runs.glob("*/epochs.csv"))) < 2:
            assert process.poll() is None and time.monotonic() < started + 120
            time.sleep(0.1)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_an_interrupted_sweep_begins_no_other_run(small: Workspace) -> None:
    """Ctrl-C while two of six are trained: the command ends, and none of the others is there."""
    runs = train_each(small, [config(epochs=1 if seed == 0 else 5000, seed=seed) for seed in range(6)], jobs=2)
    assert isinstance(next(runs), Run)
    with pytest.raises(KeyboardInterrupt):
        runs.throw(KeyboardInterrupt)  # type: ignore[attr-defined]  # it is a generator
    assert len(list_runs(small)) == 1
    assert not [child for child in psutil.Process().children() if any("spawn_main" in part for part in child.cmdline())]


def test_a_run_that_ended_a_sweep_is_trained_apart(small: Workspace) -> None:
    """One at a time: what was under way when the sweep was killed is killed again, and the next is trained all the same."""
    configs = [config(epochs=2000), config(epochs=1, seed=1)]
    mark = small.runs / "under-way.txt"
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


def test_a_plan_is_a_grid_and_points(tmp_path: Path) -> None:
    """Lists multiply; tables add; a setting that does not exist is refused."""
    path = tmp_path / "plan.toml"
    runs = '[[run]]\nmodel = "cnn"\nlr = [0.1, 0.2]\n[[run]]\nmodel = "cnn-cbam"\n'
    path.write_text(f'seed = [0, 1]\nregime = "scratch"\n{runs}')
    assert len(read_plan(path)) == 6
    assert list(grid({"a": [1, 2], "b": 3})) == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]
    path.write_text('model = "cnn"\nregime = "scratch"\nspeed = 1\n')
    with pytest.raises(FototecaError, match="speed"):
        read_plan(path)


def test_a_loss_that_is_no_number_stops_the_run(small: Workspace) -> None:
    """It says at which step, and what to try; the curves so far are kept."""
    with pytest.raises(FototecaError, match=r"step \d+ .*try --lr"):
        train_run(small, config(lr=1e30, optimizer="sgd", schedule="constant"))
    (run,) = list_runs(small, unfinished=True)
    assert not run.done


def test_a_damaged_checkpoint_is_a_clear_line(small: Workspace) -> None:
    """It names the file; --no-resume starts over."""
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
def test_wrong_settings_are_told(small: Workspace, settings: dict[str, object], words: str) -> None:
    """Each is one line that names what is wrong."""
    with pytest.raises(FototecaError, match=words):
        train_run(small, config(**settings))


def test_the_loop_is_a_plain_training_loop(small: Workspace) -> None:
    """Without augmentation the first steps' losses are what four lines of PyTorch give, to a hundred-thousandth."""
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


def test_curves_are_numbers(small: Workspace) -> None:
    """epochs.csv and steps.csv have the columns of the design."""
    run = train_run(small, config(epochs=1))
    with (run.folder / "epochs.csv").open() as file:
        head = next(csv.reader(file))
    assert head == ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds", "images_per_second"]
    assert list(run.steps()[0]) == ["step", "epoch", "loss", "learning_rate"]
