"""What all sections share: the manifest, its runs, their results, the words, and the images, each read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from fototeca.analysis.evaluation.compare import compare_predictions
from fototeca.analysis.evaluation.predictions import SplitPredictions, read_split_predictions
from fototeca.analysis.evaluation.test_access_log import TestAccessLog, read_access_log
from fototeca.analysis.i18n import Texts
from fototeca.analysis.images import data_uri, thumbnail
from fototeca.analysis.plots.svg import Figure
from fototeca.analysis.report.html import Words, facts, figure, join, link, note, paragraph, table, tag
from fototeca.analysis.report.markdown import read_words, render
from fototeca.analysis.tabular import Table, row_link
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow, is_stored
from fototeca.train.runs import LoadedModel, Run, load_model, read_run


@dataclass
class ReportContext:
    """One report in the making. `folder` is where it will lie; `figures` and `numbers` are its drawings and tables so far."""

    workspace: Workspace
    manifest: Manifest
    words: Texts
    folder: Path
    figures: list[Figure] = field(default_factory=list)
    numbers: list[Table] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Runs that could not be read, and why."""
    _thumbnails: dict[tuple[str, int], str] = field(default_factory=dict)
    _models: dict[str, LoadedModel] = field(default_factory=dict)

    @cached_property
    def rows(self) -> dict[str, ManifestRow]:
        """The manifest's rows by image id."""
        return {row.image_id: row for row in self.manifest.rows}

    @cached_property
    def runs(self) -> list[Run]:
        """The finished runs of this version; what is not finished or cannot be read is in `problems`."""
        found = []
        for path in sorted(self.workspace.runs.glob("*/config.json")):
            try:
                run = read_run(self.workspace, path.parent.name)
                if run.manifest_version != self.manifest.version:
                    continue
                if run.done:
                    found.append(run)
                else:
                    name = "models.given_up" if run.given_up else "models.unfinished"
                    self.problems[run.id] = self.words(name, why=run.given_up)
            except Exception as error:  # whatever a damaged file leads to, the others are told
                self.problems[path.parent.name] = _why(error)
        return found

    @cached_property
    def validation(self) -> dict[str, SplitPredictions]:
        """What each run said on validation; runs without it are in `problems`."""
        found = {}
        for run in self.runs:
            try:
                results, _ = read_split_predictions(self.workspace, run, "val", self.manifest), run.facts.get("seconds")
                found[run.id] = results
            except Exception as error:
                self.problems[run.id] = _why(error)
        return found

    @cached_property
    def comparison(self) -> dict[str, Any] | None:
        """`compare` of all runs; None when there is none to compare."""
        return compare_predictions(list(self.validation.values())).to_json() if self.validation else None

    @cached_property
    def ranked(self) -> list[Run]:
        """The runs with validation results, best first."""
        by_id = {run.id: run for run in self.runs}
        return [by_id[row["run"]] for row in self.comparison["runs"]] if self.comparison else []

    @cached_property
    def studied(self) -> list[Run]:
        """The best run that is one model, and another, of another model or regime if there is one."""
        single = [run for run in self.ranked if "members" not in run.config]
        if len(single) < 2:
            return single
        best = single[0]
        differing = [run for run in single[1:] if run.model_name != best.model_name or run.regime != best.regime]
        return [best, (differing or single[1:])[0]]

    @cached_property
    def access_log(self) -> TestAccessLog:
        """Every look at this version's test split."""
        return read_access_log(self.workspace, self.manifest.version)

    @cached_property
    def own_words(self) -> dict[str, str]:
        """The sections of `report.md`."""
        return read_words(self.workspace.report_text)

    def part(self, make: Callable[[], Markup]) -> Markup:
        """A part of the page; what keeps it from being made is told in its place, and the others are made."""
        try:
            return make()
        except Exception as error:  # one damaged file must not cost a person the whole report
            return note(self.words("part.failed", why=_why(error, hint=True)), "warn")

    def written(self, name: str) -> Markup:
        """A person's words, or a note that they are missing."""
        text = self.own_words[name]
        if text:
            return Markup('<div class="own">{}</div>').format(render(text))
        return Markup('<p class="note missing">{}</p>').format(self.words("own.missing", heading=f"## {name}"))

    def label(self, name: str) -> str:
        """A label as a reader sees it: of several categories each apart, so that a line can end between them."""
        return " + ".join(name.split(LABEL_SEPARATOR)) or self.words("label.none")

    def licence(self, name: str) -> str:
        """A licence as a reader sees it: its SPDX name, or that it is not known."""
        return self.words("licence.none") if name == "unknown" else name

    def model(self, run: Run) -> LoadedModel:
        """The run's model, loaded once."""
        if run.id not in self._models:
            self._models[run.id] = load_model(self.workspace, run)
        return self._models[run.id]

    def thumbnail(self, row: ManifestRow, side: int = 104) -> str:
        """An image of the dataset as a data URI; empty when its file is gone."""
        key = (row.image_id, side)
        if key not in self._thumbnails:
            small = thumbnail(self.workspace.root / row.path, side) if is_stored(row) else None
            self._thumbnails[key] = data_uri(small) if small else ""
        return self._thumbnails[key]

    def draw(self, drawing: Figure, caption: str, source: str = "", kind: str = "") -> Markup:
        """A figure on the page, kept for the files beside it. `source`: the file it was drawn from, below the workspace."""
        self.figures.append(drawing)
        return figure(drawing, caption, self._from(drawing.name, source), kind)

    def table(
        self,
        name: str,
        head: Sequence[str],
        rows: Sequence[Sequence[Words | int]],
        *,
        caption: str = "",
        numeric: Sequence[int] = (),
        strong: Sequence[int] = (),
        source: str = "",
    ) -> Markup:
        """A table on the page, kept as `NAME.csv` beside it too, to whose rows its numbers lead. `source`: as for `draw`."""
        self.numbers.append(Table(name, tuple(head), tuple(tuple(row) for row in rows)))
        hrefs = [self.row(name, index) for index in range(len(rows))]
        shown = table(head, rows, caption=caption, numeric=numeric, strong=strong, hrefs=hrefs)
        return join([shown, paragraph(self._from(name, source), "source")])

    def facts(self, name: str, pairs: Sequence[tuple[str, str]], source: str = "") -> Markup:
        """Names with values on the page, kept as `NAME.csv` beside it too, to whose rows they lead. `source`: as for `draw`."""
        self.numbers.append(Table(name, ("name", "value"), tuple(pairs)))
        shown = [(words, link(value, self.row(name, index))) for index, (words, value) in enumerate(pairs)]
        return join([facts(shown), paragraph(self._from(name, source), "source")])

    def lead(self, words: Words, name: str, row: int = 0) -> Markup:
        """Words that hold numbers, and behind them a link to the row of the table beside the page that they are in."""
        return join([words, " ", link(self.words("figure.data"), self.row(name, row))])

    @property
    def beside(self) -> str:
        """The folder beside the page that takes its drawings and numbers: words in them are of the page's language."""
        return f"figures-{self.words.language}"

    def row(self, name: str, row: int) -> str:
        """The address of a row (0 is the first below the head) of a table beside the page."""
        return row_link(self.beside, name, row)

    def _from(self, name: str, source: str) -> Markup:
        """Links to a figure's or table's numbers and to the file that they come from."""
        data = link(self.words("figure.data"), f"{self.beside}/{name}.csv")
        shown = Markup(" · ").join([data, *([self.file(source)] if source else [])])
        return tag("span", shown, class_="source")

    def file(self, name: str, shown: str = "", row: int | None = None) -> Markup:
        """A link to a file of the workspace, by its relative name; `shown`: words instead of the name; `row`: 0 is the first
        below a table's head."""
        words, place = shown or name, "" if row is None else f"#row={row + 2}"
        try:
            return link(words, quote(Path(_relative(self.workspace.root / name, self.folder)).as_posix()) + place)
        except ValueError:  # on another drive
            return Markup("<code>{}</code>").format(words)

    def run_file(self, run: Run, name: str) -> Markup:
        """A link to a file of a run."""
        return self.file(f"data/runs/{run.id}/{name}")


def _why(error: Exception, *, hint: bool = False) -> str:
    """What went wrong, in a line; the kind of error where it was not foreseen."""
    if not isinstance(error, FototecaError):
        return f"{type(error).__name__}: {error}"
    return f"{error.message}: {error.hint}" if hint and error.hint else error.message


def _relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`."""
    import os.path

    return os.path.relpath(path, folder)
