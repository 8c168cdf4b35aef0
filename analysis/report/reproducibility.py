"""Last section of the report: digests, seeds, software versions and commands that reproduce it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from markupsafe import Markup

from fototeca.analysis.attribution import METHODS
from fototeca.analysis.evaluation.test_access_log import REPORT
from fototeca.analysis.report.attributions import drawn_class_models, stored_sanity_checks
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import command, join, link, paragraph, table
from fototeca.analysis.tabular import Table
from fototeca.train.runs import Run, software_versions


def render_reproducibility(context: ReportContext) -> Markup:
    """Return the manifest's digest, seeds, software versions, and every command in order."""
    texts, manifest = context.texts, context.manifest
    rows = [
        (texts("reproducibility.manifest"), f"{manifest.version}, SHA-256 {manifest.sha256}"),
        (texts("reproducibility.frozen"), manifest.created[:16].replace("T", " ")),
        (texts("reproducibility.seeds"), _seeds_text(context)),
        *_training_software(context),
        (texts("reproducibility.software"), _versions_text(software_versions())),
    ]
    head = (texts("reproducibility.name"), texts("reproducibility.value"))
    context.data_tables.append(Table("reproducibility", head, tuple(rows)))
    linked = [[name, link(value, context.row_href("reproducibility", index))] for index, (name, value) in enumerate(rows)]
    return join([table(head, linked), paragraph(texts("reproducibility.commands")), command("\n".join(_commands(context)))])


def _seeds_text(context: ReportContext) -> str:
    """Return the seeds of the split and of the runs; ensembles have none."""
    seeds = sorted({run.config["seed"] for run in context.ranked_runs if "seed" in run.config})
    return context.texts("reproducibility.seeds_of", split=context.manifest.seed, runs=", ".join(map(str, seeds)) or "–")


def _training_software(context: ReportContext) -> list[tuple[str, str]]:
    """Return the software versions that the runs were trained with, with the runs where they differ."""
    texts, runs_by_versions = context.texts, dict[str, list[str]]()
    for run in context.ranked_runs:
        recorded = run.metrics.software
        versions = _versions_text(recorded) if recorded else texts("reproducibility.unknown")
        runs_by_versions.setdefault(versions, []).append(run.id)
    if len(runs_by_versions) == 1:
        return [(texts("reproducibility.trained_all"), next(iter(runs_by_versions)))]
    return [(texts("reproducibility.trained", runs=", ".join(runs)), versions) for versions, runs in runs_by_versions.items()]


def _versions_text(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name.replace('python', 'Python')} {version}" for name, version in versions.items())


def _commands(context: ReportContext) -> Iterator[str]:
    """Yield the commands from deduplication to this report; runs precede the runs and ensembles that use them."""
    manifest = context.manifest
    if manifest.threshold is not None:
        yield f"fototeca curate dedup --threshold {manifest.threshold}"
    yield f"fototeca curate freeze --seed {manifest.seed} --ratios {'/'.join(f'{ratio:g}' for ratio in manifest.ratios)}"
    yield f"fototeca curate verify {manifest.version}"
    yield from (_train_command(context, run) for run in sorted(context.ranked_runs, key=lambda run: _run_order(context, run)))
    yield from (line for run in context.analyzed_runs for line in _explain_commands(context, run))
    accesses = [access for access in context.access_log.full_accesses if access.purpose != REPORT]
    for access in {(access.purpose, access.run): access for access in accesses}.values():
        name, *options = access.purpose.split()
        yield " ".join(["fototeca analysis", name, access.run, "--split test", *options])
    yield f"fototeca analysis report --manifest {manifest.version} --lang {context.texts.language}"


def _explain_commands(context: ReportContext, run: Run) -> Iterator[str]:
    """Yield the commands that made the sanity checks and class models shown of a run."""
    explain = f"fototeca analysis explain {shlex.quote(run.id)}"
    if checks := stored_sanity_checks(context, run):
        methods = [f"--method {scores.method}" for scores in checks.methods if scores.method in METHODS]
        iterations = [f"--iterations {checks.iterations}"] if checks.iterations else []
        yield " ".join([explain, "--sanity-checks", *methods, *iterations])
    if drawn_class_models(context, run):
        yield f"{explain} --method class-model"


def _run_order(context: ReportContext, run: Run) -> tuple[bool, int]:
    """Return the sort key of a run: ensembles last, others by the number of runs that they start from, one after another."""
    by_name = {name: candidate for candidate in context.ranked_runs for name in _weights_names(candidate)}
    chain = [run]
    while (start := by_name.get(_initial_weights(chain[-1]))) and start not in chain:
        chain.append(start)
    return run.regime == "ensemble", len(chain)


def _weights_names(run: Run) -> tuple[str, Path]:
    """Return the names under which other runs can start from this one: `run:ID` and its weights file."""
    return f"run:{run.id}", (run.folder / "model.safetensors").resolve()


def _initial_weights(run: Run) -> str | Path:
    """Return the weights a run starts from, in the form of `_weights_names`."""
    weights = str(run.config.get("weights"))
    return weights if weights.startswith("run:") else Path(weights).expanduser().resolve()


def _train_command(context: ReportContext, run: Run) -> str:
    """Return the run's command, with the path of a weights file shortened."""
    weights = run.config.get("weights")
    if not isinstance(weights, str):
        return run.command
    return run.command.replace(f"--weights {shlex.quote(weights)}", f"--weights {_short_path(context.workspace.root, weights)}")


def _short_path(root: Path, weights: str) -> str:
    """Return a path quoted for the shell: relative in the workspace, from ~ in the home folder, else as it is."""
    path = Path(weights).expanduser()
    for folder, prefix in ((root.resolve(), ""), (Path.home(), "~/")):
        if path.is_absolute() and path.is_relative_to(folder):
            return prefix + shlex.quote(path.relative_to(folder).as_posix())
    return shlex.quote(weights)
