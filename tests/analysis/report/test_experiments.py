"""Names of runs, what was varied and what came of it, and the titles that a course looks for."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from fototeca.analysis.i18n import Texts
from fototeca.analysis.model_titles import model_title
from fototeca.analysis.plots.parallel import ParallelAxis, parallel_chart
from fototeca.analysis.report import experiments
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.page import write_report
from fototeca.analysis.run_names import name_runs
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.trainer import train_run

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]

TITLES = (
    *("Recolección", "Particiones", "Arquitectura propia", "Experimentos", "Curvas de entrenamiento", "Ensamble"),
    *("Matriz de confusión", "Métodos de atribución", "Espacio de características"),
    *("Conjunto de prueba", "Imágenes nuevas", "Cómo reproducirlo"),
)
"""Headings that the course's text asks for, in the order of the report."""


def make_context(workspace: Workspace, lang: str = "en") -> ReportContext:
    """Return a new report context."""
    texts = Texts.load("es" if lang == "es" else "en")
    return ReportContext(workspace, read_manifest(workspace, "v001"), texts, Path(workspace.reports))


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("resnet18", "ResNet-18"),
        ("timm/tf_efficientnet_lite0", "EfficientNet-Lite0"),
        ("mobilenet_v3_small", "MobileNetV3-Small"),
        ("squeezenet1_0", "SqueezeNet-1.0"),
        ("wide_resnet50_2", "Wide ResNet-50-2"),
        ("vgg16_bn", "VGG-16-BN"),
        ("vit_b_16", "ViT-B-16"),
        ("cnn-cbam", "CNN-CBAM"),
        ("nets.py:Mine", "Mine"),
        ("unheard", "unheard"),
    ],
)
def test_models_are_named_as_their_authors_write_them(name: str, title: str) -> None:
    """Families, versions and sizes; unknown names are unchanged."""
    assert model_title(name) == title


def test_equal_names_are_told_apart_by_what_differs(copied: Studied) -> None:
    """Two runs of one model and regime are named by their learning rates; runs equal in all settings by their ids."""
    workspace, runs = copied
    for run, changed in zip(runs, ({"lr": 0.1}, {"lr": 0.2}), strict=True):
        config = workspace.runs / run / "config.json"
        config.write_text(
            json.dumps(json.loads(config.read_text(encoding="utf-8")) | {"model": "cnn"} | changed), encoding="utf-8"
        )
    names = name_runs(make_context(workspace).runs, Texts.load("es"))
    assert sorted(names.values()) == ["CNN · desde cero · tasa de aprendizaje 0,1", "CNN · desde cero · tasa de aprendizaje 0,2"]
    config.write_text(config.read_text(encoding="utf-8").replace('"lr": 0.2', '"lr": 0.1'), encoding="utf-8")
    again = name_runs(make_context(workspace).runs, Texts.load("es"))
    assert len(set(again.values())) == 2 and all(again[run].endswith(run[-6:]) for run in runs)


def test_one_change_is_listed_with_its_effect(copied: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third run that differs from one in its learning rate alone: a row with both values and the difference in points."""
    workspace, (first, _) = copied
    third = train_run(workspace, TrainConfig("v001", "cnn", "scratch", image_size=32, epochs=3, lr=1e-5)).id
    context = make_context(workspace)
    page = experiments.render_experiments(context)
    (changes,) = (table for table in context.data_tables if table.name == "changes")
    row = next(row for row in changes.rows if row[0] == "learning rate")
    accuracy = {run: float(context.validation[run].correct.mean()) for run in (first, third)}
    assert {row[3], row[4]} == {"1e-05", "0.004"}
    assert getattr(row[1], "value") == (pytest.approx(abs(accuracy[first] - accuracy[third])),)  # noqa: B009
    (varied,) = (table for table in context.data_tables if table.name == "experiments")
    assert varied.columns == ("model", "validation accuracy", "learning rate")
    assert 'id="parallel' not in page
    monkeypatch.setattr(experiments, "MANY_RUNS", 2)
    context = make_context(workspace)
    assert "parallel coordinates" not in experiments.render_experiments(context)
    (drawn,) = (figure for figure in context.figures if figure.name == "parallel")
    assert len(drawn.rows) == 3 and drawn.columns[0] == "name" and drawn.columns[-1] == "accuracy"


def test_parallel_axes_order_numbers_by_size() -> None:
    """0.01 lies between 0.001 and 0.1; words come before; each run is one line."""
    axis = ParallelAxis("lr", ["0,1", "0,001", "–", "0,01"])
    assert axis.levels() == ["–", "0,001", "0,01", "0,1"]
    ids = ["a", "b", "c", "d"]
    figure = parallel_chart("p", (ids, ids), [axis], ("accuracy", [0.1, 0.2, 0.3, 0.4]), "alt", Texts.load("en"))
    assert figure.svg.count("<path") == 4 and figure.rows[1] == ("b", "0,001", 0.2)


def test_titles_of_the_course_are_present(studied: Studied, tmp_path: Path) -> None:
    """With runs and without any, each title stands in the page; what is missing has the command that makes it, unless clean."""
    full = write_report(studied[0], "v001", lang="es", output=tmp_path / "full").page.read_text(encoding="utf-8")
    bare = Workspace(create_workspace(tmp_path / "bare", ["red", "green", "olive"]).root)
    for name in ("v001.csv", "v001.json", "v001.decisions.csv"):
        (bare.manifests / name).write_bytes((studied[0].manifests / name).read_bytes())
    empty, clean = (
        write_report(bare, "v001", lang="es", output=tmp_path / str(choice), clean=choice).page.read_text(encoding="utf-8")
        for choice in (False, True)
    )
    for page in (full, empty, clean):
        titles = [re.sub(r"<span>\d+</span>|<[^>]+>", "", title) for title in re.findall(r"<h[234][^>]*>(.*?)</h[234]>", page)]
        assert [title for title in dict.fromkeys(titles) if title in TITLES] == list(TITLES)
    commands = unescape(" ".join(re.findall(r"<pre>(.*?)</pre>", empty.split('id="reproducibility"')[0], re.DOTALL)))
    for name in (
        "train run",
        "train sweep",
        "train ensemble",
        "confusion",
        "explain",
        "embed",
        "evaluate RUN --split test",
        "predict",
    ):
        assert f"fototeca {name}" in commands or f"fototeca analysis {name}" in commands, name
    assert "<pre>" not in clean.split('id="reproducibility"')[0]
