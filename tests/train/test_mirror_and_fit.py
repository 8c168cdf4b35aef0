"""Images that must not be mirrored, and long images whose ends matter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from fototeca.analysis.attribution import attribute
from fototeca.analysis.cli_tables import evaluation_table
from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.evaluation.tta import tta_views
from fototeca.analysis.export import export_run
from fototeca.analysis.features.extract import read_features
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig, train_command
from fototeca.train.runs import Run, load_model, read_run
from fototeca.train.sweep.hpo import search_hyperparameters
from fototeca.train.sweep.run_plan import sweep
from fototeca.train.trainer import train_run
from fototeca.train.training.data import augmentation, augmented_view
from fototeca.vision.pixels import BAR, square
from fototeca.vision.preprocessing import Preprocessing
from tests.train.conftest import freeze_files

SIDE = 32


def draw_arrow(path: Path, number: int, *, left: bool) -> None:
    """Draw a bright head at the left or the right end of a dark field."""
    rng = np.random.default_rng([number, left])
    image = Image.new("RGB", (48, 48), tuple(int(value) for value in rng.integers(0, 90, 3)))
    tip, base, y = *((4, 24) if left else (44, 24)), int(rng.integers(16, 32))
    ImageDraw.Draw(image).polygon([tip, y, base, y - 12, base, y + 12], fill="white")
    image.save(path)


def draw_panorama(path: Path, number: int, *, red: bool) -> None:
    """Draw noise four times as long as high whose ends are red or blue."""
    rng = np.random.default_rng([number, red])
    image = Image.fromarray(rng.integers(60, 200, (6, 24, 3), dtype=np.uint8)).resize((192, 48), Image.Resampling.BICUBIC)
    for x in (0, 172):
        ImageDraw.Draw(image).rectangle([x, 4, x + 20, 44], fill=(200, 30, 30) if red else (30, 30, 200))
    image.save(path)


def freeze_drawn(folder: Path, draw: Callable[..., None], first: str, second: str, keyword: str) -> Workspace:
    """Freeze 20 drawn images of each of two classes."""
    files = []
    for name in (first, second):
        (folder / "in" / name).mkdir(parents=True)
        for number in range(20):
            draw(path := folder / "in" / name / f"{number}.png", number, **{keyword: name == first})
            files.append((path, name))
    return freeze_files(folder / "work", files)


@pytest.fixture
def arrows(tmp_path: Path) -> Workspace:
    """Left and right, whose mirror images are each other."""
    return freeze_drawn(tmp_path, draw_arrow, "left", "right", "left")


@pytest.fixture
def panoramas(tmp_path: Path) -> Workspace:
    """Red and blue, told by the ends only."""
    return freeze_drawn(tmp_path, draw_panorama, "red", "blue", "red")


def forbid_mirrors(workspace: Workspace) -> Workspace:
    """Write `mirror = false`, and open the workspace again."""
    text = workspace.config.read_text()
    workspace.config.write_text(text.replace("[dataset]\n", "[dataset]\nmirror = false\n", 1))
    return Workspace(workspace.root)


SCRATCH = {"model": "cnn", "regime": "scratch", "epochs": 1, "image_size": SIDE}


@pytest.mark.parametrize("augment", ["basic", "trivial", "rand"])
def test_no_augmentation_mirrors_or_turns(augment: str) -> None:
    """A bright left half stays left in 60 augmented images; it does not where mirrors are allowed."""
    image = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8)
    image[:, :, : SIDE // 2] = 250

    def share_left(*, mirror: bool) -> float:
        transform = augmentation(augment, SIDE, 0.0, mirror=mirror)  # type: ignore[arg-type]
        torch.manual_seed(0)
        results = [transform(image).float() for _ in range(60)]  # type: ignore[misc]
        uneven = [part for part in results if part.std() > 20]
        halves = [(part[:, :, : SIDE // 2].mean(), part[:, :, SIDE // 2 :].mean()) for part in uneven]
        return sum(abs(left - right) > 15 and left < right for left, right in halves) / len(halves)

    turned = share_left(mirror=False)
    assert turned <= (0.1 if augment != "basic" else 0)  # solarized and inverted images are bright on the other side
    assert share_left(mirror=True) > 0.25


def test_cached_copies_have_other_names_without_mirrors() -> None:
    """A cached copy that may be mirrored is never used."""
    views = [
        augmented_view(1, TrainConfig(regime="features", augment="basic", augmented_copies=1, mirror=mirror), SIDE)
        for mirror in (True, False)
    ]
    assert views[0].name != views[1].name


@pytest.mark.parametrize("door", ["toml", "option", "sweep", "search"])
def test_runs_record_that_mirrors_are_forbidden(arrows: Workspace, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By fototeca.toml, --no-mirror, a plan and a search; every augmentation that they make has no mirror."""
    seen = []

    def note(*arguments: object, mirror: bool = True) -> object:
        seen.append(mirror)
        return augmentation(*arguments, mirror=mirror)  # type: ignore[arg-type]

    monkeypatch.setattr("fototeca.train.network_trainer.augmentation", note)
    if door in ("toml", "search"):
        arrows = forbid_mirrors(arrows)
    if door == "toml":
        run = train_run(arrows, TrainConfig("v001", **SCRATCH))
    elif door == "option":
        run = train_run(arrows, TrainConfig("v001", **SCRATCH, mirror=False))
        assert "--no-mirror" in train_command(run.config)
    elif door == "sweep":
        run = sweep(arrows, [{**SCRATCH, "mirror": False}], "v001", jobs=1).runs[0]
    else:
        run = search_hyperparameters(arrows, {**SCRATCH, "lr": [0.01]}, "v001", 1).runs[0]
    assert run.config["mirror"] is False and seen and not any(seen)
    assert not load_model(arrows, run).mirror


def test_views_of_test_time_augmentation() -> None:
    """Two instead of four, none of them mirrored."""
    image = Image.linear_gradient("L").rotate(90).convert("RGB")
    assert len(tta_views(image)) == 4
    left = [np.asarray(view)[:, : view.width // 4].mean() for view in tta_views(image, mirror=False)]
    right = [np.asarray(view)[:, -view.width // 4 :].mean() for view in tta_views(image, mirror=False)]
    assert len(left) == 2 and (np.sign(np.subtract(left, right)) == np.sign(left[0] - right[0])).all()


def trained(workspace: Workspace, **options: object) -> Run:
    """Train `cnn` well enough for these images."""
    return train_run(workspace, TrainConfig("v001", "cnn", "scratch", epochs=12, image_size=SIDE, batch_size=8, **options))  # type: ignore[arg-type]


class OneSided:
    """Tells arrows apart, and is surer of left ones, so that a mean with mirrored views calls all of them left."""

    multi = False

    def __init__(self, *, mirror: bool) -> None:
        self.mirror = mirror

    def probabilities(self, images: list[Image.Image]) -> np.ndarray:
        """Return 0.9 for left and 0.6 for right arrows, which are white on their side."""
        halves = [np.asarray(image.convert("L")).mean(axis=0) for image in images]
        left = [0.9 if half[: len(half) // 2].mean() > half[len(half) // 2 :].mean() else 0.4 for half in halves]
        return np.array([[share, 1 - share] for share in left])


def test_test_time_augmentation_that_loses_is_not_used(
    arrows: Workspace, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With mirrors it loses on arrows: said, and test is not accessed for it; without mirrors it is used."""
    run = trained(arrows, augment="none")
    monkeypatch.setattr("fototeca.analysis.evaluation.tta.load_model", lambda *_: OneSided(mirror=True))
    assert evaluate_run(arrows, run.id, "val").accuracy == 1.0
    evaluation = evaluate_run(arrows, run.id, "test", tta=True)
    assert evaluation.tta is not None and not evaluation.tta.used and evaluation.tta.accuracy == 0.5
    assert evaluation.test_accesses == 1
    assert "lowers the accuracy on validation by 50.0%, so it is not used" in capfd.readouterr().err
    assert "not used: it loses on validation" in evaluation_table(evaluation)
    monkeypatch.setattr("fototeca.analysis.evaluation.tta.load_model", lambda *_: OneSided(mirror=False))
    again = evaluate_run(arrows, run.id, "test", tta=True).tta
    assert again is not None and again.used and again.views == 2 and again.accuracy == 1.0


def test_maps_show_no_mirrored_image(arrows: Workspace) -> None:
    """The extremal map of a run without mirrors never runs the network on a mirrored image."""
    model = load_model(arrows, train_run(arrows, TrainConfig("v001", **SCRATCH, mirror=False)))
    tensor = torch.zeros(3, SIDE, SIDE)
    tensor[:, :, : SIDE // 2] = 2.0
    seen: list[torch.Tensor] = []
    assert model.module is not None
    model.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    attribute(model, tensor, 0, "extremal", iterations=4)
    assert seen and all(batch[..., : SIDE // 2].mean() >= batch[..., SIDE // 2 :].mean() for batch in seen)


@pytest.mark.parametrize("size", [(80, 20), (20, 80), (33, 31), (2000, 3)])
def test_letterbox_and_squash_show_all(size: tuple[int, int]) -> None:
    """The ends of the longer side are in the square; bars have the mean color."""
    image = np.full((size[1], size[0], 3), 30, dtype=np.uint8)
    image[:2, :2] = image[-2:, -2:] = 250
    boxed, squashed = (square(image, 40, fit=fit) for fit in ("letterbox", "squash"))
    assert boxed.shape == squashed.shape == (3, 40, 40)
    assert squashed[:, 0, 0].float().mean() > 30 and squashed[:, -1, -1].float().mean() > 30
    if max(size) > 2 * min(size):
        corner = boxed[:, 0, -1] if size[0] > size[1] else boxed[:, -1, 0]
        assert tuple(corner.tolist()) == BAR


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
def test_preprocessing_keeps_the_whole_square(fit: str) -> None:
    """No crop follows; its values survive JSON; an impossible one is an error."""
    plain = Preprocessing(256, 224)
    fitted = plain.fitted(fit)  # type: ignore[arg-type]
    assert fitted.resize == fitted.crop == 224 and Preprocessing.from_dict(fitted.to_dict()) == fitted
    assert plain.fitted(None) is plain and fitted.fitted("crop").resize == 256
    with pytest.raises(ValueError, match="fit"):
        Preprocessing(256, 224, fit=fit)  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
def test_ends_of_long_images_are_learned_by_every_door(
    panoramas: Workspace, fit: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Trained, evaluated, predicted, mapped and exported with the same squares; the crop is told of what it misses."""
    train_run(panoramas, TrainConfig("v001", **SCRATCH))
    line = "40 of 40 images are so long that the middle square misses over a third of them; --fit letterbox"
    assert line in capfd.readouterr().err
    run = trained(panoramas, fit=fit)
    assert line not in capfd.readouterr().err
    assert evaluate_run(panoramas, run.id, "val").accuracy == evaluate_run(panoramas, run.id, "test").accuracy == 1.0
    assert f"--fit {fit}" in train_command(run.config) and run.config["preprocessing"]["fit"] == fit
    model, manifest = load_model(panoramas, run), read_manifest(panoramas, "v001")
    rows = manifest.split("val")
    stored = run.predictions("val").probabilities
    assert np.allclose(model.probabilities([panoramas.root / row.path for row in rows]), stored, atol=1e-4)
    features = read_features(panoramas, run, rows)
    assert features is not None
    assert np.allclose(features[1], model.features([panoramas.root / row.path for row in features[0]]), atol=1e-4)
    assert json.loads(export_run(panoramas, run.id, "torch", tmp_path / "out")[1].read_text())["preprocessing"]["fit"] == fit


def test_fit_of_the_weights_run_is_inherited(panoramas: Workspace) -> None:
    """Fine-tuning from a letterboxed run reads the same squares; another fit may be chosen."""
    first = train_run(panoramas, TrainConfig("v001", **SCRATCH, fit="letterbox"))
    settings = {"manifest": "v001", "model": "cnn", "regime": "finetune", "weights": f"run:{first.id}", "epochs": 1}
    assert train_run(panoramas, TrainConfig(**settings)).config["preprocessing"]["fit"] == "letterbox"
    other = train_run(panoramas, TrainConfig(**settings, fit="squash"))
    assert read_run(panoramas, other.id).config["preprocessing"]["fit"] == "squash"
