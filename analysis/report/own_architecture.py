"""Section of the report on networks designed for the task: those trained from scratch."""

from __future__ import annotations

from markupsafe import Markup

from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.experiments import compared_by_run
from fototeca.analysis.report.html import join, note, paragraph
from fototeca.train.runs import Run


def own_runs(context: ReportContext) -> list[Run]:
    """Return the runs of networks that were trained from scratch, best first."""
    return [run for run in context.ranked_runs if run.regime == "scratch"]


def render_own_architecture(context: ReportContext) -> Markup:
    """Return the networks trained from scratch with their size and accuracy; the command that trains one if there is none."""
    texts, runs = context.texts, own_runs(context)
    if not runs:
        train = context.hint(f"fototeca train run --manifest {context.manifest.version} --model cnn --regime scratch")
        return note(texts("own_architecture.none"), "missing") + train
    head = [texts(f"experiments.{name}") for name in ("run", "val", "parameters")]
    compared = compared_by_run(context)
    body = [
        [context.run_cell(run.id), texts.percent(compared[run.id]["accuracy"]), texts.number(run.metrics.parameters)]
        for run in runs
    ]
    table = context.add_table(
        "own-architecture", head, body, caption=texts("own_architecture.table"), numeric=(1, 2), source="data/runs"
    )
    return join([paragraph(texts("own_architecture.intro")), table])
