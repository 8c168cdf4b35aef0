"""What the report says of the test split follows from the access log, whatever became of the runs and their predictions."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.evaluation.test_access_log import access_log_path, close_access, open_access, read_accesses
from fototeca.analysis.i18n import Texts
from fototeca.analysis.report import cards, model_analysis, page, test_section
from fototeca.analysis.report.context import ReportContext
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


@pytest.fixture
def unseen(copied: Studied) -> Studied:
    """Runs that were never looked at on test."""
    workspace, runs = copied
    access_log_path(workspace).unlink(missing_ok=True)
    for path in workspace.runs.glob("*/predictions-test.csv"):
        path.unlink()
    return workspace, runs


def told(workspace: Workspace, lang: str = "en") -> tuple[str, str, str]:
    """The words of the section on test, of the cover and of the cards."""
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load(lang), Path(workspace.reports / "v001"))
    parts = test_section.render_test(context), page._cover(context), cards.render_cards(context)
    plain = [re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", part)) for part in parts]
    return plain[0], plain[1], plain[2]


def test_before_the_first_look(unseen: Studied) -> None:
    """Nothing is claimed."""
    test, cover, card = told(unseen[0])
    context = ReportContext(unseen[0], read_manifest(unseen[0], "v001"), Texts.load("en"), unseen[0].reports)
    assert 'href="figures-en/models.csv#row=2"' in cards.render_cards(context), (
        "the card's figures are those of the best model's row"
    )
    assert "has not been used" in test and "test accuracy" not in cover and "Not evaluated on test." in card


def test_validation_is_measured_before_the_first_look(unseen: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures with top-k, every category, and the reliability diagram with and without scaling, on validation."""
    workspace = unseen[0]
    monkeypatch.setattr(model_analysis, "fit_run_temperature", lambda *_: 1.5)
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    run = context.ranked_runs[0]
    words, text = Texts.load("en"), model_analysis._render_metrics(context, context.validation[run.id])
    assert (
        words("metric.top_k", k=2) in text and words("metric.ece_scaled") in text and "Metrics by category on validation" in text
    )
    names = {row[0] for figure in context.figures if figure.name == f"reliability-{run.id}" for row in figure.rows}
    assert names == {words("calibration.before"), words("calibration.after")}


@pytest.mark.parametrize("lang", ["en", "es"])
def test_looks_remain_when_their_run_is_gone(unseen: Studied, lang: str) -> None:
    """A look at a run that was deleted since, and one that was cut off: both are in the table, with what they were for."""
    workspace, runs = unseen
    close_access(workspace, open_access(workspace, "v001", "deleted-run", "evaluate"), 18, 0.5)
    open_access(workspace, "v001", runs[0], "examples")
    words = Texts.load(lang)
    test, cover, _ = told(workspace, lang)
    assert words("test.none") not in test and words("test.lost") in test
    assert words("test_access.several", n=2, runs=2) in test and words("test_access.interrupted", n=1) in test
    assert "deleted-run" in test and "evaluate" in test and "examples" in test
    assert words.percent(0.5) in cover and words("cover.test_several", n=2) in cover


def test_single_images_are_no_look_at_all_of_it(unseen: Studied) -> None:
    """After `predict` alone nothing was lost and the card counts none; after `evaluate` too it counts that one, as the cover."""
    workspace = unseen[0]
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    best, words = context.ranked_runs[0].id, Texts.load("en")
    close_access(workspace, open_access(workspace, "v001", best, "predict"), 1, None)
    test, _, card = told(workspace)
    assert words("test.none") in test and words("test.lost") not in test and words("test_access.predicted", n=1) in test
    assert "Not evaluated on test." in card
    evaluate_run(workspace, best, "test")
    assert "Evaluated on test once" in told(workspace)[2] and "test accuracy, evaluated once" in told(workspace)[1]


def test_how_often_and_of_which_run(unseen: Studied) -> None:
    """Once; again with the same figure; in another way; with the run that is not the best on validation; with both."""
    workspace = unseen[0]
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    best, other = (run.id for run in context.ranked_runs)
    evaluate_run(workspace, other, "test")
    test, cover, card = told(workspace)
    assert "One model was evaluated, once" in test and "test accuracy, evaluated once" in cover
    assert f"It is not the best run on validation; {best} is." in test and "Not evaluated on test." in card
    close_access(workspace, open_access(workspace, "v001", other, "predict"), 1, None)
    assert "test accuracy, evaluated once" in told(workspace)[1], "single images are no look at all of it"
    evaluate_run(workspace, other, "test")
    assert f"Only {other} was evaluated, 2 times" in told(workspace)[0]
    close_access(workspace, open_access(workspace, "v001", other, "evaluate --tta"), 18, 0.123)
    assert "with 2 different results" in told(workspace)[0]
    evaluate_run(workspace, best, "test")
    test, cover, card = told(workspace)
    assert "4 times with 2 models" in test and "latest of 4 evaluations" in cover and "Evaluated on test once" in card
    assert f"{best}, the best run on validation" in test
    access_log_path(workspace).unlink()
    for _ in range(2):
        assert f"There are test predictions of {best} without a recorded access." in told(workspace)[0]
        assert [(look.run, look.purpose) for look in read_accesses(workspace, "v001")] == [(best, "report")], (
            "showing it is a look"
        )
    shutil.rmtree(workspace.runs / other)
    assert "There is only one" not in told(workspace)[0]


def test_a_run_without_mistakes_is_not_called_calibrated(unseen: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a temperature the diagram has one series, and a line says so."""
    workspace, runs = unseen
    evaluate_run(workspace, runs[0], "test")
    monkeypatch.setattr(test_section, "fit_run_temperature", lambda *_: None)
    test = told(workspace)[0]
    assert "Not calibrated" in test and "scaled" not in test
