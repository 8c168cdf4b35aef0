"""What the report tells of how each run was made: its settings, and the commands that make it again."""

from __future__ import annotations

import json
import re
from html import unescape
from itertools import product
from pathlib import Path

import pytest

from fototeca.analysis.i18n import Texts
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.models import NEUTRAL, SETTINGS, render_models
from fototeca.analysis.report.reproducibility import render_reproducibility
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


def test_where_first_weights_lay_is_told(copied: Studied, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file inside the workspace relative to it, one at home from ~, another as it was given, all quoted; names of torchvision
    and of runs as they are."""
    workspace = copied[0]
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    worse = context.ranked_runs[1].id
    config = workspace.runs / worse / "config.json"
    known = json.loads(config.read_text(encoding="utf-8")) | {"regime": "finetune"}
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "ana")
    for weights, told in {
        str(workspace.root / "weights" / "a b.pth"): "'weights/a b.pth'",
        str(tmp_path / "ana" / "w.pth"): "~/w.pth",
        "/w.pth": "/w.pth",
        "../shared/w.pth": "../shared/w.pth",
        "IMAGENET1K_V1": "IMAGENET1K_V1",
        f"run:{context.ranked_runs[0].id}": f"run:{context.ranked_runs[0].id}",
    }.items():
        config.write_text(json.dumps(known | {"weights": weights}), encoding="utf-8")
        context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
        lines = unescape(re.sub(r"<[^>]+>", "", render_reproducibility(context).split("<pre>")[1])).splitlines()
        assert f"--weights {told}" in next(line for line in lines if "finetune" in line)


def test_what_starts_from_another_run_comes_after_it(copied: Studied) -> None:
    """Whichever of the two is the better one, and by whichever name: else the commands could not be given in order."""
    workspace, runs = copied
    for (start, other), by_file in product((runs, runs[::-1]), (False, True)):
        config = workspace.runs / other / "config.json"
        kept = config.read_text(encoding="utf-8")
        weights = str(workspace.runs / start / "model.safetensors") if by_file else f"run:{start}"
        config.write_text(json.dumps(json.loads(kept) | {"regime": "finetune", "weights": weights}), encoding="utf-8")
        context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
        commands = re.findall(r"fototeca train run [^\n]+", render_reproducibility(context))
        assert ["finetune" in command for command in commands] == [False, True]
        config.write_text(kept, encoding="utf-8")


def test_settings_that_did_nothing_are_not_told(copied: Studied) -> None:
    """Of a classifier fitted at once over frozen features no epochs and no learning rate; of one that took steps both."""
    workspace, (first, second) = copied
    config = workspace.runs / first / "config.json"
    document = json.loads(config.read_text(encoding="utf-8")) | {"regime": "features", "head": "svm"}
    config.write_text(json.dumps(document), encoding="utf-8")
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    told = {part.split("<")[0]: part for part in re.sub(r"</?a\b[^>]*>", "", render_models(context)).split("<summary>")[1:]}
    for name in ("epochs", "learning rate", "optimizer", "trained layers"):
        assert f"<dt>{name}</dt>" in told[second], name
        assert f"<dt>{name}</dt>" not in told[first], name
    assert "<dt>seed</dt>" in told[first] and "<dt>classifier</dt><dd>svm</dd>" in told[first]


def test_every_setting_that_makes_another_run_is_told(copied: Studied) -> None:
    """Where it is not left alone, and not where it is. The manifest is named at the report's head."""
    workspace, (first, second) = copied
    config = workspace.runs / first / "config.json"
    changed = {
        **{
            "layer_decay": 0.7,
            "freeze_bn": True,
            "augmented_copies": 2,
            "mixup": 0.2,
            "cutmix": 0.5,
            "random_erasing": 0.25,
            "ema": 0.99,
        },
        **{"clip": 1.5, "label_smoothing": 0.1, "accumulate": 4, "patience": 3, "snapshots": 5, "precision": "bf16"},
    }
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | changed), encoding="utf-8")
    words = Texts.load("en")
    context = ReportContext(workspace, read_manifest(workspace, "v001"), words, workspace.reports)
    told = {part.split("<")[0]: part for part in re.sub(r"</?a\b[^>]*>", "", render_models(context)).split("<summary>")[1:]}
    for name, value in changed.items():
        assert f"<dt>{words(f'setting.{name}')}</dt><dd>{'yes' if value is True else value}</dd>" in told[first]
        assert f"<dt>{words(f'setting.{name}')}</dt>" not in told[second], name
    plain = TrainConfig("v001", "cnn", "scratch")
    assert set(plain.identity()) - set(SETTINGS) == {"manifest"}
    assert {name: getattr(plain, name) for name in NEUTRAL} == NEUTRAL
