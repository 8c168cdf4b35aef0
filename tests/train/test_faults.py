"""What goes wrong outside, told in one line: memory, disk."""

from __future__ import annotations

import errno
import hashlib
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
import torch

from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import manifest_bytes, read_manifest, write_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run
from fototeca.train.trainer import train_run
from fototeca.train.training import checkpoints, loop
from fototeca.vision.nets import SmallNet


def config(**settings: object) -> TrainConfig:
    """A small run with some settings changed."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return TrainConfig(**{"epochs": 2, **base, **settings})  # type: ignore[arg-type]  # a test's plain dict


@pytest.mark.parametrize("words", ["CUDA out of memory", "could not create a primitive", "std::bad_alloc"])
def test_out_of_memory_says_which_batch_fits(small: Workspace, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """A network that takes at most five images: batches of 4, as many steps as before; and those settings do train."""
    whole = SmallNet.forward

    def narrow(self: SmallNet, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) > 5:
            raise RuntimeError(words)
        return whole(self, x)

    monkeypatch.setattr(SmallNet, "forward", narrow)
    with pytest.raises(FototecaError, match=r"16 images of 32 px.*--batch-size 4 --accumulate 4"):
        train_run(small, config())
    assert train_run(small, config(batch_size=4, accumulate=4)).done


def test_a_full_disk_is_one_line_and_nothing_is_lost(small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills after the first epoch; with room again the run ends as if nothing had been."""
    calm = train_run(small, config())
    weights = (calm.folder / "model.safetensors").read_bytes()
    calm.folder.rename(tmp_path / "calm")
    real, calls = checkpoints.atomic_write, []

    def full(path: Path) -> AbstractContextManager[IO[bytes]]:
        calls.append(path)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path)

    monkeypatch.setattr(checkpoints, "atomic_write", full)
    with pytest.raises(FototecaError, match="disk is full") as caught:
        train_run(small, config())
    assert caught.value.exit_code == EXIT_OUTSIDE
    monkeypatch.undo()
    assert (train_run(small, config()).folder / "model.safetensors").read_bytes() == weights


def test_a_disk_that_is_full_from_the_start_is_one_line(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's first file cannot be written, nor the first image of the cache."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "config.json")

    with monkeypatch.context() as patch:
        patch.setattr("fototeca.train.trainer.write_config", full)
        with pytest.raises(FototecaError, match=r"disk is full \(config.json\)"):
            train_run(small, config())
    monkeypatch.setattr("fototeca.vision.store.os.fsync", full)
    with pytest.raises(FototecaError, match="disk is full"):
        train_run(small, config(image_size=48))


@pytest.mark.parametrize("number", [1, 3, 5])
def test_images_that_are_gone_are_counted_and_three_named(small: Workspace, number: int) -> None:
    """Of whatever split, before a run is begun; when they are back it is trained."""
    manifest = read_manifest(small, "v001")
    rows = [*manifest.split("train"), *manifest.split("val")[:2]][-number:]
    for row in rows:
        (small.root / row.path).rename(small.root / row.image_id)
    with pytest.raises(FototecaError, match="; restore the file, or collect it again") as caught:
        train_run(small, config())
    assert caught.value.message.startswith("image " if number == 1 else f"{number} images of 72 are missing: image ")
    assert [row.image_id[:12] in str(caught.value) for row in rows] == [True, True, True, False, False][:number]
    assert not list(small.runs.glob("*"))
    for row in rows:
        (small.root / row.image_id).rename(small.root / row.path)
    assert train_run(small, config(epochs=1)).done


def test_a_version_that_cannot_be_learned_from_is_told(small: Workspace, tmp_path: Path) -> None:
    """One category only; no validation; another task than the workspace's. Each is one line and leaves no run behind."""
    whole = read_manifest(small, "v001")
    only_red = [row for row in whole.rows if row.label == "red"]
    no_val = [row for row in whole.rows if row.split != "val"]
    for version, rows, words in (("v002", only_red, "one category only"), ("v003", no_val, "v003 has no val images")):
        digest = hashlib.sha256(manifest_bytes(rows)).hexdigest()
        place = small.manifests / f"{version}.csv"
        write_manifest(replace(whole, version=version, rows=tuple(rows), sha256=digest, path=place), [])
        with pytest.raises(FototecaError, match=words):
            train_run(small, config(manifest=version))
    settings = small.root / "fototeca.toml"
    settings.write_text(settings.read_text().replace('task = "single"', 'task = "multi"'))
    with pytest.raises(FototecaError, match=r"v001 is of a single-label task.*freeze again"):
        train_run(Workspace(small.root), config())
    assert not list(small.runs.glob("*"))


def shown(run: Run, name: str) -> dict[int, float]:
    """What TensorBoard shows under a name: a value for each step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.folder / "tensorboard" / name.split("/")[0]))
    events.Reload()
    points = [(point.step, point.value) for point in events.Scalars(name)]
    assert len(points) == len(dict(points))
    return dict(points)


def written(rows: list[dict[str, float]], over: str, name: str) -> dict[int, float]:
    """The same from a run's own files."""
    return {int(row[over]): pytest.approx(row[name], rel=1e-5) for row in rows}


@pytest.mark.parametrize("features", [False, True])
def test_tensorboard_shows_what_the_files_say(small: Workspace, features: bool) -> None:
    """Every step's loss and every epoch's validation accuracy are in the event files: of a network, and of a head."""
    run = train_run(small, config(tensorboard=True))
    if features:
        run = train_run(small, config(regime="features", weights=f"run:{run.id}", tensorboard=True))
    assert shown(run, "steps/loss") == written(run.steps(), "step", "loss")
    assert shown(run, "epochs/val_accuracy") == written(run.epochs(), "epoch", "val_accuracy")
    assert len(run.epochs()) == 2


@pytest.mark.parametrize("epoch", [1, 2])
def test_tensorboard_forgets_what_a_kill_undid(small: Workspace, monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Killed before an epoch's checkpoint, the run makes that epoch again, and so do its events; those before it stay."""
    whole = loop.TrainingLoop._save

    def killed(self: loop.TrainingLoop) -> None:
        if self.progress.epoch == epoch:
            raise KeyboardInterrupt
        whole(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingLoop, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            train_run(small, config(tensorboard=True))
    run = train_run(small, config(tensorboard=True))
    assert shown(run, "steps/loss") == written(run.steps(), "step", "loss")
    assert shown(run, "epochs/val_loss") == written(run.epochs(), "epoch", "val_loss")
