"""Runs as a table: what `train list` and `train sweep` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fototeca.core.errors import FototecaError
from fototeca.train.runs import Run
from fototeca.vision.intervals import wilson_interval

COLUMNS = ("run", "model", "regime", "train", "val", "interval", "parameters", "seconds", "images/s")


def run_metrics(run: Run) -> dict[str, Any]:
    """A finished run as `train run --json` and `train list --json` print it.

    `val_interval`: Wilson's 95% interval as `analysis compare` gives it, or, where `done.json` has none, of images counted one by
    one.
    """
    named = {"run": run.id, "model": run.model_name, "regime": run.regime, "manifest": run.manifest_version}
    facts = run.facts
    alone = wilson_interval(facts["val_accuracy"] * facts["val_images"], facts["val_images"])
    return {**named, "val_interval": list(alone), **facts}


def list_facts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The finished ones of them, by version and then the best on validation first."""
    facts = [run_metrics(run) for run in runs if run.done]
    return sorted(facts, key=lambda row: (row["manifest"], -row["val_accuracy"], row["run"]))


def unfinished_lines(runs: Sequence[Run]) -> list[str]:
    """A line for each of them that is not finished: how far it is, and how it goes on, or why it was given up."""
    begun = [run for run in runs if not run.done]
    return [
        *(f"not finished: {run.id}{_far(run)}; go on with: {run.command}" for run in begun if not run.given_up),
        *(f"given up: {run.id}{_far(run)}: {run.given_up}" for run in begun if run.given_up),
    ]


def _far(run: Run) -> str:
    try:
        epochs, of = len(run.epochs()), run.config.get("epochs")
    except FototecaError:  # the others are listed all the same, and going on writes this file's head anew
        return ""
    return f", {epochs} of {of} epochs" if epochs and of else ""


def runs_table(facts: Sequence[dict[str, Any]]) -> str:
    """Aligned columns with a line of headings; a note when there are none."""
    if not facts:
        return "no finished runs; try: fototeca train sweep --manifest latest"
    rows = [COLUMNS, *(_cells(row) for row in facts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = []
    for row in rows:
        names = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join([*names, *numbers]))
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    low, high = row["val_interval"]
    return (
        row["run"],
        row["model"],
        row["regime"],
        f"{row['train_accuracy']:.1%}",
        f"{row['val_accuracy']:.1%}",
        f"{low:.1%}–{high:.1%}",
        f"{row['parameters']:,}",
        f"{row['seconds']:.1f}",
        f"{row['images_per_second']:.0f}" if row["images_per_second"] else "–",
    )
