"""`report`: the whole story as one HTML file that works offline, with every figure and its numbers beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from markupsafe import Markup
from tqdm import tqdm

from fototeca.analysis.i18n import PAGES, Texts
from fototeca.analysis.plots.export import require_browser, write_pdf
from fototeca.analysis.plots.figures import write_figures
from fototeca.analysis.report import cards, dataset, models
from fototeca.analysis.report import model_analysis as studied
from fototeca.analysis.report import new_images as new
from fototeca.analysis.report import test_section as final
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import join, link, tag
from fototeca.analysis.report.reproducibility import again
from fototeca.core.console import notify
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.vision.memory import keep_freed_memory

SECTIONS: dict[str, Callable[[ReportContext], Markup]] = {
    "task": dataset.task,
    "collection": dataset.collection,
    "samples": dataset.samples,
    "splits": dataset.splits,
    "models": models.models,
    "comparison": models.comparison,
    "studied": studied.studied,
    "test": final.test,
    "new": new.new_images,
    "conclusions": lambda story: story.written("conclusions"),
    "cards": cards.cards,
    "again": again,
}
"""The sections in order; their titles are the texts `section.NAME`."""


def write_report(
    workspace: Workspace, version: str, *, lang: str = "en", output: Path | None = None, pdf: bool = False
) -> list[Path]:
    """Write `report-LANG.html` and `figures-LANG/`; returns the page first, then the PDF if asked for, then the figures.

    Looks at test only through predictions that `evaluate --split test` stored. FototecaError when there is no such version,
    or for `pdf` when there is no Chromium.
    """
    keep_freed_memory()
    if pdf:
        require_browser()  # before minutes of work
    manifest = read_manifest(workspace, version)
    folder = output or workspace.reports / manifest.version
    folder.mkdir(parents=True, exist_ok=True)
    story = ReportContext(workspace, manifest, Texts.load(lang), folder)
    if not story.ranked:
        train = f"fototeca train sweep --manifest {manifest.version}"
        notify(f"{manifest.version} has no finished runs: the report is of the dataset alone; train: {train}")
    page = folder / f"report-{lang}.html"
    write_text(page, _page(story))
    figures = write_figures(story.figures, folder / story.beside)
    figures += [numbers.write(folder / story.beside) for numbers in story.numbers]
    _clear(folder / story.beside, [path.name for path in figures])
    return [page, *([write_pdf(page, folder / f"report-{lang}.pdf")] if pdf else []), *figures]


def _clear(folder: Path, names: Sequence[str]) -> None:
    """Remove what the former report wrote here and this one has not, as of a run that is gone: it would look like this one's."""
    listed = folder / ".written"
    former = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    for name in {*former} - {*names}:
        if name == Path(name).name and Path(name).suffix in (".svg", ".csv"):  # PNGs stay where no Chromium draws them
            for left in (folder / name, (folder / name).with_suffix(".png")):
                left.unlink(missing_ok=True)
    write_text(listed, "\n".join(sorted(names)) + "\n")


def _page(story: ReportContext) -> str:
    words = story.words
    titles = {name: words(f"section.{name}") for name in SECTIONS}
    contents = tag(
        "nav",
        tag("ol", join(tag("li", link(title, f"#{name}")) for name, title in titles.items())),
        aria_label=words("page.contents"),
    )
    sections = []
    bar = tqdm(SECTIONS.items(), desc="report", unit="section", disable=None)
    for number, (name, make) in enumerate(bar, 1):
        title = tag("h2", join([tag("span", str(number)), titles[name]]))
        sections.append(tag("section", title + story.part(partial(make, story)), id=name))
    style = (PAGES / "report.css").read_text(encoding="utf-8")
    head = join(
        [
            Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", words("page.title", dataset=story.manifest.dataset_name)),
            tag("style", Markup(style)),
        ]
    )
    whole = tag("main", join([story.part(partial(_cover, story)), contents, *sections]))
    return f'<!doctype html>\n<html lang="{words.language}"><head>{head}</head><body>{whole}</body></html>\n'


def _cover(story: ReportContext) -> Markup:
    """The title, and the answer before the story."""
    words, manifest = story.words, story.manifest
    counts, frozen = manifest.split_counts(), f"manifests/{manifest.version}"
    cells = [
        (story.file(f"{frozen}.csv", shown=words.number(len(manifest.rows))), words("cover.images")),
        (story.file(f"{frozen}.json", shown=words.number(len(manifest.categories))), words("cover.categories")),
        (story.file("data/runs", shown=words.number(len(story.ranked))), words("cover.models")),
    ]
    if story.comparison:
        best = story.comparison["runs"][0]
        cells.append((link(words.percent(best["accuracy"]), story.row("models", 0)), words("cover.best")))
    looks = story.access_log.accesses
    seen = [number for number, look in enumerate(looks) if look.accuracy is not None]
    if seen:
        whole, run = len(story.access_log.full_accesses), final.looked_at(story)
        plain = [number for number in seen if run and looks[number].run == run.id and "--tta" not in looks[number].purpose]
        shown = (plain or seen)[-1]  # what section 8 shows, if it is there
        under = words("cover.test") if whole == 1 else words("cover.tests", n=whole)
        if story.ranked and looks[shown].run != story.ranked[0].id:
            under = f"{under} ({looks[shown].run})"
        cells.append((link(words.percent(looks[shown].accuracy), story.row("looks", shown)), under))
    big = join(tag("li", join([tag("strong", value), tag("span", name)])) for value, name in cells)
    made = words("cover.made", version=manifest.version, date=datetime.now(UTC).strftime("%Y-%m-%d"), **counts)
    told = join([made, " ", story.file(f"{frozen}.json")])
    return tag("header", join([tag("h1", manifest.dataset_name), tag("p", told), tag("ul", big, class_="big")]))
