"""A version that was frozen again after training: each command fails with one line and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fototeca.analysis.attribution.explain import explain_run
from fototeca.analysis.attribution.filters import filter_figures
from fototeca.analysis.attribution.run_checks import run_sanity_checks
from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.evaluation.test_access_log import access_log_path
from fototeca.analysis.examples import examples_of_run
from fototeca.analysis.export import export_run
from fototeca.analysis.features.embedding import embed_run
from fototeca.analysis.plots.figures import confusion_figures
from fototeca.analysis.predict.predict import predict_paths
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


def output_files(workspace: Workspace) -> dict[Path, bytes]:
    """Return the content of all files below runs and reports."""
    return {path: path.read_bytes() for home in (workspace.runs, workspace.reports) for path in home.rglob("*") if path.is_file()}


def test_evaluate_records_no_access(changed: Studied) -> None:
    """`evaluate --split test` checks the digest before it records an access."""
    workspace, (run, _) = changed
    access_log_path(workspace).unlink(missing_ok=True)
    (workspace.runs / run / "predictions-test.csv").unlink(missing_ok=True)
    with pytest.raises(FototecaError, match="was trained on a different v001"):
        evaluate_run(workspace, run, "test")
    assert not access_log_path(workspace).exists() and not (workspace.runs / run / "predictions-test.csv").exists()


def test_confusion_and_examples_record_no_access(changed: Studied) -> None:
    """Also where test predictions are stored."""
    workspace, (run, _) = changed
    access_log_path(workspace).unlink(missing_ok=True)
    (workspace.runs / run / "predictions-test.csv").write_text("image_id,label,predicted\n", encoding="utf-8")
    for ask in (
        lambda: confusion_figures(workspace, run, "test", None),
        lambda: examples_of_run(workspace, run, "test"),
    ):
        with pytest.raises(FototecaError, match="was trained on a different v001"):
            ask()
    assert not access_log_path(workspace).exists()


def test_every_command_fails_and_writes_nothing(changed: Studied, first_image: Callable[[str], Path]) -> None:
    """Predictions, maps, features and exports fail with one line."""
    workspace, (run, _) = changed
    calls: list[Callable[[], object]] = [
        lambda: predict_paths(workspace, run, [str(first_image("val"))]),
        lambda: explain_run(workspace, run, methods=["saliency"]),
        lambda: run_sanity_checks(workspace, run, ["saliency"]),
        lambda: filter_figures(workspace, run),
        lambda: embed_run(workspace, run),
        lambda: export_run(workspace, run, "torch"),
    ]
    before = output_files(workspace)
    for call in calls:
        with pytest.raises(FototecaError, match=r"was trained on a different v001: v001\.csv has changed since") as error:
            call()
        assert "\n" not in error.value.message and "fototeca train run --manifest v001" in error.value.hint
    assert output_files(workspace) == before
