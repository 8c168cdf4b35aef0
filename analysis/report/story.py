"""What all sections share: the manifest, its runs, their results, the words, and the pictures, each read once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from markupsafe import Markup

from analysis.compare import compare
from analysis.pictures import data_uri, thumbnail
from analysis.report.html import figure, link
from analysis.report.markdown import read_words, render
from analysis.results import Results, read_results
from analysis.svg import Figure
from analysis.texts import Texts
from curate.manifest import Manifest, Row
from train.runs import LoadedModel, Run, list_runs, load_model
from workspace import FototecaError, Workspace


@dataclass
class Story:
    """One report in the making. `folder` is where it will lie; `figures` are the drawings used so far."""

    workspace: Workspace
    manifest: Manifest
    words: Texts
    folder: Path
    figures: list[Figure] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Runs that could not be read, and why."""
    _thumbnails: dict[tuple[str, int], str] = field(default_factory=dict)
    _models: dict[str, LoadedModel] = field(default_factory=dict)

    @cached_property
    def runs(self) -> list[Run]:
        """The finished runs of this version."""
        return list_runs(self.workspace, self.manifest.version)

    @cached_property
    def validation(self) -> dict[str, Results]:
        """What each run said on validation; runs without it are in `problems`."""
        found = {}
        for run in self.runs:
            try:
                found[run.id] = read_results(self.workspace, run, "val", self.manifest)
            except FototecaError as error:
                self.problems[run.id] = error.message
        return found

    @cached_property
    def comparison(self) -> dict[str, Any] | None:
        """`compare` of all runs; None when there is none to compare."""
        return compare(list(self.validation.values())) if self.validation else None

    @cached_property
    def ranked(self) -> list[Run]:
        """The runs with validation results, best first."""
        by_id = {run.id: run for run in self.runs}
        return [by_id[row["run"]] for row in self.comparison["runs"]] if self.comparison else []

    @cached_property
    def studied(self) -> list[Run]:
        """The best run and another, of another model or regime if there is one."""
        if len(self.ranked) < 2:
            return self.ranked
        best = self.ranked[0]
        differing = [run for run in self.ranked[1:] if run.model_name != best.model_name or run.regime != best.regime]
        own = [run for run in differing if run.regime != "ensemble"]
        return [best, (own or differing or self.ranked[1:])[0]]

    @cached_property
    def own_words(self) -> dict[str, str]:
        """The sections of `report.md`."""
        return read_words(self.workspace.report_text)

    def written(self, name: str) -> Markup:
        """A person's words, or a note that they are missing."""
        text = self.own_words[name]
        if text:
            return Markup('<div class="own">{}</div>').format(render(text))
        return Markup('<p class="note missing">{}</p>').format(self.words("own.missing", heading=f"## {name}"))

    def model(self, run: Run) -> LoadedModel:
        """The run's model, loaded once."""
        if run.id not in self._models:
            self._models[run.id] = load_model(self.workspace, run)
        return self._models[run.id]

    def thumbnail(self, row: Row, side: int = 104) -> str:
        """A picture of the dataset as a data URI; empty when its file is gone."""
        key = (row.image_id, side)
        if key not in self._thumbnails:
            small = thumbnail(self.workspace.root / row.path, side)
            self._thumbnails[key] = data_uri(small) if small else ""
        return self._thumbnails[key]

    def draw(self, drawing: Figure, caption: str, source: str = "", kind: str = "") -> Markup:
        """A figure on the page, kept for the files beside it. `source`: the file it was drawn from, below the workspace."""
        self.figures.append(drawing)
        data = link(self.words("figure.data"), f"figures/{drawing.name}.csv")
        return figure(
            drawing,
            caption,
            Markup('<span class="source">{}</span>').format(Markup(" · ").join([data, *([self.file(source)] if source else [])])),
            kind,
        )

    def file(self, name: str, row: int | None = None) -> Markup:
        """A link to a file of the workspace, by its relative name; `row` names a line in it."""
        path = self.workspace.root / name
        words = name if row is None else self.words("source.row", file=name, row=row)
        try:
            return link(words, Path(_relative(path, self.folder)).as_posix())
        except ValueError:  # on another drive
            return Markup("<code>{}</code>").format(words)

    def run_file(self, run: Run, name: str, row: int | None = None) -> Markup:
        """A link to a file of a run."""
        return self.file(f"data/runs/{run.id}/{name}", row)


def _relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`."""
    import os.path

    return os.path.relpath(path, folder)


def read_done(run: Run) -> dict[str, Any]:
    """What the run wrote when it was done."""
    document: dict[str, Any] = json.loads((run.folder / "done.json").read_text(encoding="utf-8"))
    return document
