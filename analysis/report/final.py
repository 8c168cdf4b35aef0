"""The report's end: the one look at test beside validation, new pictures, and how to get the same again."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed_version
from typing import Any

from markupsafe import Markup

from analysis.charts import reliability_chart
from analysis.evaluate import measure, reliability_of, temperature_of
from analysis.figures import confusion_figure
from analysis.gap import explain_gap
from analysis.looks import read_looks
from analysis.numbers import Numbers, flat_numbers, row_link
from analysis.report.html import heading, join, link, note, paragraph, table, tag
from analysis.report.story import Story
from analysis.results import Results, read_results
from analysis.texts import Texts
from train.runs import Run

SHARES, NUMBERS = ("accuracy", "balanced_accuracy"), ("macro_f1", "log_loss")
"""What is shown of `measure`, as shares and as numbers."""


def looked_at(story: Story) -> Run | None:
    """The best of the runs that were looked at on test; None before the first look."""
    return next((run for run in story.ranked if (run.folder / "predictions-test.csv").exists()), None)


def test(story: Story) -> Markup:
    """The figures on test and validation side by side, why they differ, and every look that was taken."""
    words, run = story.words, looked_at(story)
    if run is None:
        best = story.ranked[0].id if story.ranked else "RUN"
        return join([note(words("test.none"), "missing"), tag("pre", f"fototeca analysis evaluate {best} --split test")])
    val, held_out = story.validation[run.id], read_results(story.workspace, run, "test", story.manifest)
    temperature = temperature_of(story.workspace, run, story.manifest)
    sides = [measure(results, temperature) for results in (val, held_out)]
    return join(
        [
            paragraph(words("test.intro", run=run.id)),
            _headline(story, sides[1]),
            _figures(story, sides),
            _why(story, val, held_out),
            _per_class(story, sides),
            _confusion(story, held_out),
            _calibration(story, run, held_out, temperature, sides[1]),
            _looks(story),
        ]
    )


def _headline(story: Story, facts: dict[str, Any]) -> Markup:
    words = story.words
    value = tag("strong", words.percent(facts["accuracy"]))
    under = words("test.headline", interval=words.interval(facts["accuracy_interval"]), n=facts["n"])
    return tag("p", join([value, " ", tag("span", under)]), class_="headline")


def _figures(story: Story, sides: list[dict[str, Any]]) -> Markup:
    words = story.words
    body = [[words(f"figure.{name}"), *(words.percent(side[name]) for side in sides)] for name in SHARES]
    body.insert(1, [words("figure.interval"), *(words.interval(side["accuracy_interval"]) for side in sides)])
    body += [[words(f"figure.{name}"), *(words.number(side[name]) for side in sides)] for name in NUMBERS]
    if "average_precision" in sides[0]:
        body.append([words("figure.micro_f1"), *(words.number(side["micro_f1"]) for side in sides)])
        for name in ("macro", "micro"):
            body.append([words(f"figure.ap_{name}"), *(words.number(side["average_precision"][name]) for side in sides)])
    else:
        body += [
            [words("figure.top_k", k=k), *(words.percent(side["top_k"][k]) for side in sides)]
            for k in sides[0]["top_k"]
            if k != "1"
        ]
    body.append([words("figure.ece"), *(words.percent(side["calibration"]["ece"]) for side in sides)])
    body.append([words("figure.n"), *(words.number(side["n"]) for side in sides)])
    head = [words("figure.name"), words("split.val"), words("split.test")]
    return story.table("test", head, body, caption=words("test.table"), numeric=(1, 2), source=_said(sides[1]))


def _why(story: Story, val: Results, held_out: Results) -> Markup:
    """Each reason with its number, in words, and where in `figures/gap.csv` it stands."""
    words = story.words
    gap = explain_gap(story.workspace, story.manifest, val, held_out, list(story.validation.values()))
    rows = flat_numbers(gap)
    story.numbers.append(Numbers("gap", ("what", "value"), tuple(rows)))
    reasons = _reasons(words, gap)
    places = {name: next((i for i, (what, _) in enumerate(rows) if what.split(".")[0] == name), 0) for name in reasons}
    items = join(
        tag("li", join([said, " ", tag("span", link(words("figure.data"), row_link("gap", places[name])), class_="source")]))
        for name, said in reasons.items()
    )
    chance = "gap.chance" if gap["sampling"]["p"] >= 0.05 else "gap.real"
    verdict = words(chance, difference=words.points(gap["difference"]))
    return join([heading(words("gap.title")), paragraph(verdict), tag("ul", items)])


def _reasons(words: Texts, gap: dict[str, Any]) -> dict[str, str]:
    """What may account for the difference, by its key in the facts."""
    chance, chosen, mix = gap["sampling"], gap["selection"], gap["class_mix"]
    source, calibration, measured = gap["sources"], gap["calibration"], gap["quality"]
    low, high = (words.points(end) for end in chance["interval"])
    error = words.points(chance["standard_error"]).lstrip("+")
    quality = words("gap.no_quality")
    if measured:
        name, shift = min(measured.items(), key=lambda pair: pair[1]["p"])
        quality = words("gap.quality", n=len(measured), measure=name, p=words.probability(shift["p"]))
    return {
        "sampling": words("gap.sampling", error=error, low=low, high=high, p=words.probability(chance["p"])),
        "selection": words("gap.selection", k=chosen["candidates"], optimism=words.points(chosen["optimism"])),
        "class_mix": words("gap.mix", effect=words.points(mix["effect"]), distance=words.percent(mix["distance"])),
        "groups_across_splits": words("splits.never_deduplicated")
        if gap["groups_across_splits"] is None
        else words("gap.groups", n=gap["groups_across_splits"]),
        "sources": words("gap.sources", distance=words.percent(source["distance"]), p=words.probability(source["p"])),
        "calibration": words(
            "gap.calibration",
            val=words.percent(calibration["val_confidence"]),
            test=words.percent(calibration["test_confidence"]),
        ),
        "quality": quality,
    }


def _per_class(story: Story, sides: list[dict[str, Any]]) -> Markup:
    words = story.words
    head = [words(f"class.{name}") for name in ("name", "n", "precision", "recall", "interval", "f1", "val_f1")]
    body = [
        [
            name,
            words.number(row["n"]),
            words.percent(row["precision"]),
            words.percent(row["recall"]),
            words.interval(row["recall_interval"]) if row["n"] else "–",
            words.number(row["f1"], 2),
            words.number(sides[0]["per_class"][name]["f1"], 2),
        ]
        for name, row in sides[1]["per_class"].items()
    ]
    if "average_precision" in sides[1]:
        head += [words("class.ap"), words("class.val_ap")]
        for row in body:
            row += [words.number(side["average_precision"]["per_class"][row[0]], 2) for side in reversed(sides)]
    numeric = tuple(range(1, len(head)))
    return story.table("classes", head, body, caption=words("class.table"), numeric=numeric, source=_said(sides[1]))


def _confusion(story: Story, held_out: Results) -> Markup:
    if held_out.multi:
        return Markup("")
    drawing = confusion_figure("confusion-test", held_out, story.words)
    source = f"data/runs/{held_out.run.id}/predictions-test.csv"
    return story.draw(drawing, story.words("test.confusion", n=len(held_out)), source)


def _said(facts: dict[str, Any]) -> str:
    """The file of predictions that figures come from."""
    return f"data/runs/{facts['run']}/predictions-{facts['split']}.csv"


def _calibration(story: Story, run: Run, results: Results, temperature: float | None, facts: dict[str, Any]) -> Markup:
    words = story.words
    before, after = reliability_of(results), reliability_of(results, temperature)
    ece = facts["calibration"]
    alt = words("calibration.alt", before=words.percent(ece["ece"]), after=words.percent(ece["ece_scaled"]))
    names = words("axis.confidence"), words("axis.accuracy"), words("calibration.before"), words("calibration.after")
    chart = reliability_chart("reliability", before, after, names, alt)
    caption = words("calibration.caption", temperature=words.number(temperature, 2))
    return join([heading(words("calibration.title")), story.draw(chart, caption, f"data/runs/{run.id}/predictions-test.csv")])


def _looks(story: Story) -> Markup:
    words, found = story.words, read_looks(story.workspace, story.manifest.version)
    if not found:
        return note(words("looks.unwritten"), "warn")
    body = [
        [look.time.replace("T", " ")[:16], look.who, look.run, words.number(look.n), words.percent(look.accuracy)]
        for look in found
    ]
    head = [words(f"looks.{name}") for name in ("time", "who", "run", "n", "accuracy")]
    several = len({look.run for look in found}) > 1
    remark = note(words("looks.several", n=len(found)), "warn") if several else note(words("looks.once"), "good")
    shown = story.table("looks", head, body, caption=words("looks.table"), numeric=(3, 4), source="data/runs/test-looks.csv")
    return join([heading(words("looks.title")), shown, remark])


def again(story: Story) -> Markup:
    """What is needed to get the same figures again."""
    words, manifest = story.words, story.manifest
    rows = [
        [words("again.manifest"), f"{manifest.version}, SHA-256 {manifest.sha256}"],
        [words("again.frozen"), manifest.created[:16].replace("T", " ")],
        [words("again.software"), _software()],
    ]
    commands = "\n".join([f"fototeca curate verify {manifest.version}", *(run.command for run in story.ranked)])
    return join(
        [table([words("again.what"), words("again.value")], rows), paragraph(words("again.commands")), tag("pre", commands)]
    )


def _software() -> str:
    names = ("fototeca", "torch", "torchvision", "scikit-learn")
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {installed_version(name)}" for name in names)])
