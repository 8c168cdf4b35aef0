"""The report's last section: what is needed to get the same figures again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from markupsafe import Markup

from fototeca.analysis.attribution import METHODS
from fototeca.analysis.evaluation.test_access_log import REPORT
from fototeca.analysis.report.attributions import drawn_class_models, kept_trials
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import join, link, paragraph, table, tag
from fototeca.analysis.tabular import Table
from fototeca.train.runs import Run, software_versions


def again(story: ReportContext) -> Markup:
    """Digest, seeds, versions, and every command in order."""
    words, manifest = story.words, story.manifest
    rows = [
        (words("again.manifest"), f"{manifest.version}, SHA-256 {manifest.sha256}"),
        (words("again.frozen"), manifest.created[:16].replace("T", " ")),
        (words("again.seeds"), _seeds(story)),
        *_trained(story),
        (words("again.software"), _versions(software_versions())),
    ]
    head = (words("again.what"), words("again.value"))
    story.numbers.append(Table("again", head, tuple(rows)))
    return join(
        [
            table(head, [[name, link(value, story.row("again", number))] for number, (name, value) in enumerate(rows)]),
            paragraph(words("again.commands")),
            tag("pre", "\n".join(_commands(story))),
        ]
    )


def _seeds(story: ReportContext) -> str:
    """Of the split and of every model that has one: an ensemble only joins others."""
    drawn = sorted({run.config["seed"] for run in story.ranked if "seed" in run.config})
    return story.words("again.seeds_of", split=story.manifest.seed, runs=", ".join(map(str, drawn)) or "–")


def _trained(story: ReportContext) -> list[tuple[str, str]]:
    """The versions that the models were made with; which models, where they differ."""
    words, found = story.words, dict[str, list[str]]()
    for run in story.ranked:
        kept = run.facts.get("software")
        found.setdefault(_versions(kept) if kept else words("again.unknown"), []).append(run.id)
    if len(found) == 1:
        return [(words("again.trained_all"), next(iter(found)))]
    return [(words("again.trained", runs=", ".join(runs)), versions) for versions, runs in found.items()]


def _versions(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name.replace('python', 'Python')} {version}" for name, version in found.items())


def _commands(story: ReportContext) -> Iterator[str]:
    """From the grouping of copies to this report. Runs come before what starts from them, members before what joins them."""
    manifest = story.manifest
    if manifest.threshold is not None:
        yield f"fototeca curate dedup --threshold {manifest.threshold}"
    yield f"fototeca curate freeze --seed {manifest.seed} --ratios {'/'.join(f'{ratio:g}' for ratio in manifest.ratios)}"
    yield f"fototeca curate verify {manifest.version}"
    yield from (_trains(story, run) for run in sorted(story.ranked, key=lambda run: _before(story, run)))
    yield from (command for run in story.studied for command in _explains(story, run))
    for look in {(look.purpose, look.run): look for look in story.access_log.full_accesses if look.purpose != REPORT}.values():
        command, *options = look.purpose.split()
        yield " ".join(["fototeca analysis", command, look.run, "--split test", *options])
    yield f"fototeca analysis report --manifest {manifest.version} --lang {story.words.language}"


def _explains(story: ReportContext, run: Run) -> Iterator[str]:
    """What made the trials and the categories' images that are shown of a run."""
    command = f"fototeca analysis explain {run.id}"
    if facts := kept_trials(story, run):
        methods = [f"--method {one['method']}" for one in facts["methods"] if one["method"] in METHODS]
        iterations = [f"--iterations {facts['iterations']}"] if facts.get("iterations") else []
        yield " ".join([command, "--trials", *methods, *iterations])
    if drawn_class_models(story, run):
        yield f"{command} --method class-model"


def _before(story: ReportContext, run: Run) -> tuple[bool, int]:
    """What sorts a run: those that are joined last, else by how many others it starts from, one from the other."""
    known, chain = {name: one for one in story.ranked for name in _names(one)}, [run]
    while (start := known.get(_start(chain[-1]))) and start not in chain:
        chain.append(start)
    return run.regime == "ensemble", len(chain)


def _names(run: Run) -> tuple[str, Path]:
    """What others start from: the run by its name, or its file."""
    return f"run:{run.id}", (run.folder / "model.safetensors").resolve()


def _start(run: Run) -> str | Path:
    """What a run starts from, as `_names` has it."""
    weights = str(run.config.get("weights"))
    return weights if weights.startswith("run:") else Path(weights).expanduser().resolve()


def _trains(story: ReportContext, run: Run) -> str:
    """The run's command, with the place of a file of weights told as short as a reader needs it."""
    weights = run.config.get("weights")
    if not isinstance(weights, str):
        return run.command
    return run.command.replace(f"--weights {shlex.quote(weights)}", f"--weights {_place(story.workspace.root, weights)}")


def _place(root: Path, weights: str) -> str:
    """A file as a person would type it in the workspace: relative inside it, from ~ at home, elsewhere as it was given."""
    path = Path(weights).expanduser()
    for folder, start in ((root.resolve(), ""), (Path.home(), "~/")):
        if path.is_absolute() and path.is_relative_to(folder):
            return start + shlex.quote(path.relative_to(folder).as_posix())
    return shlex.quote(weights)
