"""A version that was frozen anew since a run learned from it: each command says so in one line, and has written nothing."""

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


def files(workspace: Workspace) -> dict[Path, bytes]:
    """Everything that a command may have left behind."""
    return {path: path.read_bytes() for home in (workspace.runs, workspace.reports) for path in home.rglob("*") if path.is_file()}


def test_the_look_at_test_is_not_spent(changed: Studied) -> None:
    """`evaluate --split test` reads the digest before the ledger's line, and asks the model nothing."""
    workspace, (run, _) = changed
    access_log_path(workspace).unlink(missing_ok=True)
    (workspace.runs / run / "predictions-test.csv").unlink(missing_ok=True)
    with pytest.raises(FototecaError, match="was trained on another v001"):
        evaluate_run(workspace, run, "test")
    assert not access_log_path(workspace).exists() and not (workspace.runs / run / "predictions-test.csv").exists()


def test_nor_is_that_of_other_commands(changed: Studied) -> None:
    """`confusion` and `examples` on test, where predictions are stored: no line of theirs is in the ledger."""
    workspace, (run, _) = changed
    access_log_path(workspace).unlink(missing_ok=True)
    (workspace.runs / run / "predictions-test.csv").write_text("image_id,label,predicted\n", encoding="utf-8")
    for ask in (
        lambda: confusion_figures(workspace, run, "test", None),
        lambda: examples_of_run(workspace, run, "test"),
    ):
        with pytest.raises(FototecaError, match="was trained on another v001"):
            ask()
    assert not access_log_path(workspace).exists()


def test_every_command_refuses(changed: Studied, first_image: Callable[[str], Path]) -> None:
    """New images are compared with no other version, and no map is drawn: one line each, and no file."""
    workspace, (run, _) = changed
    calls: list[Callable[[], object]] = [
        lambda: predict_paths(workspace, run, [str(first_image("val"))]),
        lambda: explain_run(workspace, run, methods=["saliency"]),
        lambda: run_sanity_checks(workspace, run, ["saliency"]),
        lambda: filter_figures(workspace, run),
        lambda: embed_run(workspace, run),
        lambda: export_run(workspace, run, "torch"),
    ]
    before = files(workspace)
    for call in calls:
        with pytest.raises(FototecaError, match=r"was trained on another v001 than v001\.csv is now") as error:
            call()
        assert "\n" not in error.value.message and "fototeca train run --manifest v001" in error.value.hint
    assert files(workspace) == before
