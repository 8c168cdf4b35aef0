"""Ensembles: predictions, weights, soups, snapshots, and their errors."""

from __future__ import annotations

import errno
import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import image_path, manifest_bytes, read_manifest, write_manifest
from fototeca.train import ensemble
from fototeca.train.config import TrainConfig
from fototeca.train.ensemble import EvaluationNetwork, make_ensemble
from fototeca.train.runs import Run, check_members, load_model, write_predictions_csv
from fototeca.train.runs.load import read_tensors
from fototeca.train.runs.registry import list_runs, write_config, write_done
from fototeca.train.trainer import train_run
from fototeca.train.training.data import encode_labels


def trained(workspace: Workspace, **settings: object) -> Run:
    """Train a small run."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "batch_size": 16, "device": "cpu"}
    return train_run(workspace, TrainConfig(**{"epochs": 2, **base, **settings}))  # type: ignore[arg-type]  # a test's plain dict


def predict_val(workspace: Workspace, run: Run) -> np.ndarray:
    """Record logits, labels and options of every training loss."""
    rows = read_manifest(workspace, "v001").split("val")
    return load_model(workspace, run).probabilities([image_path(workspace, row) for row in rows])


@pytest.mark.parametrize("kind", ["small", "several"])
def test_mean_and_weighted(kind: str, request: pytest.FixtureRequest) -> None:
    """The mean equals the members' mean; the weighted mean is at least as accurate as the best member; both load."""
    workspace: Workspace = request.getfixturevalue(kind)
    members = [trained(workspace, seed=seed) for seed in (0, 1)]
    parts = [member.predictions("val").probabilities for member in members]
    mean, weighted = (make_ensemble(workspace, [run.id for run in members], method) for method in ("mean", "weighted"))
    assert mean.predictions("val").probabilities == pytest.approx((parts[0] + parts[1]) / 2, abs=1e-6)
    assert weighted.metrics.val_accuracy >= max(run.metrics.val_accuracy for run in members) - 1e-9
    for run in (mean, weighted):
        assert np.abs(predict_val(workspace, run) - run.predictions("val").probabilities).max() < 1e-4


LABELS = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])

LOW = np.where(LABELS.numpy() > 0, 0.3, 0.1).astype(np.float32)
"""Correct with thresholds of its own; nowhere above 0.5."""

HALF = np.where(LABELS.numpy() > 0, 0.9, 0.1).astype(np.float32)
HALF[0], HALF[3] = HALF[3].copy(), HALF[0].copy()
"""Correct for half of the images at every threshold."""


def test_weights_are_selected_with_multi_label_thresholds() -> None:
    """A member that is correct with a threshold below 0.5 gets a weight."""
    shares = ensemble._select_weights([HALF, LOW], LABELS)
    assert shares[1] > shares[0]
    assert ensemble._score((shares[0] * HALF + shares[1] * LOW).astype(np.float32), LABELS)[0] == 1


def test_best_prefix_of_the_selection_is_used() -> None:
    """Not those of the last draw: where one member must count twice as much as the other, the third draw has it right.

    The truth is given 0.9 by one member and 0.1 by the other: of 11 images by the first, of 19 by the second. With a share s of
    the first the loss is lowest where 11 / (0.1 + 0.8 s) = 19 / (0.9 - 0.8 s), which is at a third.
    """
    labels = torch.tensor([0, 1, 2] * 10)
    sure = np.where(np.arange(30) < 11, 0.9, 0.1)
    parts = [
        np.where(np.eye(3)[labels] > 0, part[:, None], (1 - part[:, None]) / 2).astype(np.float32) for part in (sure, 1 - sure)
    ]
    assert ensemble._select_weights(parts, labels) == pytest.approx([1 / 3, 2 / 3])


def test_soup_is_evaluated_with_multi_label_thresholds(several: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean that is correct with its own thresholds is used, though it is worse at 0.5."""
    members = [trained(several, seed=seed, epochs=1).id for seed in (0, 1)]
    manifest = read_manifest(several, "v001")
    labels = encode_labels(manifest.split("val"), manifest.categories, True).numpy()
    alone, mean = np.full_like(labels, 0.6), np.where(labels > 0, 0.3, 0.1).astype(np.float32)
    parts = iter([alone, mean, np.full((len(manifest.split("train")), 2), 0.5, np.float32), mean])
    monkeypatch.setattr(EvaluationNetwork, "predict", lambda *_: next(parts))
    soup = make_ensemble(several, members, "soup")
    assert sorted(soup.config["soup"]) == sorted(members) and soup.metrics.val_accuracy == 1


def test_soup_averages_weights(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensor by tensor; integer counts stay integers."""
    members = [trained(small, seed=seed, epochs=1) for seed in (0, 1, 2)]
    monkeypatch.setattr(ensemble, "_score", lambda *_: (1.0, 0.0))
    soup = make_ensemble(small, [run.id for run in members], "soup")
    assert len(soup.config["soup"]) == 3
    parts, whole = [read_tensors(run) for run in members], read_tensors(soup)
    for name, value in whole.items():
        mean = sum(part[name].double() for part in parts) / 3
        assert value.dtype == parts[0][name].dtype
        assert torch.allclose(value.double(), mean if value.is_floating_point() else mean.floor(), atol=1e-6), name


def test_weighted_mean_applies_its_weights(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three quarters of one member and a quarter of the other, in the file and when loaded."""
    members = [trained(small, seed=seed, epochs=1) for seed in (0, 1)]
    monkeypatch.setattr(ensemble, "_select_weights", lambda *_: np.array([0.75, 0.25]))
    combined = make_ensemble(small, [run.id for run in members], "weighted")
    assert combined.config["member_weights"] == [0.75, 0.25]
    for split in ("train", "val"):
        parts = [run.predictions(split).probabilities for run in members]
        mixed = 0.75 * parts[0] + 0.25 * parts[1]
        assert np.abs(mixed - (parts[0] + parts[1]) / 2).max() > 1e-3
        assert combined.predictions(split).probabilities == pytest.approx(mixed, abs=1e-6)
    assert predict_val(small, combined) == pytest.approx(combined.predictions("val").probabilities, abs=1e-4)


def test_ensembles_are_made_again_after_a_member_changed(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensembles and snapshots are rebuilt after a member is retrained, also if the rebuild was interrupted."""
    run = trained(small, epochs=2, snapshots=2)
    other = trained(small, epochs=1, seed=1)
    combined, snapshots = make_ensemble(small, [run.id, other.id]), make_ensemble(small, [run.id])
    parts = [one.predictions("val").probabilities for one in (combined, snapshots)]
    content = {path: path.read_bytes() for path in (snapshots.folder / "predictions-val.csv", combined.folder / "done.json")}
    assert make_ensemble(small, [run.id]).done and make_ensemble(small, [run.id, other.id]).done
    assert {path: path.read_bytes() for path in content} == content, "as long as nothing has changed they are left alone"
    for path in sorted(run.folder.glob("snapshot-*.pt")):
        state = torch.load(path, weights_only=True)
        torch.save({name: value * 0 if value.is_floating_point() else value for name, value in state.items()}, path)
    even = np.full_like(parts[0], 1 / 3)
    write_predictions_csv(run, "val", run.predictions("val").image_ids, run.predictions("val").labels, even)
    write_done(run, replace(run.metrics, train_accuracy=0.5))
    with pytest.raises(FototecaError, match=f"{run.id} was trained again after {combined.id} was made from it") as error:
        load_model(small, combined)
    assert combined.command in error.value.hint
    with pytest.raises(FototecaError, match="was trained again"):
        check_members(small, combined)
    write_predictions_csv(combined, "test", ["x"], ["red"], even[:1])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ensemble, "write_predictions", stop)
        make_ensemble(small, [run.id, other.id])
    assert not (combined.folder / "predictions-test.csv").exists(), "test predictions of the former ensemble are removed"
    again = [make_ensemble(small, names).predictions("val").probabilities for names in ([run.id, other.id], [run.id])]
    assert again[0] == pytest.approx((even + other.predictions("val").probabilities) / 2, abs=1e-6)
    assert again[1] == pytest.approx(even, abs=1e-6)


def test_members_of_weight_0_are_left_out(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in `of` but not in `members`."""
    members = [trained(small, seed=seed, epochs=1) for seed in (0, 1, 2)]
    monkeypatch.setattr(ensemble, "_select_weights", lambda *_: np.array([0.25, 0.0, 0.75]))
    combined = make_ensemble(small, [run.id for run in members], "weighted")
    assert combined.config["members"] == [members[0].id, members[2].id] and combined.config["member_weights"] == [0.25, 0.75]
    assert combined.metrics.parameters == 2 * members[0].metrics.parameters
    assert combined.command.endswith(f"{' '.join(run.id for run in members)} --method weighted")
    assert predict_val(small, combined) == pytest.approx(combined.predictions("val").probabilities, abs=1e-4)


def test_missing_images_are_counted(small: Workspace) -> None:
    """The error has their number and the first name."""
    members = [trained(small, seed=seed, epochs=1).id for seed in (0, 1)]
    shutil.rmtree(small.cache)
    rows = read_manifest(small, "v001").split("train")
    for row in rows[:2]:
        image_path(small, row).unlink()
    with pytest.raises(FototecaError, match=rf"2 images of \d+ are missing: .*{rows[0].path}"):
        make_ensemble(small, members, "soup")


def test_runs_of_different_versions_are_rejected(small: Workspace) -> None:
    """Also two versions of one name with different content."""
    whole = read_manifest(small, "v001")
    rows = [row for row in whole.rows if row.split != "train" or row.image_id > "2"]
    digest = hashlib.sha256(manifest_bytes(rows)).hexdigest()
    place = small.manifests / "v002.csv"
    write_manifest(replace(whole, version="v002", rows=tuple(rows), sha256=digest, path=place), [])
    first, second = (trained(small, epochs=1, manifest=version) for version in ("v001", "v002"))
    for method in ("mean", "weighted", "soup"):
        with pytest.raises(FototecaError, match="the runs are of different versions; train them on one"):
            make_ensemble(small, [first.id, second.id], method)  # type: ignore[arg-type]  # of the three words
    other = trained(small, epochs=1, seed=1)
    write_config(Run(other.id, other.folder, {**other.config, "manifest_sha256": "0" * 64}))
    with pytest.raises(FototecaError, match="different versions"):
        make_ensemble(small, [first.id, other.id])


def test_runs_of_a_changed_version_are_rejected(small: Workspace) -> None:
    """A version frozen again under its old name has other images."""
    names = [trained(small, epochs=2, snapshots=2).id, trained(small, epochs=1, seed=1).id]
    manifest = read_manifest(small, "v001")
    colours = {"red": "green", "green": "blue", "blue": "red"}
    rows = tuple(replace(row, label=colours[row.label]) for row in manifest.rows)
    digest = hashlib.sha256(manifest_bytes(rows)).hexdigest()
    for path in small.manifests.glob("v001.*"):
        path.unlink()
    write_manifest(replace(manifest, rows=rows, sha256=digest), [])
    for asked_for, method in ((names, "mean"), (names, "soup"), (names[:1], "mean")):
        with pytest.raises(FototecaError, match="was trained on a different v001"):
            make_ensemble(small, asked_for, method)  # type: ignore[arg-type]  # of the three words
    assert {run.id for run in list_runs(small, unfinished=True)} == set(names)


def test_soups_can_be_members_of_soups(small: Workspace) -> None:
    """The command names the soup, not its members."""
    members = [trained(small, epochs=1, seed=seed).id for seed in (0, 1, 2)]
    first = make_ensemble(small, members[:2], "soup")
    second = make_ensemble(small, [first.id, members[2]], "soup")
    assert second.command == f"fototeca train ensemble {first.id} {members[2]} --method soup"


def test_soup_is_at_least_as_accurate_as_its_best_member(small: Workspace) -> None:
    """It is one network."""
    members = [trained(small, seed=seed) for seed in (0, 1)]
    soup = make_ensemble(small, [run.id for run in members], "soup")
    assert soup.metrics.val_accuracy >= max(run.metrics.val_accuracy for run in members)
    assert soup.metrics.parameters == members[0].metrics.parameters
    assert np.abs(predict_val(small, soup) - soup.predictions("val").probabilities).max() < 1e-4


def test_snapshots_of_one_run_make_an_ensemble(small: Workspace) -> None:
    """Two cycles give two different networks; their mean is predicted and loads."""
    run = trained(small, epochs=4, snapshots=2)
    combined = make_ensemble(small, [run.id])
    first, second = make_ensemble(small, [run.id]).config["members"]
    assert first.endswith("snapshot-1") and second.endswith("snapshot-2")
    from fototeca.train.runs import read_run

    parts = [read_run(small, name).predictions("val").probabilities for name in (first, second)]
    assert np.abs(parts[0] - parts[1]).max() > 1e-3
    assert combined.command == f"fototeca train ensemble {run.id} --method mean"
    assert make_ensemble(small, [run.id], "soup").command == f"fototeca train ensemble {run.id} --method soup"
    assert combined.predictions("val").probabilities == pytest.approx((parts[0] + parts[1]) / 2, abs=1e-6)
    assert np.abs(predict_val(small, combined) - combined.predictions("val").probabilities).max() < 1e-4


def test_predictions_of_other_images_are_rejected(small: Workspace) -> None:
    """Rows that are missing, as after an erasure, and rows in another order."""
    runs = [trained(small, seed=seed) for seed in (0, 1)]
    path = runs[1].folder / "predictions-val.csv"
    head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for changed in (rows[1:], [*rows[1:], rows[0]]):
        path.write_text(head + "".join(changed), encoding="utf-8")
        with pytest.raises(FototecaError, match="does not have the predictions of all val images of v001"):
            make_ensemble(small, [run.id for run in runs])


def test_impossible_ensembles_are_rejected(small: Workspace) -> None:
    """A single run without snapshots, and a soup of two image sizes."""
    first, second = trained(small, epochs=1), trained(small, epochs=1, image_size=48)
    with pytest.raises(FototecaError, match="two runs or more"):
        make_ensemble(small, [first.id])
    with pytest.raises(FototecaError, match="one image size"):
        make_ensemble(small, [first.id, second.id], "soup")


def test_ensemble_resumes_after_a_full_disk(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing unfinished looks finished."""
    names = [trained(small, epochs=1, seed=seed).id for seed in (0, 1)]

    def full(run: Run) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "config.json")

    with monkeypatch.context() as patch:
        patch.setattr("fototeca.train.ensemble.write_config", full)
        with pytest.raises(FototecaError, match=r"disk is full \(config.json\)") as caught:
            make_ensemble(small, names)
    assert caught.value.exit_code == EXIT_OUTSIDE
    assert make_ensemble(small, names).done


def test_snapshots_keep_transform_input(small: Workspace) -> None:
    """A network with transform_input has it in snapshots and soups too."""
    run = trained(small, epochs=1)
    for turned in (True, False):
        other = Run(run.id, run.folder, {**run.config, "transform_input": turned})
        network = EvaluationNetwork(small, other, read_manifest(small, "v001"))
        assert getattr(network.module, "transform_input", False) == turned


def test_damaged_member_files_are_named(small: Workspace) -> None:
    """Truncated or missing snapshots and models: the error names the file, and nothing looks finished."""
    run, other = trained(small, epochs=2, snapshots=2), trained(small, epochs=1, seed=1)
    snapshot, model = run.folder / "snapshot-1.pt", other.folder / "model.safetensors"
    for path, names in ((snapshot, [run.id]), (model, [run.id, other.id])):
        whole = path.read_bytes()
        for content in (whole[: len(whole) // 2], b""):
            path.write_bytes(content)
            with pytest.raises(FototecaError, match=rf"{path.name} (is damaged|cannot be read); delete"):
                make_ensemble(small, names, "soup")
        path.unlink()
        if path == model:
            with pytest.raises(FototecaError, match=r"model.safetensors cannot be read; delete the run's folder"):
                make_ensemble(small, names, "soup")
        path.write_bytes(whole)
    assert {found.id for found in list_runs(small)} == {run.id, other.id}
    assert make_ensemble(small, [run.id], "soup").done and make_ensemble(small, [run.id, other.id], "soup").done


@pytest.mark.parametrize("content", ["{", "[]", '{"red": {}}', '{"red": "no number"}'])
def test_damaged_thresholds_are_rejected(several: Workspace, content: str) -> None:
    """The default 0.5 does not replace chosen thresholds."""
    run = trained(several, epochs=1)
    (run.folder / "thresholds.json").write_text(content)
    with pytest.raises(FototecaError, match=r"thresholds.json.*; delete the run's folder"):
        _ = Run(run.id, run.folder, run.config).thresholds
