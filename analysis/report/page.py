"""`report`: one HTML file that works offline, with every figure and table as files beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from markupsafe import Markup
from tqdm import tqdm

from fototeca.analysis.i18n import PAGES, Texts
from fototeca.analysis.plots.export import require_browser, write_pdf
from fototeca.analysis.plots.figures import write_figures
from fototeca.analysis.report import (
    cards,
    cover,
    curves,
    dataset,
    ensemble_gains,
    experiments,
    model_analysis,
    new_images,
    own_architecture,
    reproducibility,
    test_section,
)
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import join, note
from fototeca.analysis.templates import render_page
from fototeca.core.console import notify
from fototeca.core.files import write_text
from fototeca.core.results import Result
from fototeca.core.settings import Language
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.vision.memory import keep_freed_memory

SECTIONS: dict[str, Callable[[ReportContext], Markup]] = {
    "task": dataset.render_task,
    "collection": dataset.render_collection,
    "samples": dataset.render_samples,
    "splits": dataset.render_splits,
    "own_architecture": own_architecture.render_own_architecture,
    "experiments": experiments.render_experiments,
    "curves": curves.render_curves,
    "ensemble": ensemble_gains.render_ensembles,
    "model_analysis": model_analysis.render_model_analysis,
    "test": test_section.render_test,
    "new_images": new_images.render_new_images,
    "conclusions": lambda _: Markup(""),
    "cards": cards.render_cards,
    "reproducibility": reproducibility.render_reproducibility,
}
"""Sections in order, by their id; titles are the texts `section.ID`."""


@dataclass(frozen=True)
class ReportResult(Result):
    """Files of a report.

    Attributes:
        paths: the page, then the PDF if one was requested, then figures and tables.
        warnings: what the report lacks, one line each.
    """

    paths: tuple[Path, ...]
    warnings: tuple[str, ...] = ()

    @property
    def page(self) -> Path:
        """The HTML file."""
        return self.paths[0]


@dataclass(frozen=True)
class _Section:
    id: str
    title: str
    content: Markup
    parts: tuple[tuple[str, str], ...] = ()
    """Ids and titles of the headings in it that the contents list."""


def write_report(
    workspace: Workspace,
    version: str,
    *,
    lang: Language | None = None,
    output: Path | None = None,
    pdf: bool = False,
    clean: bool = False,
) -> ReportResult:
    """Write the report of a dataset version: `report-LANG.html`, and `figures-LANG/` with figures and tables.

    Models are run on the test split only by `evaluate --split test`; the report shows the predictions stored by it.

    Args:
        workspace: the workspace.
        version: `v001`, or `latest`.
        lang: `en` or `es`; default: the workspace's.
        output: folder to write to; default: `data/reports/VERSION`.
        pdf: also print the page to `report-LANG.pdf` with Chromium.
        clean: leave out the list of texts to write.

    Raises:
        FototecaError: the version does not exist, or `pdf` was requested and Chromium is not installed.

    Example:
        >>> write_report(Workspace.find(), "v001", lang="es").page  # doctest: +SKIP
    """
    keep_freed_memory()
    if pdf:
        require_browser()  # before minutes of work
    manifest = read_manifest(workspace, version)
    folder = output or workspace.reports / manifest.version
    folder.mkdir(parents=True, exist_ok=True)
    lang = lang or workspace.settings.language
    context = ReportContext(workspace, manifest, Texts.load(lang), folder, clean)
    warnings = []
    if not context.ranked_runs:
        train = f"fototeca train sweep --manifest {manifest.version}"
        warnings.append(f"{manifest.version} has no finished runs; the report covers the dataset only; train: {train}")
        notify(warnings[0])
    page = folder / f"report-{lang}.html"
    write_text(page, _render(context))
    data_folder = folder / context.data_folder
    if unplaced := context.own_words.unplaced:
        warnings.append(_unplaced_text(Texts.load("en"), unplaced))
        notify(warnings[-1])
    files = write_figures(context.figures, data_folder)
    files += [table.write(data_folder) for table in context.data_tables]
    _remove_outdated(data_folder, [path.name for path in files])
    pages = [page, write_pdf(page, folder / f"report-{lang}.pdf")] if pdf else [page]
    return ReportResult((*pages, *files), tuple(warnings))


def _remove_outdated(folder: Path, names: Sequence[str]) -> None:
    """Remove files that the previous report wrote and this one did not, for example those of a deleted run."""
    listing = folder / ".written"
    previous = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    for name in {*previous} - {*names}:
        if name == Path(name).name and Path(name).suffix in (".svg", ".csv"):  # other PNGs stay where none can be drawn
            for path in (folder / name, (folder / name).with_suffix(".png")):
                path.unlink(missing_ok=True)
    write_text(listing, "\n".join(sorted(names)) + "\n")


def _render(context: ReportContext) -> str:
    """Return the whole page."""
    texts = context.texts
    sections = [
        _Section(name, texts(f"section.{name}"), _render_section(context, name, render), _parts(texts, name))
        for name, render in tqdm(SECTIONS.items(), desc="report", unit="section", disable=None)
    ]
    sections = [section for section in sections if section.content]
    return render_page(
        "report.html.j2",
        language=texts.language,
        title=texts("page.title", dataset=context.manifest.dataset_name),
        style=Markup((PAGES / "report.css").read_text(encoding="utf-8")),
        cover=context.render_part(partial(cover.render_cover, context)),
        own_words=_render_own_words(context),
        contents=texts("page.contents"),
        sections=sections,
    )


def _parts(texts: Texts, section: str) -> tuple[tuple[str, str], ...]:
    names = model_analysis.PARTS if section == "model_analysis" else ()
    return tuple((name, texts(f"{name}.title")) for name in names)


def _render_section(context: ReportContext, name: str, render: Callable[[ReportContext], Markup]) -> Markup:
    """Return the user's text on a section, then the section."""
    return context.own_words.of_section(name) + context.render_part(partial(render, context))


def _render_own_words(context: ReportContext) -> Markup:
    """Return the headings of `report.md` without text, and those whose text has no place; call it after the sections."""
    if context.clean:
        return Markup("")
    texts, own = context.texts, context.own_words
    parts = [note(texts("own_words.missing", headings=", ".join(own.missing)), "missing")] if own.missing else []
    parts += [note(_unplaced_text(texts, own.unplaced), "warn")] if own.unplaced else []
    return join(parts)


def _unplaced_text(texts: Texts, headings: Sequence[str]) -> str:
    return texts("own_words.unplaced", headings=", ".join(f"## {name}" for name in headings))
