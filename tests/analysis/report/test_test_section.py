"""The report's statements on the test split follow from the access log, even if runs or predictions were deleted."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.evaluation.test_access_log import access_log_path, close_access, open_access, read_accesses
from fototeca.analysis.i18n import Texts
from fototeca.analysis.report import cards, cover, model_analysis, test_section
from fototeca.analysis.report.context import ReportContext
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


@pytest.fixture
def untested(copied: Studied) -> Studied:
    """Return runs without any access to test."""
    workspace, runs = copied
    access_log_path(workspace).unlink(missing_ok=True)
    for path in workspace.runs.glob("*/predictions-test.csv"):
        path.unlink()
    return workspace, runs


def render_texts(workspace: Workspace, lang: str = "en") -> tuple[str, str, str]:
    """Return the text of the test section, the cover and the cards."""
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load(lang), Path(workspace.reports / "v001"))
    parts = test_section.render_test(context), cover.render_cover(context), cards.render_cards(context)
    plain = [re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", part)) for part in parts]
    return plain[0], plain[1], plain[2]


def test_without_access_nothing_is_reported(untested: Studied) -> None:
    """No test accuracy on the cover or the cards."""
    test, cover, card = render_texts(untested[0])
    context = ReportContext(untested[0], read_manifest(untested[0], "v001"), Texts.load("en"), untested[0].reports)
    assert 'href="figures-en/models.csv#row=2"' in cards.render_cards(context), (
        "the card's figures are those of the best model's row"
    )
    assert "has not been used" in test and "test accuracy" not in cover and "Not evaluated on test." in card


def test_validation_metrics_without_access(untested: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Top-k, metrics by category and the reliability diagram with and without scaling, on validation."""
    workspace = untested[0]
    monkeypatch.setattr(model_analysis, "fit_run_temperature", lambda *_: 1.5)
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    run = context.ranked_runs[0]
    texts, text = Texts.load("en"), model_analysis._render_metrics(context, context.validation[run.id])
    assert (
        texts("metric.top_k", k=2) in text and texts("metric.ece_scaled") in text and "Metrics by category on validation" in text
    )
    names = {row[0] for figure in context.figures if figure.name == f"reliability-{run.id}" for row in figure.rows}
    assert names == {texts("calibration.before"), texts("calibration.after")}


@pytest.mark.parametrize("lang", ["en", "es"])
def test_accesses_of_deleted_runs_remain(untested: Studied, lang: str) -> None:
    """A deleted run's access and an interrupted one are listed with their command."""
    workspace, runs = untested
    close_access(workspace, open_access(workspace, "v001", "deleted-run", "evaluate"), 18, 0.5)
    open_access(workspace, "v001", runs[0], "examples")
    texts = Texts.load(lang)
    test, cover, _ = render_texts(workspace, lang)
    assert texts("test.none") not in test and texts("test.lost") in test
    assert texts("test_access.several", n=2, runs=2) in test and texts("test_access.interrupted", n=1) in test
    assert "deleted-run" in test and "evaluate" in test and "examples" in test
    assert texts.percent(0.5) in cover and texts("cover.test_several", n=2) in cover


def test_predict_counts_as_partial_access(untested: Studied) -> None:
    """After `predict` the card counts no evaluation; after `evaluate` it counts one, as the cover does."""
    workspace = untested[0]
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    best, texts = context.ranked_runs[0].id, Texts.load("en")
    close_access(workspace, open_access(workspace, "v001", best, "predict"), 1, None)
    test, _, card = render_texts(workspace)
    assert texts("test.none") in test and texts("test.lost") not in test and texts("test_access.predicted", n=1) in test
    assert "Not evaluated on test." in card
    evaluate_run(workspace, best, "test")
    _, cover, card = render_texts(workspace)
    assert "Evaluated on test once" in card and "test accuracy, evaluated once" in cover


def test_remarks_depend_on_runs_and_results(untested: Studied) -> None:
    """Once, repeated, with another result, with another run, with both, and without a record."""
    workspace = untested[0]
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    best, other = (run.id for run in context.ranked_runs)
    best_name, other_name = context.run_name(best), context.run_name(other)
    evaluate_run(workspace, other, "test")
    test, cover, card = render_texts(workspace)
    assert "One model was evaluated, once" in test and "test accuracy, evaluated once" in cover
    assert f"It is not the best run on validation; {best_name} is." in test and "Not evaluated on test." in card
    close_access(workspace, open_access(workspace, "v001", other, "predict"), 1, None)
    assert "test accuracy, evaluated once" in render_texts(workspace)[1]
    evaluate_run(workspace, other, "test")
    assert f"Only {other_name} was evaluated, 2 times" in render_texts(workspace)[0]
    close_access(workspace, open_access(workspace, "v001", other, "evaluate --tta"), 18, 0.123)
    assert "with 2 different results" in render_texts(workspace)[0]
    evaluate_run(workspace, best, "test")
    test, cover, card = render_texts(workspace)
    assert "4 times with 2 models" in test and "latest of 4 evaluations" in cover and "Evaluated on test once" in card
    assert f"{best_name}, the best run on validation" in test
    access_log_path(workspace).unlink()
    for _ in range(2):
        assert f"There are test predictions of {best_name} without a recorded access." in render_texts(workspace)[0]
        accesses = read_accesses(workspace, "v001")
        assert [(access.run, access.purpose) for access in accesses] == [(best, "report")]
    shutil.rmtree(workspace.runs / other)
    assert "There is only one" not in render_texts(workspace)[0]


def test_without_temperature_not_calibrated(untested: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a temperature the diagram has one series and a remark."""
    workspace, runs = untested
    evaluate_run(workspace, runs[0], "test")
    monkeypatch.setattr(test_section, "fit_run_temperature", lambda *_: None)
    test = render_texts(workspace)[0]
    assert "Not calibrated" in test and "scaled" not in test
