"""The report's maps of what made a model say what it said, and whether such maps can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from fototeca.analysis.attribution import METHODS
from fototeca.analysis.attribution.check_results import (
    CHECKS,
    CheckResults,
    measured_checks,
    merge_results,
    method_results,
    names_by_outcome,
    read_sanity_checks,
)
from fototeca.analysis.attribution.explain import EXPLANATION_COLUMNS, IMAGE_CHECKS, explain_one
from fototeca.analysis.attribution.filters import draw_filter_sheets
from fototeca.analysis.attribution.run_checks import REPORT_CURVE_STEPS, compute_sanity_checks
from fototeca.analysis.cache import cached_json
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.evaluation.sampling import pick_most_confident
from fototeca.analysis.images import compute_masks_digest, data_uri, read_stored_image
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import Tile, heading, join, link, note, paragraph, tag, tiles
from fototeca.analysis.tabular import FormattedNumber, Table
from fototeca.core.errors import FototecaError
from fototeca.train.runs import Run

EXPLAINED = 6
"""Images whose attributions are shown: half of them wrong, if there are so many."""

SHOWN_METHODS = ("grad-cam", "saliency")


def attributions(story: ReportContext, results: SplitPredictions) -> Markup:
    """What made the model say what it said: a row of maps per image."""
    words, model = story.words, story.model(results.run)
    if model.module is None:
        return join([heading(words("attribution.title"), 4), note(words("attribution.no_network"), "missing")])
    results = results.stored(story.workspace)
    wrong = pick_most_confident(results, correct=False, number=EXPLAINED // 2)
    chosen = [*wrong, *pick_most_confident(results, correct=True, number=EXPLAINED - len(wrong))]
    sources = "; ".join(f"{name}: {METHODS[name].source}" for name in SHOWN_METHODS)
    return join(
        [
            heading(words("attribution.title"), 4),
            paragraph(words("attribution.intro", sources=sources)),
            story.part(lambda: tiles(_explained(story, results, chosen), f"maps of{1 + len(SHOWN_METHODS)}")),
            story.part(partial(_class_models, story, results)),
            story.part(partial(_trials, story, results)),
            story.part(partial(_filters, story, results, chosen[0])),
        ]
    )


def _explained(story: ReportContext, results: SplitPredictions, chosen: Sequence[int]) -> list[Tile]:
    """What the model saw and a map per method, for each image."""
    words, shown, verdicts, file = story.words, list[Tile](), shown_verdicts(story, results), f"maps-{results.run.id}"
    rows: list[list[object]] = []
    for index, found in zip(chosen, _maps(story, results, chosen), strict=True):
        category = found["category"]
        sure = f"{category} · {words.percent(found['probability'], 0)}"
        said = link(words("attribution.of", category=sure) if results.multi else sure, story.row(file, len(rows)))
        right, label = bool(results.correct[index]), results.labels[index]
        lines: list[Markup | str] = [said] if right else [said, words("examples.true", label=story.label(label))]
        if results.multi:
            lines.insert(0, words("attribution.said", said=story.label(found["said"])))
        mark = "right" if right else "wrong"
        shown.append(Tile(found["seen"], words("attribution.seen", label=story.label(label)), tuple(lines), mark))
        for name, uri in found["maps"].items():
            alt = words("attribution.alt", method=name, said=category)
            stamp = merge_results(found["passed"][name], verdicts.get(name, {}))
            shown.append(Tile(uri, alt, (name, link(stamped(story, stamp), story.row(file, len(rows)))), mark))
            head = [results.rows[index].image_id, label, found["said"], category, found["probability"], name]
            rows.append([*head, *map(found["scores"][name].get, IMAGE_CHECKS), *names_by_outcome(stamp)])
    story.numbers.append(Table(file, EXPLANATION_COLUMNS, tuple(map(tuple, rows))))
    return shown


def stamped(story: ReportContext, passed: CheckResults) -> str:
    """A stamp in words: what is failed, else each trial that was passed by name."""
    failed = [trial for trial, said in passed.items() if not said]
    what = ", ".join(story.words(f"trials.{trial}") for trial in failed or passed)
    return story.words("attribution.fails" if failed else "attribution.passes" if passed else "attribution.untried", what=what)


def shown_verdicts(story: ReportContext, results: SplitPredictions) -> Mapping[str, CheckResults]:
    """What trials say of the shown methods: those of `explain --trials`, else the report's own; none where these cannot be made,
    which is told in the place of their table."""
    try:
        return method_results(kept_trials(story, results.run) or _tried(story, results.stored(story.workspace)))
    except FototecaError:
        return {}


def kept_trials(story: ReportContext, run: Run) -> dict[str, Any] | None:
    """What `explain --trials` kept, if it is of all shown methods."""
    facts = read_sanity_checks(story.workspace, run)
    if not facts or not set(SHOWN_METHODS) <= {one["method"] for one in facts["methods"]}:
        return None
    return facts


def _maps(story: ReportContext, results: SplitPredictions, chosen: Sequence[int]) -> list[dict[str, Any]]:
    """Of each image the data URIs of what was seen and of its maps, kept between reports."""

    def draw() -> list[dict[str, Any]]:
        every = []
        for index in chosen:
            found = explain_one(story.workspace, story.model(results.run), results, index, SHOWN_METHODS, stamped=True)
            drawn = found.drawn
            maps = {name: data_uri(one.resize((168, 168))) for name, one in drawn.maps.items()}
            one = {"said": found.predicted, "category": found.category, "probability": found.probability}
            one["seen"] = data_uri(drawn.seen.resize((168, 168)))
            passed = {name: drawn.scores[name].passed for name in maps}
            every.append({**one, "maps": maps, "passed": passed, "scores": {name: drawn.measured(name) for name in maps}})
        return every

    asked = [
        [results.rows[index].image_id for index in chosen],
        SHOWN_METHODS,
        REPORT_CURVE_STEPS,
        compute_masks_digest(story.workspace),
    ]
    found: list[dict[str, Any]] = cached_json(story.workspace, results.run, "judged-maps", asked, draw)
    return found


def drawn_class_models(story: ReportContext, run: Run) -> dict[str, Path]:
    """By category what `explain --method class-model` drew since the run was trained."""
    done = (run.folder / "done.json").stat().st_mtime
    folder = story.workspace.reports / "explain" / run.id
    found = {name: folder / f"class-model-{name}.png" for name in run.categories}
    return {name: path for name, path in found.items() if path.is_file() and path.stat().st_mtime > done}


def _class_models(story: ReportContext, results: SplitPredictions) -> Markup:
    """What `explain --method class-model` drew since the run was trained; which categories are missing, and how to have them."""
    words, run = story.words, results.run
    drawn = drawn_class_models(story, run)
    parts = [heading(words("class_model.title"), 5)]
    if not drawn:
        command = f"fototeca analysis explain {run.id} --method class-model"
        return join([*parts, note(words("class_model.none"), "missing"), tag("pre", command)])
    shown = []
    for name, path in drawn.items():
        with Image.open(path) as image:
            shown.append(Tile(data_uri(image.convert("RGB").resize((168, 168))), words("class_model.alt", label=name), (name,)))
    missing = [name for name in results.categories if name not in drawn]
    return join([*parts, paragraph(words("class_model.intro")), tiles(shown), _undrawn(story, results, missing)])


def _undrawn(story: ReportContext, results: SplitPredictions, missing: Sequence[str]) -> Markup:
    """The categories that no image was drawn of; of those that the model says of an image, how to have it."""
    if not missing:
        return Markup("")
    told = note(story.words("class_model.missing", names=", ".join(missing)), "missing")
    said = [results.categories[place] for place in results.probabilities.argmax(axis=1)]
    images = [f"--image {results.rows[said.index(name)].image_id[:12]}" for name in missing if name in said]
    command = " ".join([f"fototeca analysis explain {results.run.id} --method class-model", *images])
    return join([told, tag("pre", command) if images else ""])


def _tried(story: ReportContext, results: SplitPredictions) -> dict[str, Any]:
    """The shown methods, put to their trials by the report itself and kept between reports."""
    asked = [story.manifest.sha256, len(results), SHOWN_METHODS, REPORT_CURVE_STEPS, compute_masks_digest(story.workspace)]

    def make() -> dict[str, Any]:
        return compute_sanity_checks(story.workspace, story.model(results.run), results, SHOWN_METHODS, steps=REPORT_CURVE_STEPS)

    found: dict[str, Any] = cached_json(story.workspace, results.run, "trials", asked, make)
    return found


def _trials(story: ReportContext, results: SplitPredictions) -> Markup:
    """Methods × scores: those of `kept_trials`, else the shown methods tried now."""
    words, run = story.words, results.run
    stored = kept_trials(story, run)
    facts = stored or _tried(story, results)
    trials = measured_checks(facts)
    head = [words("trials.method"), *(words(f"trials.{name}") for name in trials), words("trials.seconds")]
    rows = [
        [_named(story, one["method"]), *(_score(story, one, name) for name in trials), words.number(one["seconds"], 2)]
        for one in facts["methods"]
    ]
    source = f"data/reports/trials/{run.id}.json" if stored else ""
    intro = words("trials.intro", images=facts["images"], mosaics=facts["mosaics"])
    parts = [
        heading(words("trials.title"), 5),
        paragraph(join([intro, " ", story.file(source)]) if source else intro),
        story.table(
            f"trials-{run.id}", head, rows, caption=words("trials.caption"), numeric=tuple(range(1, len(head))), source=source
        ),
        paragraph(words("trials.how")),
        paragraph(words("trials.truth")) if len(trials) > len(CHECKS) else "",
        paragraph(words("trials.iterations", n=facts["iterations"])) if facts.get("iterations") else "",
    ]
    unfit = "; ".join(f"{one['method']}: {one['reason']}" for one in facts["methods"] if one.get("reason"))
    if unfit:
        parts.append(note(words("trials.unfit", what=unfit)))
    if not stored:
        parts.append(paragraph(words("trials.more")))
        parts.append(tag("pre", f"fototeca analysis explain {run.id} --trials"))
    return join(parts)


def _filters(story: ReportContext, results: SplitPredictions, index: int) -> Markup:
    """The first layer's filters, and the first and last of the layers that are drawn of one image."""
    words, row = story.words, results.rows[index]
    label = story.label(row.label)
    found: dict[str, str] = cached_json(
        story.workspace, results.run, "filters", row.image_id, lambda: _filter_sheets(story, results, index)
    )
    first, *maps = found
    shown = [Tile(found[first], words("filters.alt"), (words("filters.first"),))]
    for name in dict.fromkeys([maps[0], maps[-1]]):
        layer = name.removeprefix("maps-")
        shown.append(Tile(found[name], words("filters.maps.alt", layer=layer, label=label), (layer,)))
    return join([heading(words("filters.title"), 5), paragraph(words("filters.intro", label=label)), tiles(shown, "sheets")])


def _filter_sheets(story: ReportContext, results: SplitPredictions, index: int) -> dict[str, str]:
    """Data URIs of the first layer's filters and of layers' maps, by name."""
    model = story.model(results.run)
    drawings = draw_filter_sheets(model, model.preprocessing(read_stored_image(story.workspace, results.rows[index])))
    for name, drawing in drawings.items():
        if name.startswith("maps-"):
            drawing.thumbnail((560, 560))
    return {name: data_uri(drawing) for name, drawing in drawings.items()}


def _named(story: ReportContext, method: str) -> str:
    return method if method in METHODS else story.words(f"trials.{method}")


def _score(story: ReportContext, one: dict[str, Any], trial: str) -> str:
    """The figure, marked where the trial is not passed; a sign, since colour alone does not tell."""
    figure = story.words.number(one[trial], 2)
    return figure if one["passed"].get(trial, True) else FormattedNumber(f"{figure} ✗", *getattr(figure, "value", ()))
