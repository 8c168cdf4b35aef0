"""`train sweep` without a plan: what it trains with all, some and none of the pretrained weights at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fototeca.core.workspace import Workspace
from fototeca.train import config
from fototeca.train.sweep.plan import DEFAULT_PLAN, LEAST, Outcome, default_plan, sweep
from fototeca.vision.backbones import build_model

FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet50": "resnet50-11ad3fa6.pth",
    "regnet_y_400mf": "regnet_y_400mf-e6988f5f.pth",
}
LEFT_OUT = [point for point in DEFAULT_PLAN if point["regime"] != "scratch"]


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network and no weights; the addresses that are asked for all the same. One epoch a run."""
    asked: list[str] = []

    def nothing(url: str, **_: object) -> None:
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    monkeypatch.setattr("fototeca.vision.weights.urllib.request.urlopen", nothing)
    monkeypatch.setattr(config, "DEFAULT_EPOCHS", dict.fromkeys(config.DEFAULT_EPOCHS, 1))
    return asked


Lay = Callable[[str], None]


@pytest.fixture
def lay(tmp_path: Path, tried: list[str], monkeypatch: pytest.MonkeyPatch) -> Lay:
    """Put random weights where torchvision keeps a model's published ones, whose digest they could not have."""
    monkeypatch.setattr("fototeca.vision.weights._digest_in_name", lambda url: "")

    def put(model: str) -> None:
        torch.save(build_model(model, 1000)[0].state_dict(), tmp_path / "torch" / "hub" / "checkpoints" / FILES[model])

    return put


def test_without_any_weights_six_are_trained_and_the_others_named(
    small: Workspace, tried: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each that is left out names its own file and the place for it; the host is asked once; six others are all trained."""
    found = sweep(small, None, "v001")
    assert len({run.id for run in found.runs}) == len(found.runs) >= LEAST
    assert {run.regime for run in found.runs} == {"scratch", "features", "finetune"}
    assert len(found.failed) == len(LEFT_OUT) and len(tried) == 1
    said = capsys.readouterr().err
    for point, (name, reason) in zip(LEFT_OUT, found.failed, strict=True):
        file = FILES[point["model"]]
        assert name.startswith(f"{point['model']} {point['regime']}")
        assert f"cannot download the weights {file}" in reason and f"{file}, or pass --weights" in reason
        assert f"left out: {name}: cannot download" in said
    assert "the project's own network" in said


def test_a_wrong_file_is_refused_and_not_taken_instead(small: Workspace, tried: list[str], tmp_path: Path) -> None:
    """It is said of its own runs only, and the six are trained without it."""
    (tmp_path / "torch" / "hub" / "checkpoints" / FILES["resnet18"]).write_bytes(b"something else")
    outcome = Outcome()
    plan = default_plan(small, "v001", None, outcome)
    wrong = [name for name, reason in outcome.failed if "SHA-256 differs" in reason]
    assert [name.split()[0] for name in wrong] == ["resnet18", "resnet18"]
    assert len(plan) >= LEAST and not any(point["model"] == "resnet18" for point in plan)


def test_with_all_weights_the_plan_is_whole(small: Workspace, lay: Lay, tried: list[str]) -> None:
    """Eight points, nothing left out, nothing fetched."""
    for model in FILES:
        lay(model)
    outcome = Outcome()
    assert default_plan(small, "v001", None, outcome) == list(DEFAULT_PLAN)
    assert not outcome.failed and not tried


def test_what_is_there_stands_in_and_nothing_is_trained_twice(small: Workspace, lay: Lay) -> None:
    """With resnet18's weights alone its other heads and stages take the free places; its own two points come once."""
    lay("resnet18")
    outcome = Outcome()
    plan = default_plan(small, "v001", None, outcome)
    shapes = [tuple(sorted((name, value) for name, value in point.items() if name != "weights")) for point in plan]
    assert len(shapes) == len(set(shapes)) >= LEAST
    assert {point["model"] for point in plan} == {"cnn", "cnn-cbam", "resnet18"}
    assert {name.split()[0] for name, _ in outcome.failed} == {"resnet50", "regnet_y_400mf"}
