"""Data and page elements shared by all sections of a report: manifest, runs, predictions, texts, thumbnails, figures, tables."""

from __future__ import annotations

import os
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
from fototeca.analysis.file_names import read_file_names
from fototeca.analysis.i18n import Texts
from fototeca.analysis.images import data_uri, thumbnail
from fototeca.analysis.plots.svg import Figure
from fototeca.analysis.report.html import Content, code, command, csv_icon, facts, figure, join, link, note, table, titled
from fototeca.analysis.report.own_words import OwnWords
from fototeca.analysis.run_names import name_runs
from fototeca.analysis.tabular import NamedCell, Table, row_link
from fototeca.core.errors import FototecaError
from fototeca.core.report_text import read_report_text
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow
from fototeca.train.runs import LoadedModel, Run, load_model, read_run


@dataclass
class ReportContext:
    """One report while it is rendered.

    Attributes:
        workspace: the workspace reported on.
        manifest: the reported version.
        texts: the texts of the report's language.
        folder: where the page will be written; links are relative to it.
        clean: leave out what is only for the author: texts to write, commands that would add content.
        figures: drawings added so far, written as files beside the page.
        data_tables: tables added so far, written as CSV beside the page.
        run_errors: runs left out of the report, with the reason.
    """

    workspace: Workspace
    manifest: Manifest
    texts: Texts
    folder: Path
    clean: bool = False
    figures: list[Figure] = field(default_factory=list)
    data_tables: list[Table] = field(default_factory=list)
    run_errors: dict[str, str] = field(default_factory=dict)
    _thumbnails: dict[tuple[str, int], str] = field(default_factory=dict)
    _models: dict[str, LoadedModel] = field(default_factory=dict)

    @cached_property
    def rows_by_id(self) -> dict[str, ManifestRow]:
        """The manifest's rows by image id."""
        return {row.image_id: row for row in self.manifest.rows}

    @cached_property
    def file_names(self) -> dict[str, str]:
        """The original file names by image id; empty without a catalog."""
        return read_file_names(self.workspace)

    @cached_property
    def runs(self) -> list[Run]:
        """The finished runs of this version; unfinished and unreadable ones are added to `run_errors`."""
        finished = []
        for path in sorted(self.workspace.runs.glob("*/config.json")):
            try:
                run = read_run(self.workspace, path.parent.name)
                if run.manifest_version != self.manifest.version:
                    continue
                if run.done:
                    finished.append(run)
                else:
                    key = "experiments.given_up" if run.abort_reason else "experiments.unfinished"
                    self.run_errors[run.id] = self.texts(key, reason=run.abort_reason)
            except Exception as error:  # a damaged run must not hide the others
                self.run_errors[path.parent.name] = _describe_error(error)
        return finished

    @cached_property
    def validation(self) -> dict[str, SplitPredictions]:
        """Validation predictions by run id; runs without them are added to `run_errors`."""
        predictions = {}
        for run in self.runs:
            try:
                results = read_split_predictions(self.workspace, run, "val", self.manifest)
                _ = run.metrics  # raises if done.json is damaged
                predictions[run.id] = results
            except Exception as error:
                self.run_errors[run.id] = _describe_error(error)
        return predictions

    @cached_property
    def comparison(self) -> dict[str, Any] | None:
        """`compare_predictions` of all runs with validation predictions; None without such runs."""
        return compare_predictions(list(self.validation.values())).to_json() if self.validation else None

    @cached_property
    def ranked_runs(self) -> list[Run]:
        """The runs with validation predictions, best first."""
        by_id = {run.id: run for run in self.runs}
        return [by_id[row["run"]] for row in self.comparison["runs"]] if self.comparison else []

    @cached_property
    def analyzed_runs(self) -> list[Run]:
        """The best run, and the best other single model, of another model or regime if there is one."""
        if not self.ranked_runs:
            return []
        best, *others = self.ranked_runs
        single = [run for run in others if run.regime != "ensemble"]
        differing = [run for run in single if run.model_name != best.model_name or run.regime != best.regime]
        return [best, *(differing or single or others)[:1]]

    @cached_property
    def access_log(self) -> TestAccessLog:
        """Every recorded use of this version's test split."""
        return read_access_log(self.workspace, self.manifest.version)

    @cached_property
    def own_words(self) -> OwnWords:
        """The sections of `report.md`."""
        return OwnWords(read_report_text(self.workspace.report_text), self.texts)

    def render_part(self, render: Callable[[], Markup]) -> Markup:
        """Return `render()`, or a note with its error: one damaged file must not prevent the rest of the report."""
        try:
            return render()
        except Exception as error:
            return note(self.texts("part.failed", reason=_describe_error(error, hint=True)), "warn")

    def hint(self, line: str) -> Markup:
        """Return a command that adds what a section lacks; nothing in a clean report."""
        return Markup("") if self.clean else command(line)

    @cached_property
    def _run_names(self) -> dict[str, str]:
        return name_runs(self.runs, self.texts)

    def run_name(self, run: str) -> str:
        """Return the name of a run as people say it; its id if it is not a finished run of this version."""
        return self._run_names.get(run, run)

    def run_cell(self, run: str) -> NamedCell:
        """Return the name of a run for a table or sentence, with its id as tooltip and in the CSV."""
        return NamedCell(titled(self.run_name(run), run), run)

    def label_text(self, name: str) -> str:
        """Return a label for display: several categories are separated so that a line can break between them."""
        return " + ".join(name.split(LABEL_SEPARATOR)) or self.texts("label.none")

    def license_text(self, name: str) -> str:
        """Return a license for display: its SPDX name, or the word for unknown."""
        return self.texts("license.none") if name == "unknown" else name

    def load_model(self, run: Run) -> LoadedModel:
        """Return the run's model, loaded once."""
        if run.id not in self._models:
            self._models[run.id] = load_model(self.workspace, run)
        return self._models[run.id]

    def thumbnail(self, row: ManifestRow, side: int = 104) -> str:
        """Return an image of the dataset as a data URI; empty when its file is missing."""
        key = (row.image_id, side)
        if key not in self._thumbnails:
            small = thumbnail(self.workspace.root / row.path, side)
            self._thumbnails[key] = data_uri(small) if small else ""
        return self._thumbnails[key]

    def add_figure(self, drawing: Figure, caption: str, source: str = "", kind: str = "") -> Markup:
        """Register a drawing for export and return it as HTML.

        Args:
            drawing: the drawing; its `name` is the name of its files.
            caption: text below it.
            source: file of the workspace that the drawing was made from.
            kind: a CSS class.
        """
        self.figures.append(drawing)
        content = figure(drawing, caption, self.csv_link(drawing.name, source), kind)
        return content + self._own_words_on(drawing.name)

    def add_table(
        self,
        name: str,
        head: Sequence[str],
        rows: Sequence[Sequence[Content | int]],
        *,
        caption: str = "",
        numeric: Sequence[int] = (),
        strong: Sequence[int] = (),
        source: str = "",
    ) -> Markup:
        """Register a table for export as `NAME.csv` and return it as HTML; numbers link to their row of the file.

        `source` is the file of the workspace that the numbers come from; the others are arguments of `html.table`.
        """
        self.data_tables.append(Table(name, tuple(head), tuple(tuple(row) for row in rows)))
        hrefs = [self.row_href(name, index) for index in range(len(rows))]
        link_to_csv = self.csv_link(name, source)
        content = table(head, rows, caption=caption, source=link_to_csv, numeric=numeric, strong=strong, hrefs=hrefs)
        return content + self._own_words_on(name)

    def add_facts(self, name: str, pairs: Sequence[tuple[str, str]], source: str = "") -> Markup:
        """Register names with values for export as `NAME.csv` and return them as HTML; values link to their row of the file."""
        self.data_tables.append(Table(name, ("name", "value"), tuple(pairs)))
        linked = [(label, link(value, self.row_href(name, index))) for index, (label, value) in enumerate(pairs)]
        return facts(linked, self.csv_link(name, source))

    def _own_words_on(self, name: str) -> Markup:
        """Return the user's text on a figure or table; the best run's are also found without the run's id."""
        short = name.removesuffix(f"-{self.ranked_runs[0].id}") if self.ranked_runs else name
        return self.own_words.of_figure(name, *([short] if short != name else []))

    def with_data_link(self, content: Content, name: str, row: int = 0) -> Markup:
        """Return text followed by a link to the row of an exported table that holds its numbers."""
        return join([content, " ", self.csv_link(name, row=row)])

    @property
    def data_folder(self) -> str:
        """Name of the folder beside the page with the exported figures and tables, one for each language."""
        return f"figures-{self.texts.language}"

    def row_href(self, name: str, row: int) -> str:
        """Return the address of a row of an exported table; 0 is the first below the header."""
        return row_link(self.data_folder, name, row)

    def csv_link(self, name: str, source: str = "", row: int | None = None) -> Markup:
        """Return a small link to an exported table, or to a row of it; its tooltip tells the file and what it comes from."""
        title = self.texts("link.csv_from" if source else "link.csv", name=name, source=source)
        href = f"{self.data_folder}/{name}.csv" if row is None else self.row_href(name, row)
        return csv_icon(href, title)

    def file_link(self, name: str, content: str = "", row: int | None = None) -> Markup:
        """Return a link to a file of the workspace.

        Args:
            name: path relative to the workspace.
            content: text of the link; default: `name`.
            row: row of a CSV; 0 is the first below the header.
        """
        content, fragment = content or name, "" if row is None else f"#row={row + 2}"
        try:
            relative = os.path.relpath(self.workspace.root / name, self.folder)
        except ValueError:  # on another drive of Windows
            return code(content)
        return link(content, quote(Path(relative).as_posix()) + fragment)

    def run_file_link(self, run: Run, name: str) -> Markup:
        """Return a link to a file of a run."""
        return self.file_link(f"data/runs/{run.id}/{name}")


def _describe_error(error: Exception, *, hint: bool = False) -> str:
    """Return an error as one line, with its type unless it is a FototecaError."""
    if not isinstance(error, FototecaError):
        return f"{type(error).__name__}: {error}"
    return f"{error.message}: {error.hint}" if hint and error.hint else error.message
