"""Gain and cost of test-time augmentation and ensembles in the report's table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fototeca.analysis.cli_tables import evaluation_table
from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.i18n import Texts
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.ensemble_gains import render_ensembles
from fototeca.analysis.tabular import FormattedNumber, NamedCell
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.ensemble import make_ensemble
from fototeca.train.trainer import train_run

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


def make_context(workspace: Workspace, lang: str = "en") -> ReportContext:
    """Return a new report context."""
    return ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load(lang), Path(workspace.reports))


def gains_rows(workspace: Workspace, lang: str = "en") -> list[tuple[object, ...]]:
    """Return the rows of the exported table."""
    context = make_context(workspace, lang)
    render_ensembles(context)
    return list(next(numbers.rows for numbers in context.data_tables if numbers.name == "ensemble-gains"))


def named_run(row: tuple[object, ...]) -> str:
    """Return the run in the first cell of a row, as the CSV has it."""
    assert isinstance(row[0], NamedCell)
    return row[0].stored


def test_all_kinds_have_passes_and_seconds(copied: Studied) -> None:
    """TTA, weighted mean, snapshot mean and mean: number of passes, and seconds per image without and with."""
    workspace, runs = copied
    cycles = train_run(workspace, TrainConfig("v001", "cnn", "scratch", image_size=32, epochs=2, snapshots=2)).id
    ensembles = {"weighted": make_ensemble(workspace, runs, "weighted").id}
    ensembles["snapshot"] = make_ensemble(workspace, [cycles]).id
    other = train_run(workspace, TrainConfig("v001", "cnn", "scratch", image_size=32, epochs=2, snapshots=2, seed=1)).id
    make_ensemble(workspace, [other])
    ensembles["mean"] = make_ensemble(workspace, [f"{cycles}-snapshot-1", f"{other}-snapshot-1"]).id
    for lang in ("en", "es"):
        texts, rows = Texts.load(lang), {named_run(row): row for row in gains_rows(workspace, lang)}
        content = {kind: rows[run] for kind, run in ensembles.items()}
        assert all(texts(f"run_name.{kind}", n=2) in str(row[0]) for kind, row in content.items())
        (augmented,) = (row for name, row in rows.items() if name.startswith("tta "))
        assert augmented[6] == "4" and {row[6] for row in content.values()} == {"2"}
        for row in (augmented, *content.values()):
            assert all(isinstance(cell, FormattedNumber) and cell.value[0] > 0 for cell in row[7:]) and len(row) == 9


def test_seconds_are_a_dash_without_weights(copied: Studied) -> None:
    """If a member's weights are missing, its gain is shown but not its cost."""
    workspace, runs = copied
    ensembles = make_ensemble(workspace, runs).id
    shutil.rmtree(workspace.cache / "analysis", ignore_errors=True)
    *_, last = (run for run in make_context(workspace).ranked_runs if run.id in runs)
    (last.folder / "model.safetensors").unlink()
    (row,) = [row for row in gains_rows(workspace) if named_run(row) == ensembles]
    assert row[-1] == "–" and row[1] != "–"


def test_evaluate_tta_reports_seconds_with_and_without(copied: Studied) -> None:
    """`evaluate --tta` returns and prints seconds per image with and without TTA."""
    workspace, runs = copied
    evaluation = evaluate_run(workspace, runs[0], "val", tta=True)
    assert evaluation.tta is not None and evaluation.tta.seconds_per_image > 0 < evaluation.tta.seconds_per_image_alone
    assert "s per image, " in evaluation_table(evaluation)
