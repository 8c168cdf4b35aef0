"""What the report says of the test split follows from the ledger, whatever became of the runs and their predictions."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.evaluation.test_access_log import access_log_path, close_access, open_access, read_accesses
from fototeca.analysis.i18n import Texts
from fototeca.analysis.report import cards, page
from fototeca.analysis.report import model_analysis as studied
from fototeca.analysis.report import test_section as final
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
    story = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load(lang), Path(workspace.reports / "v001"))
    parts = final.test(story), page._cover(story), cards.cards(story)
    plain = [re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", part)) for part in parts]
    return plain[0], plain[1], plain[2]


def test_before_the_first_look(unseen: Studied) -> None:
    """Nothing is claimed."""
    test, cover, card = told(unseen[0])
    story = ReportContext(unseen[0], read_manifest(unseen[0], "v001"), Texts.load("en"), unseen[0].reports)
    assert 'href="figures-en/models.csv#row=2"' in cards.cards(story), "the card's figures are those of the best model's row"
    assert "was not looked at yet" in test and "on test" not in cover and "It was not looked at on test yet" in card


def test_validation_is_measured_before_the_first_look(unseen: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures with top-k, every category, and the reliability diagram with and without scaling, on validation."""
    workspace = unseen[0]
    monkeypatch.setattr(studied, "fit_run_temperature", lambda *_: 1.5)
    story = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    run = story.ranked[0]
    words, text = Texts.load("en"), studied._measured(story, story.validation[run.id])
    assert words("figure.top_k", k=2) in text and words("figure.ece_scaled") in text and "Each category on validation" in text
    names = {row[0] for figure in story.figures if figure.name == f"reliability-{run.id}" for row in figure.rows}
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
    assert words("looks.several", n=2, runs=2) in test and words("looks.cut", n=1) in test
    assert "deleted-run" in test and "evaluate" in test and "examples" in test
    assert words.percent(0.5) in cover and words("cover.tests", n=2) in cover


def test_single_images_are_no_look_at_all_of_it(unseen: Studied) -> None:
    """After `predict` alone nothing was lost and the card counts none; after `evaluate` too it counts that one, as the cover."""
    workspace = unseen[0]
    story = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    best, words = story.ranked[0].id, Texts.load("en")
    close_access(workspace, open_access(workspace, "v001", best, "predict"), 1, None)
    test, _, card = told(workspace)
    assert words("test.none") in test and words("test.lost") not in test and words("looks.predicted", n=1) in test
    assert "It was not looked at on test yet" in card
    evaluate_run(workspace, best, "test")
    assert "looked at on test once" in told(workspace)[2] and "on test, looked at once" in told(workspace)[1]


def test_how_often_and_of_which_run(unseen: Studied) -> None:
    """Once; again with the same figure; in another way; with the run that is not the best on validation; with both."""
    workspace = unseen[0]
    story = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    best, other = (run.id for run in story.ranked)
    evaluate_run(workspace, other, "test")
    test, cover, card = told(workspace)
    assert "One model was looked at, once" in test and "on test, looked at once" in cover
    assert f"It is not the best on validation: {best} is." in test and "It was not looked at on test yet" in card
    close_access(workspace, open_access(workspace, "v001", other, "predict"), 1, None)
    assert "on test, looked at once" in told(workspace)[1], "single images are no look at all of it"
    evaluate_run(workspace, other, "test")
    assert f"{other} alone was looked at, 2 times" in told(workspace)[0]
    close_access(workspace, open_access(workspace, "v001", other, "evaluate --tta"), 18, 0.123)
    assert "2 different figures were seen of it" in told(workspace)[0]
    evaluate_run(workspace, best, "test")
    test, cover, card = told(workspace)
    assert "4 times with 2 models" in test and "the last of 4 looks" in cover and "looked at on test once" in card
    assert f"{best}, the best on validation" in test
    access_log_path(workspace).unlink()
    for _ in range(2):
        assert f"There are test predictions of {best}, but no look at it was written down." in told(workspace)[0]
        assert [(look.run, look.purpose) for look in read_accesses(workspace, "v001")] == [(best, "report")], (
            "showing it is a look"
        )
    shutil.rmtree(workspace.runs / other)
    assert "There is only one" not in told(workspace)[0]


def test_a_run_without_mistakes_is_not_called_calibrated(unseen: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a temperature the diagram has one series, and a line says so."""
    workspace, runs = unseen
    evaluate_run(workspace, runs[0], "test")
    monkeypatch.setattr(final, "fit_run_temperature", lambda *_: None)
    test = told(workspace)[0]
    assert "Not calibrated" in test and "scaled" not in test
