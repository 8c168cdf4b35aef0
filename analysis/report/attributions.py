"""The report's maps of what made a model say what it said, and whether such maps can be trusted."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from analysis.attribution import METHODS
from analysis.examples import pick
from analysis.explain import explain_one
from analysis.filters import filter_sheets
from analysis.pictures import data_uri
from analysis.report.html import Tile, Words, heading, join, paragraph, table, tag, tiles
from analysis.report.story import Story
from analysis.results import Results
from analysis.stamps import TRIALS, read_trials, try_maps
from curate.manifest import image_path
from vision.image import decode

EXPLAINED = 6
"""Pictures whose attributions are shown: half of them wrong, if there are so many."""

SHOWN_METHODS = ("grad-cam", "saliency")


def attributions(story: Story, results: Results) -> Markup:
    """What made the model say what it said: a row of maps per picture."""
    words, model = story.words, story.model(results.run)
    if model.module is None:
        return join([heading(words("attribution.title"), 4), paragraph(words("attribution.no_network"))])
    wrong = pick(results, right=False, number=EXPLAINED // 2)
    chosen = [*wrong, *pick(results, right=True, number=EXPLAINED - len(wrong))]
    shown = [tile for index in chosen for tile in _explained(story, results, index)]
    sources = "; ".join(f"{name}: {METHODS[name].source}" for name in SHOWN_METHODS)
    return join(
        [
            heading(words("attribution.title"), 4),
            paragraph(words("attribution.intro", sources=sources)),
            tiles(shown, f"maps of{1 + len(SHOWN_METHODS)}"),
            _trials(story, results),
            _filters(story, results, chosen[0]),
        ]
    )


def _explained(story: Story, results: Results, index: int) -> list[Tile]:
    words = story.words
    found = explain_one(story.workspace, story.model(results.run), results, index, SHOWN_METHODS)
    sure = words.percent(found.probability, 0)
    right = bool(results.right[index])
    lines = (f"{found.said} · {sure}",) if right else (f"{found.said} · {sure}", words("examples.true", label=found.label))
    mark = "right" if right else "wrong"
    seen = Tile(data_uri(found.seen.resize((168, 168))), words("attribution.seen", label=found.label), lines, mark)
    maps = [
        Tile(data_uri(shown.resize((168, 168))), words("attribution.alt", method=name, said=found.said), (name,), mark)
        for name, shown in found.maps.items()
    ]
    return [seen, *maps]


def _trials(story: Story, results: Results) -> Markup:
    """Methods × scores: what `explain --trials` kept, else the shown methods tried now."""
    words, run = story.words, results.run
    kept = read_trials(story.workspace, run)
    facts = kept or try_maps(story.workspace, story.model(run), results, SHOWN_METHODS)
    head = [words("trials.method"), *(words(f"trials.{name}") for name in TRIALS), words("trials.seconds")]
    rows = [
        [_named(story, one["method"]), *(_score(story, one, name) for name in TRIALS), words.number(one["seconds"], 2)]
        for one in facts["methods"]
    ]
    parts = [
        heading(words("trials.title"), 5),
        paragraph(words("trials.intro", pictures=facts["pictures"], mosaics=facts["mosaics"])),
        table(head, rows, caption=words("trials.caption"), numeric=tuple(range(1, len(head)))),
        paragraph(words("trials.how")),
    ]
    if not kept:
        parts.append(paragraph(words("trials.more")))
        parts.append(tag("pre", f"fototeca analysis explain {run.id} --trials"))
    return join(parts)


def _filters(story: Story, results: Results, index: int) -> Markup:
    """The first layer's filters, and the first and last of the layers that are drawn of one picture."""
    words, model, row = story.words, story.model(results.run), results.rows[index]
    drawings = filter_sheets(model, model.preprocessing(decode(image_path(story.workspace, row))))
    first, *maps = drawings
    shown = [Tile(data_uri(drawings[first]), words("filters.alt"), (words("filters.first"),))]
    for name in dict.fromkeys([maps[0], maps[-1]]):
        layer = name.removeprefix("maps-")
        drawing = drawings[name]
        drawing.thumbnail((560, 560))
        shown.append(Tile(data_uri(drawing), words("filters.maps.alt", layer=layer, label=row.label), (layer,)))
    return join([heading(words("filters.title"), 5), paragraph(words("filters.intro", label=row.label)), tiles(shown, "sheets")])


def _named(story: Story, method: str) -> str:
    return method if method in METHODS else story.words(f"trials.{method}")


def _score(story: Story, one: dict[str, Any], trial: str) -> Words:
    """The figure, marked where the trial is not passed; a sign, since colour alone does not tell."""
    figure = story.words.number(one[trial], 2)
    return figure if one["passed"].get(trial, True) else tag("span", f"{figure} ✗", title=story.words("trials.failed"))
