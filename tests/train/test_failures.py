"""External failures in training: memory, disk, missing files; and TensorBoard."""

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
    """Return a small configuration with some settings changed."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return TrainConfig(**{"epochs": 2, **base, **settings})  # type: ignore[arg-type]  # a test's plain dict


@pytest.mark.parametrize("words", ["CUDA out of memory", "could not create a primitive", "std::bad_alloc"])
def test_out_of_memory_error_suggests_a_batch_that_fits(small: Workspace, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """A network that accepts five images: the error suggests batches of 4 with as many steps, and those settings train."""
    original = SmallNet.forward

    def limited_forward(self: SmallNet, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) > 5:
            raise RuntimeError(words)
        return original(self, x)

    monkeypatch.setattr(SmallNet, "forward", limited_forward)
    with pytest.raises(FototecaError, match=r"16 images of 32 px.*--batch-size 4 --accumulate 4"):
        train_run(small, config())
    assert train_run(small, config(batch_size=4, accumulate=4)).done


def test_run_resumes_after_a_full_disk(small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills after the first epoch; the resumed run has the same weights as an uninterrupted one."""
    calm = train_run(small, config())
    weights = (calm.folder / "model.safetensors").read_bytes()
    calm.folder.rename(tmp_path / "calm")
    original_write, calls = checkpoints.atomic_write, []

    def full(path: Path) -> AbstractContextManager[IO[bytes]]:
        calls.append(path)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return original_write(path)

    monkeypatch.setattr(checkpoints, "atomic_write", full)
    with pytest.raises(FototecaError, match="disk is full") as caught:
        train_run(small, config())
    assert caught.value.exit_code == EXIT_OUTSIDE
    monkeypatch.undo()
    assert (train_run(small, config()).folder / "model.safetensors").read_bytes() == weights


def test_full_disk_at_the_start_is_one_error_line(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the run's first file nor the first image of the cache can be written."""

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
def test_missing_images_are_counted_and_three_are_named(small: Workspace, number: int) -> None:
    """The error comes before the run starts; with the images restored it trains."""
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


def test_versions_unfit_for_training_are_rejected(small: Workspace, tmp_path: Path) -> None:
    """One category, an empty validation split, or another task than the workspace's: one line each, and no run is left."""
    original = read_manifest(small, "v001")
    only_red = [row for row in original.rows if row.label == "red"]
    no_val = [row for row in original.rows if row.split != "val"]
    for version, rows, words in (("v002", only_red, "one category only"), ("v003", no_val, "v003 has no val images")):
        digest = hashlib.sha256(manifest_bytes(rows)).hexdigest()
        place = small.manifests / f"{version}.csv"
        write_manifest(replace(original, version=version, rows=tuple(rows), sha256=digest, path=place), [])
        with pytest.raises(FototecaError, match=words):
            train_run(small, config(manifest=version))
    settings = small.root / "fototeca.toml"
    settings.write_text(settings.read_text().replace('task = "single"', 'task = "multi"'))
    with pytest.raises(FototecaError, match=r"v001 is of a single-label task.*freeze again"):
        train_run(Workspace(small.root), config())
    assert not list(small.runs.glob("*"))


def read_events(run: Run, name: str) -> dict[int, float]:
    """Return the values of a TensorBoard tag by step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.folder / "tensorboard" / name.split("/")[0]))
    events.Reload()
    points = [(point.step, point.value) for point in events.Scalars(name)]
    assert len(points) == len(dict(points))
    return dict(points)


def read_rows(rows: list[dict[str, float]], over: str, name: str) -> dict[int, float]:
    """Return the same from the run's own files."""
    return {int(row[over]): pytest.approx(row[name], rel=1e-5) for row in rows}


@pytest.mark.parametrize("features", [False, True])
def test_tensorboard_events_equal_the_csv_files(small: Workspace, features: bool) -> None:
    """Step losses and epoch accuracies agree, for a network and for a head."""
    run = train_run(small, config(tensorboard=True))
    if features:
        run = train_run(small, config(regime="features", weights=f"run:{run.id}", tensorboard=True))
    assert read_events(run, "steps/loss") == read_rows(run.steps(), "step", "loss")
    assert read_events(run, "epochs/val_accuracy") == read_rows(run.epochs(), "epoch", "val_accuracy")
    assert len(run.epochs()) == 2


@pytest.mark.parametrize("epoch", [1, 2])
def test_tensorboard_purges_events_after_the_checkpoint(small: Workspace, monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """An epoch that was killed before its checkpoint is written once; earlier events stay."""
    original = loop.TrainingLoop._save

    def interrupt(self: loop.TrainingLoop) -> None:
        if self.progress.epoch == epoch:
            raise KeyboardInterrupt
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingLoop, "_save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_run(small, config(tensorboard=True))
    run = train_run(small, config(tensorboard=True))
    assert read_events(run, "steps/loss") == read_rows(run.steps(), "step", "loss")
    assert read_events(run, "epochs/val_loss") == read_rows(run.epochs(), "epoch", "val_loss")
