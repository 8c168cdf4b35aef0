"""Runs joined: what they say together, and that the joined run loads as it was written."""

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
from fototeca.train.ensemble import Network, join_runs
from fototeca.train.runs import Run, check_members, load_model, write_predictions_csv
from fototeca.train.runs.registry import list_runs, read_tensors, write_config, write_done
from fototeca.train.trainer import train_run
from fototeca.train.training.data import encode_labels


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


LABELS = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])

LOW = np.where(LABELS.numpy() > 0, 0.3, 0.1).astype(np.float32)
"""Wholly right with thresholds of its own, and nowhere above one half."""

HALF = np.where(LABELS.numpy() > 0, 0.9, 0.1).astype(np.float32)
HALF[0], HALF[3] = HALF[3].copy(), HALF[0].copy()
"""Right for half of the images, at one half and at any other threshold."""


def test_shares_are_chosen_with_the_thresholds_that_a_run_is_judged_by() -> None:
    """A multi-label member that is wholly right below one half keeps its word; at one half it would seem the worse one."""
    shares = ensemble._greedy([HALF, LOW], LABELS)
    assert shares[1] > shares[0]
    assert ensemble._score((shares[0] * HALF + shares[1] * LOW).astype(np.float32), LABELS)[0] == 1


def test_of_all_shares_on_the_way_the_best_are_taken() -> None:
    """Not those of the last draw: where one member must count twice as much as the other, the third draw has it right.

    The truth is given 0.9 by one member and 0.1 by the other: of 11 images by the first, of 19 by the second. With a share s of
    the first the loss is lowest where 11 / (0.1 + 0.8 s) = 19 / (0.9 - 0.8 s), which is at a third.
    """
    labels = torch.tensor([0, 1, 2] * 10)
    sure = np.where(np.arange(30) < 11, 0.9, 0.1)
    said = [
        np.where(np.eye(3)[labels] > 0, part[:, None], (1 - part[:, None]) / 2).astype(np.float32) for part in (sure, 1 - sure)
    ]
    assert ensemble._greedy(said, labels) == pytest.approx([1 / 3, 2 / 3])


def test_a_soup_is_judged_with_the_thresholds_of_a_run(several: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean that is right with thresholds of its own is kept, though at one half it would be worse than the first alone."""
    members = [trained(several, seed=seed, epochs=1).id for seed in (0, 1)]
    manifest = read_manifest(several, "v001")
    labels = encode_labels(manifest.split("val"), manifest.categories, True).numpy()
    alone, mean = np.full_like(labels, 0.6), np.where(labels > 0, 0.3, 0.1).astype(np.float32)
    said = iter([alone, mean, np.full((len(manifest.split("train")), 2), 0.5, np.float32), mean])
    monkeypatch.setattr(Network, "ask", lambda *_: next(said))
    soup = join_runs(several, members, "soup")
    assert sorted(soup.config["soup"]) == sorted(members) and soup.facts["val_accuracy"] == 1


def test_a_soup_has_the_mean_of_its_members_weights(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that do no harm, tensor by tensor; counts stay whole numbers."""
    members = [trained(small, seed=seed, epochs=1) for seed in (0, 1, 2)]
    monkeypatch.setattr(ensemble, "_score", lambda *_: (1.0, 0.0))
    soup = join_runs(small, [run.id for run in members], "soup")
    assert len(soup.config["soup"]) == 3
    parts, whole = [read_tensors(run) for run in members], read_tensors(soup)
    for name, value in whole.items():
        mean = sum(part[name].double() for part in parts) / 3
        assert value.dtype == parts[0][name].dtype
        assert torch.allclose(value.double(), mean if value.is_floating_point() else mean.floor(), atol=1e-6), name


def test_a_weighted_mean_has_its_shares(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three quarters of what the one says and a quarter of the other: as it is written down, and as it is loaded."""
    members = [trained(small, seed=seed, epochs=1) for seed in (0, 1)]
    monkeypatch.setattr(ensemble, "_greedy", lambda *_: np.array([0.75, 0.25]))
    joined = join_runs(small, [run.id for run in members], "weighted")
    assert joined.config["member_weights"] == [0.75, 0.25]
    for split in ("train", "val"):
        said = [run.predictions(split).probabilities for run in members]
        mixed = 0.75 * said[0] + 0.25 * said[1]
        assert np.abs(mixed - (said[0] + said[1]) / 2).max() > 1e-3
        assert joined.predictions(split).probabilities == pytest.approx(mixed, abs=1e-6)
    assert asked(small, joined) == pytest.approx(joined.predictions("val").probabilities, abs=1e-4)


def test_what_is_made_of_a_run_that_was_trained_again_is_made_again(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine the same run has other weights: its ensembles and snapshots follow it, also after a kill in between."""
    run = trained(small, epochs=2, snapshots=2)
    other = trained(small, epochs=1, seed=1)
    joined, snapshots = join_runs(small, [run.id, other.id]), join_runs(small, [run.id])
    said = [one.predictions("val").probabilities for one in (joined, snapshots)]
    content = {path: path.read_bytes() for path in (snapshots.folder / "predictions-val.csv", joined.folder / "done.json")}
    assert join_runs(small, [run.id]).done and join_runs(small, [run.id, other.id]).done
    assert {path: path.read_bytes() for path in content} == content, "as long as nothing has changed they are left alone"
    for path in sorted(run.folder.glob("snapshot-*.pt")):
        state = torch.load(path, weights_only=True)
        torch.save({name: value * 0 if value.is_floating_point() else value for name, value in state.items()}, path)
    even = np.full_like(said[0], 1 / 3)
    write_predictions_csv(run, "val", run.predictions("val").image_ids, run.predictions("val").labels, even)
    write_done(run, {**run.facts, "train_accuracy": 0.5})
    with pytest.raises(FototecaError, match=f"{run.id} was trained again since {joined.id} was made of it") as error:
        load_model(small, joined)
    assert joined.command in error.value.hint
    with pytest.raises(FototecaError, match="was trained again"):
        check_members(small, joined)
    write_predictions_csv(joined, "test", ["x"], ["red"], even[:1])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ensemble, "write_predictions", stop)
        join_runs(small, [run.id, other.id])
    assert not (joined.folder / "predictions-test.csv").exists(), "what the former one said of test is not the new one's"
    again = [join_runs(small, names).predictions("val").probabilities for names in ([run.id, other.id], [run.id])]
    assert again[0] == pytest.approx((even + other.predictions("val").probabilities) / 2, abs=1e-6)
    assert again[1] == pytest.approx(even, abs=1e-6)


def test_who_has_no_share_is_not_asked(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its network would cost time and its features a say in what is unknown; what was named is still told."""
    members = [trained(small, seed=seed, epochs=1) for seed in (0, 1, 2)]
    monkeypatch.setattr(ensemble, "_greedy", lambda *_: np.array([0.25, 0.0, 0.75]))
    joined = join_runs(small, [run.id for run in members], "weighted")
    assert joined.config["members"] == [members[0].id, members[2].id] and joined.config["member_weights"] == [0.25, 0.75]
    assert joined.facts["parameters"] == 2 * members[0].facts["parameters"]
    assert joined.command.endswith(f"{' '.join(run.id for run in members)} --method weighted")
    assert asked(small, joined) == pytest.approx(joined.predictions("val").probabilities, abs=1e-4)


def test_images_that_are_gone_are_counted(small: Workspace) -> None:
    """As training does: how many, and the first by name."""
    members = [trained(small, seed=seed, epochs=1).id for seed in (0, 1)]
    shutil.rmtree(small.cache)
    rows = read_manifest(small, "v001").split("train")
    for row in rows[:2]:
        image_path(small, row).unlink()
    with pytest.raises(FototecaError, match=rf"2 images of \d+ are missing: .*{rows[0].path}"):
        join_runs(small, members, "soup")


def test_runs_of_different_versions_are_not_joined(small: Workspace) -> None:
    """Nor two versions of one name whose content differs."""
    whole = read_manifest(small, "v001")
    rows = [row for row in whole.rows if row.split != "train" or row.image_id > "2"]
    digest = hashlib.sha256(manifest_bytes(rows)).hexdigest()
    place = small.manifests / "v002.csv"
    write_manifest(replace(whole, version="v002", rows=tuple(rows), sha256=digest, path=place), [])
    first, second = (trained(small, epochs=1, manifest=version) for version in ("v001", "v002"))
    for method in ("mean", "weighted", "soup"):
        with pytest.raises(FototecaError, match="the runs are of different versions; train them on one"):
            join_runs(small, [first.id, second.id], method)  # type: ignore[arg-type]  # of the three words
    other = trained(small, epochs=1, seed=1)
    write_config(Run(other.id, other.folder, {**other.config, "manifest_sha256": "0" * 64}))
    with pytest.raises(FototecaError, match="different versions"):
        join_runs(small, [first.id, other.id])


def test_runs_of_a_version_that_is_another_now_are_not_joined(small: Workspace) -> None:
    """Frozen anew under its old name, of as many images: what the runs said is of others."""
    names = [trained(small, epochs=2, snapshots=2).id, trained(small, epochs=1, seed=1).id]
    manifest = read_manifest(small, "v001")
    colours = {"red": "green", "green": "blue", "blue": "red"}
    rows = tuple(replace(row, label=colours[row.label]) for row in manifest.rows)
    digest = hashlib.sha256(manifest_bytes(rows)).hexdigest()
    for path in small.manifests.glob("v001.*"):
        path.unlink()
    write_manifest(replace(manifest, rows=rows, sha256=digest), [])
    for asked_for, method in ((names, "mean"), (names, "soup"), (names[:1], "mean")):
        with pytest.raises(FototecaError, match="was trained on another v001"):
            join_runs(small, asked_for, method)  # type: ignore[arg-type]  # of the three words
    assert {run.id for run in list_runs(small, unfinished=True)} == set(names)


def test_a_soup_is_an_ingredient_like_others(small: Workspace) -> None:
    """What it is made of is told, not what its first ingredient was made of."""
    members = [trained(small, epochs=1, seed=seed).id for seed in (0, 1, 2)]
    first = join_runs(small, members[:2], "soup")
    second = join_runs(small, [first.id, members[2]], "soup")
    assert second.command == f"fototeca train ensemble {first.id} {members[2]} --method soup"


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
    from fototeca.train.runs import read_run

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
        patch.setattr("fototeca.train.ensemble.write_config", full)
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
