"""The default plan with all, some and none of the pretrained weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fototeca.core.workspace import Workspace
from fototeca.train import config
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run
from fototeca.train.sweep.default_plan import DEFAULT_PLAN, MIN_RUNS, make_default_plan
from fototeca.train.sweep.results import SweepResult
from fototeca.train.sweep.run_plan import sweep
from fototeca.vision.backbones import build_model
from fototeca.vision.timm_models import PACKAGED, PACKAGED_MODEL

FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet50": "resnet50-11ad3fa6.pth",
    "regnet_y_400mf": "regnet_y_400mf-e6988f5f.pth",
}
LEFT_OUT = [point for point in DEFAULT_PLAN if point["regime"] != "scratch"]


@pytest.fixture
def requested_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Remove network and weights, set one epoch per run, and record the requested URLs."""
    urls: list[str] = []

    def fail(url: str, **_: object) -> None:
        urls.append(url)
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    monkeypatch.setattr("fototeca.vision.weights.urllib.request.urlopen", fail)
    monkeypatch.setattr("fototeca.vision.weights.find_packaged", lambda model: None)
    monkeypatch.setattr(config, "DEFAULT_EPOCHS", dict.fromkeys(config.DEFAULT_EPOCHS, 1))
    return urls


def train_nothing(config: TrainConfig) -> Run:
    """Fail: pretrained weights are available."""
    raise AssertionError(config)


Lay = Callable[[str], None]


@pytest.fixture
def add_weights(tmp_path: Path, requested_urls: list[str], monkeypatch: pytest.MonkeyPatch) -> Lay:
    """Return a function that writes random weights to torchvision's cache, with digest checks off."""
    monkeypatch.setattr("fototeca.vision.weights._digest_in_name", lambda url: "")

    def put(model: str) -> None:
        torch.save(build_model(model, 1000)[0].state_dict(), tmp_path / "torch" / "hub" / "checkpoints" / FILES[model])

    return put


def test_default_plan_without_weights_trains_six_runs(
    small: Workspace, requested_urls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Skipped points name their file and its place; the host is tried once."""
    sweep_result = sweep(small, None, "v001")
    assert len({run.id for run in sweep_result.runs}) == len(sweep_result.runs) >= MIN_RUNS
    assert {run.regime for run in sweep_result.runs} == {"scratch", "features", "finetune"}
    assert len(sweep_result.failed) == len(LEFT_OUT) and len(requested_urls) == 1
    notices = capsys.readouterr().err
    for point, failed in zip(LEFT_OUT, sweep_result.failed, strict=True):
        name, reason = failed.point, failed.reason
        file = FILES[point["model"]]
        assert name.startswith(f"{point['model']} {point['regime']}")
        assert f"cannot download the weights {file}" in reason and f"{file}, or pass --weights" in reason
        assert f"skipped: {name}: cannot download" in notices
    assert "fototeca's own network" in notices


def test_file_with_a_wrong_digest_is_not_used(small: Workspace, requested_urls: list[str], tmp_path: Path) -> None:
    """Its own points are skipped, and six others are planned."""
    (tmp_path / "torch" / "hub" / "checkpoints" / FILES["resnet18"]).write_bytes(b"something else")
    result = SweepResult()
    plan = make_default_plan("v001", None, result, lambda config: Run("cnn-first", small.runs / "cnn-first", {}))
    wrong = [failed.point for failed in result.failed if "SHA-256 differs" in failed.reason]
    assert [name.split()[0] for name in wrong] == ["resnet18", "resnet18"]
    assert len(plan) >= MIN_RUNS and not any(point["model"] == "resnet18" for point in plan)


def test_default_plan_with_all_weights_is_complete(small: Workspace, add_weights: Lay, requested_urls: list[str]) -> None:
    """Eight points, nothing skipped or downloaded."""
    for model in FILES:
        add_weights(model)
    result = SweepResult()
    assert make_default_plan("v001", None, result, train_nothing) == list(DEFAULT_PLAN)
    assert not result.failed and not requested_urls


def test_available_weights_replace_missing_ones(small: Workspace, add_weights: Lay) -> None:
    """With resnet18's weights only, its other heads and stages are added, and no point is repeated."""
    add_weights("resnet18")
    result = SweepResult()
    plan = make_default_plan("v001", None, result, train_nothing)
    shapes = [tuple(sorted((name, value) for name, value in point.items() if name != "weights")) for point in plan]
    assert len(shapes) == len(set(shapes)) >= MIN_RUNS
    assert {point["model"] for point in plan} == {"cnn", "cnn-cbam", "resnet18"}
    assert {failed.point.split()[0] for failed in result.failed} == {"resnet50", "regnet_y_400mf"}


def test_packaged_weights_replace_missing_ones(
    small: Workspace, requested_urls: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where no file of torchvision is on disk, the network is not trained first: ImageNet weights come as a package."""
    monkeypatch.setattr("fototeca.vision.weights.find_packaged", lambda model: tmp_path if model == PACKAGED_MODEL else None)
    monkeypatch.setattr("fototeca.vision.weights.file_sha256", lambda path: "0" * 64)
    monkeypatch.setattr("fototeca.vision.weights.tensor_names", lambda model: ())
    points = make_default_plan("v001", None, SweepResult(), train_nothing)
    assert len(points) == 8
    assert {(point["model"], point["weights"]) for point in points if point["regime"] != "scratch"} == {
        (PACKAGED_MODEL, PACKAGED)
    }
