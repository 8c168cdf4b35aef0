"""Runs joined: what they say together, and that the joined run loads as it was written."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from curate.manifest import image_path, read_manifest
from train.config import TrainConfig
from train.ensemble import Network, join_runs
from train.run import train_run
from train.runs import Run, list_runs, load_model
from workspace import EXIT_OUTSIDE, FototecaError, Workspace


def trained(workspace: Workspace, **settings: object) -> Run:
    """A small finished run."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return train_run(workspace, TrainConfig(**{"epochs": 2, **base, **settings}))  # type: ignore[arg-type]  # a test's plain dict


def asked(workspace: Workspace, run: Run) -> np.ndarray:
    """What the loaded run says about validation."""
    rows = read_manifest(workspace, "v001").split("val")
    return load_model(workspace, run).probabilities([image_path(workspace, row) for row in rows])


@pytest.mark.parametrize("kind", ["small", "several"])
def test_mean_and_weighted(kind: str, request: pytest.FixtureRequest) -> None:
    """The mean is the members' mean; the weighted one is no worse on validation than its best member; both load as written."""
    workspace: Workspace = request.getfixturevalue(kind)
    members = [trained(workspace, seed=seed) for seed in (0, 1)]
    said = [member.predictions("val").probabilities for member in members]
    mean, weighted = (join_runs(workspace, [run.id for run in members], method) for method in ("mean", "weighted"))
    assert mean.predictions("val").probabilities == pytest.approx((said[0] + said[1]) / 2, abs=1e-6)
    assert weighted.facts["val_accuracy"] >= max(run.facts["val_accuracy"] for run in members) - 1e-9
    for run in (mean, weighted):
        assert np.abs(asked(workspace, run) - run.predictions("val").probabilities).max() < 1e-4


def test_a_soup_is_no_worse_than_its_best(small: Workspace) -> None:
    """Weights are averaged only as long as validation does not suffer; it is one network."""
    members = [trained(small, seed=seed) for seed in (0, 1)]
    soup = join_runs(small, [run.id for run in members], "soup")
    assert soup.facts["val_accuracy"] >= max(run.facts["val_accuracy"] for run in members)
    assert soup.facts["parameters"] == members[0].facts["parameters"]
    assert np.abs(asked(small, soup) - soup.predictions("val").probabilities).max() < 1e-4


def test_the_snapshots_of_one_run_are_an_ensemble(small: Workspace) -> None:
    """Two cycles give two networks that differ; their mean is what is said, and it loads."""
    run = trained(small, epochs=4, snapshots=2)
    joined = join_runs(small, [run.id])
    first, second = join_runs(small, [run.id]).config["members"]
    assert first.endswith("snapshot-1") and second.endswith("snapshot-2")
    from train.runs import read_run

    said = [read_run(small, name).predictions("val").probabilities for name in (first, second)]
    assert np.abs(said[0] - said[1]).max() > 1e-3
    assert joined.command == f"fototeca train ensemble {run.id} --method mean"
    assert join_runs(small, [run.id], "soup").command == f"fototeca train ensemble {run.id} --method soup"
    assert joined.predictions("val").probabilities == pytest.approx((said[0] + said[1]) / 2, abs=1e-6)
    assert np.abs(asked(small, joined) - joined.predictions("val").probabilities).max() < 1e-4


def test_what_cannot_be_joined_is_told(small: Workspace) -> None:
    """One run without snapshots; a soup of two image sizes."""
    first, second = trained(small, epochs=1), trained(small, epochs=1, image_size=48)
    with pytest.raises(FototecaError, match="two runs or more"):
        join_runs(small, [first.id])
    with pytest.raises(FototecaError, match="one image size"):
        join_runs(small, [first.id, second.id], "soup")


def test_a_full_disk_is_one_line_and_the_command_goes_on(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left that looks finished; with room again it is made."""
    names = [trained(small, epochs=1, seed=seed).id for seed in (0, 1)]

    def full(run: Run) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "config.json")

    with monkeypatch.context() as patch:
        patch.setattr("train.ensemble.write_config", full)
        with pytest.raises(FototecaError, match=r"disk is full \(config.json\)") as caught:
            join_runs(small, names)
    assert caught.value.exit_code == EXIT_OUTSIDE
    assert join_runs(small, names).done


def test_a_snapshot_is_asked_as_its_run_is(small: Workspace) -> None:
    """A network that turns its input into that of other weights does so in snapshots and soups too."""
    run = trained(small, epochs=1)
    for turned in (True, False):
        other = Run(run.id, run.folder, {**run.config, "transform_input": turned})
        network = Network(small, other, read_manifest(small, "v001"))
        assert getattr(network.module, "transform_input", False) == turned


def test_damaged_files_of_members_are_one_line_each(small: Workspace) -> None:
    """A snapshot and a model that were cut short, or are gone: which file, and what to do; nothing looks finished."""
    run, other = trained(small, epochs=2, snapshots=2), trained(small, epochs=1, seed=1)
    snapshot, model = run.folder / "snapshot-1.pt", other.folder / "model.safetensors"
    for path, names in ((snapshot, [run.id]), (model, [run.id, other.id])):
        whole = path.read_bytes()
        for content in (whole[: len(whole) // 2], b""):
            path.write_bytes(content)
            with pytest.raises(FototecaError, match=rf"{path.name} (is damaged|cannot be read); delete"):
                join_runs(small, names, "soup")
        path.unlink()
        if path == model:
            with pytest.raises(FototecaError, match=r"model.safetensors cannot be read; delete the run's folder"):
                join_runs(small, names, "soup")
        path.write_bytes(whole)
    assert {found.id for found in list_runs(small)} == {run.id, other.id}
    assert join_runs(small, [run.id], "soup").done and join_runs(small, [run.id, other.id], "soup").done


@pytest.mark.parametrize("content", ["{", "[]", '{"red": {}}', '{"red": "no number"}'])
def test_damaged_thresholds_are_one_line(several: Workspace, content: str) -> None:
    """No half is taken for what was chosen on validation."""
    run = trained(several, epochs=1)
    (run.folder / "thresholds.json").write_text(content)
    with pytest.raises(FototecaError, match=r"thresholds.json cannot be read; delete the run's folder"):
        _ = Run(run.id, run.folder, run.config).thresholds
