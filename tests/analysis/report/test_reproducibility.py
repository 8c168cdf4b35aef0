"""Settings and commands shown of each run."""

from __future__ import annotations

import json
import re
from html import unescape
from itertools import product
from pathlib import Path

import pytest

from fototeca.analysis.i18n import Texts
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.curves import render_curves
from fototeca.analysis.report.reproducibility import render_reproducibility
from fototeca.analysis.run_settings import NEUTRAL, SETTINGS
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


def run_cards(context: ReportContext) -> dict[str, str]:
    """Return the card of each run by its id, without links."""
    parts = re.split(r'<summary><span title="([^"]+)">', re.sub(r"</?a\b[^>]*>", "", render_curves(context)))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_weights_paths_are_shortened(copied: Studied, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Relative in the workspace, from ~ in the home folder, else unchanged; all quoted for the shell."""
    workspace = copied[0]
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    worse = context.ranked_runs[1].id
    config = workspace.runs / worse / "config.json"
    known = json.loads(config.read_text(encoding="utf-8")) | {"regime": "finetune"}
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "ana")
    for weights, content in {
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
        assert f"--weights {content}" in next(line for line in lines if "finetune" in line)


def test_commands_follow_run_dependencies(copied: Studied) -> None:
    """A run that starts from another one, by id or by file, is listed after it."""
    workspace, runs = copied
    for (start, other), by_file in product((runs, runs[::-1]), (False, True)):
        config = workspace.runs / other / "config.json"
        stored = config.read_text(encoding="utf-8")
        weights = str(workspace.runs / start / "model.safetensors") if by_file else f"run:{start}"
        config.write_text(json.dumps(json.loads(stored) | {"regime": "finetune", "weights": weights}), encoding="utf-8")
        context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
        commands = re.findall(r"fototeca train run [^\n]+", render_reproducibility(context))
        assert ["finetune" in command for command in commands] == [False, True]
        config.write_text(stored, encoding="utf-8")


def test_settings_without_effect_are_hidden(copied: Studied) -> None:
    """A classifier fitted at once over frozen features has no epochs and no learning rate."""
    workspace, (first, second) = copied
    config = workspace.runs / first / "config.json"
    document = json.loads(config.read_text(encoding="utf-8")) | {"regime": "features", "head": "svm"}
    config.write_text(json.dumps(document), encoding="utf-8")
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    content = run_cards(context)
    for name in ("epochs", "learning rate", "optimizer", "trained layers"):
        assert f"<dt>{name}</dt>" in content[second], name
        assert f"<dt>{name}</dt>" not in content[first], name
    assert "<dt>seed</dt>" in content[first] and "<dt>classifier</dt><dd>SVM</dd>" in content[first]


def test_distinguishing_settings_are_shown(copied: Studied) -> None:
    """Each setting is shown where it has an effect, and only there."""
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
            "fit": "letterbox",
            "mirror": False,
        },
        **{"clip": 1.5, "label_smoothing": 0.1, "accumulate": 4, "patience": 3, "snapshots": 5, "precision": "bf16"},
    }
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | changed), encoding="utf-8")
    texts = Texts.load("en")
    context = ReportContext(workspace, read_manifest(workspace, "v001"), texts, workspace.reports)
    content = run_cards(context)
    shown = {True: "yes", False: "no"}
    for name, value in changed.items():
        assert f"<dt>{texts(f'setting.{name}')}</dt><dd>{shown.get(value, value)}</dd>" in content[first]
        assert f"<dt>{texts(f'setting.{name}')}</dt>" not in content[second], name
    plain = TrainConfig("v001", "cnn", "scratch")
    assert set(plain.identity()) - set(SETTINGS) == {"manifest"}
    assert {name: getattr(plain, name) for name in NEUTRAL} == NEUTRAL | {"fit": None}  # crop, once resolved
