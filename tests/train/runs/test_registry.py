"""Damaged files of a run are rejected with one line that names the file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run
from fototeca.train.tables import describe_unfinished
from fototeca.train.trainer import train_run
from fototeca.train.training.metrics_log import read_metrics

Edit = Callable[[bytes], bytes]


def trained(workspace: Workspace, **settings: object) -> Run:
    """Train a small run."""
    base = {"manifest": "v001", "model": "cnn", "regime": "scratch", "image_size": 32, "epochs": 2, "device": "cpu"}
    return train_run(workspace, TrainConfig(**{**base, **settings}))  # type: ignore[arg-type]  # a test's plain dict


def test_damaged_predictions_are_rejected(small: Workspace) -> None:
    """Reordered columns and empty files are errors, not other predictions."""
    run = trained(small, epochs=1)
    path = run.folder / "predictions-val.csv"
    whole = path.read_bytes()
    damages: dict[str, Edit] = {
        "a byte": lambda text: text.replace(b"red", b"r\xffd", 1),
        "columns": lambda text: text.replace(b"p:blue,p:green", b"p:green,p:blue"),
        "no head": lambda text: text.partition(b"\n")[2],
        "nothing": lambda _: b"",
        "an image twice": lambda text: text + text.splitlines(keepends=True)[-1],
        "an unknown label": lambda text: text.replace(b",red,", b",fox,", 1),
        "no id": lambda text: text + b"../x" + text.splitlines(keepends=True)[-1][64:],
        "infinity": lambda text: text[:-4] + b",inf\n",
        "a negative": lambda text: text.replace(b",0.", b",-0.", 1),
        "a short line": lambda text: text + b"00",
        "no number": lambda text: text[:-4] + b"x\n",
        "a long cell": lambda text: text + b"0" * 200_000 + b"\n",
    }
    for name, damage in damages.items():
        path.write_bytes(damage(whole))
        assert path.read_bytes() != whole, name
        with pytest.raises(FototecaError, match=r"predictions-val.csv.*; delete the run's folder"):
            run.predictions("val")
    path.write_bytes(whole)
    assert len(run.predictions("val").labels) == len(whole.splitlines()) - 1


def test_damaged_curve_cells_are_nan_and_torn_rows_dropped(small: Workspace) -> None:
    """A file with other columns is rejected."""
    run = trained(small)
    path = run.folder / "epochs.csv"
    first, one, two = path.read_bytes().splitlines(keepends=True)
    for rows, kept in (([one, two[:-20]], 1), ([one, two + b"3,"], 2), ([one[:-1] + b",1,2\n", two], 1)):
        path.write_bytes(b"".join([first, *rows]))
        assert len(run.epochs()) == kept
    path.write_bytes(first + one.replace(b".", b"\xff", 1) + two)
    torn, sound = run.epochs()
    assert torn["train_loss"] != torn["train_loss"] and torn["val_loss"] > 0 and sound["epoch"] == 2
    for content in (b"", one + two, first.replace(b"val_loss", b"loss") + one):
        path.write_bytes(content)
        with pytest.raises(FototecaError, match=r"epochs.csv cannot be read; delete the run's folder"):
            read_metrics(path)


def test_run_with_damaged_curves_can_resume(small: Workspace) -> None:
    """It is listed with its command, and the curves are complete afterwards."""
    run = trained(small)
    (run.folder / "done.json").unlink()
    path = run.folder / "epochs.csv"
    path.write_bytes(b"\xff" * 9 + path.read_bytes())
    assert describe_unfinished([run]) == [f"not finished: {run.id}; resume with: {run.command}"]
    assert trained(small).id == run.id and [row["epoch"] for row in run.epochs()] == [1, 2]
