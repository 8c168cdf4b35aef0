"""The log of test accesses: written by every command before predictions are read, and readable when damaged."""

from __future__ import annotations

import pytest

from fototeca.analysis.cli_tables import evaluation_table
from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.evaluation.test_access_log import (
    access_log_path,
    close_access,
    open_access,
    read_access_log,
    read_accesses,
)
from fototeca.analysis.examples import examples_of_run
from fototeca.analysis.plots.figures import confusion_figures
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


@pytest.fixture
def workspace(copied: Studied) -> Workspace:
    """Return the workspace without test predictions and log."""
    access_log_path(copied[0]).unlink(missing_ok=True)
    for path in copied[0].runs.glob("*/predictions-test.csv"):
        path.unlink()
    return copied[0]


def test_every_access_is_logged(workspace: Workspace, copied: Studied) -> None:
    """Actor, run, purpose and result; a second evaluation gives the same metrics; TTA is an access of its own."""
    run = copied[1][1]
    with pytest.raises(FototecaError, match="has not been evaluated on test"):
        confusion_figures(workspace, run, "test", None)
    assert read_accesses(workspace, "v001") == []
    first = evaluate_run(workspace, run, "test")
    second = evaluate_run(workspace, run, "test", tta=True)
    assert first.accuracy == second.accuracy
    assert "has been used once (" in evaluation_table(first) and "used 3 times (" in evaluation_table(second)
    assert {"run", "split", "n", "accuracy", "accuracy_interval", "macro_f1", "per_class"} <= first.to_json().keys()
    confusion_figures(workspace, run, "test", None)
    examples_of_run(workspace, run, "test", number=1)
    looks = read_accesses(workspace, "v001")
    assert [look.purpose for look in looks] == ["evaluate", "evaluate", "evaluate --tta", "confusion", "examples"]
    assert {(look.actor, look.run, look.n) for look in looks} == {("tester", run, first.n)}
    expected = [first.accuracy] * 2 + [second.tta.accuracy if second.tta else None] + [first.accuracy] * 2
    assert [look.accuracy for look in looks] == pytest.approx(expected, abs=1e-6)
    assert read_access_log(workspace, "v001").runs == (run,)
    assert set(read_access_log(workspace, "v001").accuracies(run)) == {look.accuracy for look in looks}


def test_interrupted_access_is_logged(workspace: Workspace, copied: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation killed while the model runs is logged without a result."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fototeca.analysis.evaluation.evaluate.load_model", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluate_run(workspace, copied[1][0], "test")
    (look,) = read_accesses(workspace, "v001")
    assert (look.run, look.n, look.accuracy, look.purpose) == (copied[1][0], None, None, "evaluate")


def test_truncated_line_affects_no_other_line(tmp_path: Workspace) -> None:
    """Lines before and after a truncated one are read."""
    workspace = create_workspace(tmp_path / "colours", ["red", "green"])  # type: ignore[operator]
    path = access_log_path(workspace)
    path.parent.mkdir(parents=True)
    path.write_text(
        "time,actor,version,run,n,accuracy,purpose,access_id\n"
        '2026-01-02T03:04:05+00:00,ana,v001,old,20,0.75,evaluate,1f\n2026-01-03T03:04:05+00:00,"an',
        encoding="utf-8",
    )
    close_access(workspace, open_access(workspace, "v001", "new", "evaluate"), 20, 0.8)
    open_access(workspace, "v002", "new", "evaluate")
    with path.open("a", encoding="utf-8") as file:
        file.write("2026-01-05T03:04:05+00:00,ana,v001,cut,2")
    looks = read_accesses(workspace, "v001")
    assert [(look.run, look.n, look.accuracy) for look in looks] == [("old", 20, 0.75), ("new", 20, 0.8), ("cut", 2, None)]
    assert read_access_log(workspace, "v001").runs == ("old", "new", "cut")
