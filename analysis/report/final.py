"""The report's end: the one look at test beside validation, new pictures, and how to get the same again."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version as installed_version
from typing import Any

from markupsafe import Markup

from analysis.charts import reliability_chart
from analysis.evaluate import measure, reliability_of, temperature_of
from analysis.gap import explain_gap
from analysis.looks import read_looks
from analysis.predict import stored_predictions
from analysis.report.html import Tile, heading, join, note, paragraph, table, tag, tiles
from analysis.report.story import Story
from analysis.results import Results, read_results
from train.runs import Run

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


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
    body = []
    for name in FIGURES:
        show = words.number if name in ("log_loss", "macro_f1") else words.percent
        body.append([words(f"figure.{name}"), show(sides[0][name]), show(sides[1][name])])
    body.insert(1, [words("figure.interval"), *(words.interval(side["accuracy_interval"]) for side in sides)])
    body.append([words("figure.ece"), *(words.percent(side["calibration"]["ece"]) for side in sides)])
    body.append([words("figure.n"), *(words.number(side["n"]) for side in sides)])
    return table(
        [words("figure.name"), words("split.val"), words("split.test")], body, caption=words("test.table"), numeric=(1, 2)
    )


def _why(story: Story, val: Results, held_out: Results) -> Markup:
    """Each reason with its number, in words."""
    words = story.words
    gap = explain_gap(story.workspace, story.manifest, val, held_out, list(story.validation.values()))
    chance, chosen, mix = gap["sampling"], gap["selection"], gap["class_mix"]
    source, calibration = gap["sources"], gap["calibration"]
    items = [
        words(
            "gap.sampling",
            error=words.points(chance["standard_error"]).lstrip("+"),
            low=words.points(chance["interval"][0]),
            high=words.points(chance["interval"][1]),
            p=words.probability(chance["p"]),
        ),
        words("gap.selection", k=chosen["candidates"], optimism=words.points(chosen["optimism"])),
        words("gap.mix", effect=words.points(mix["effect"]), distance=words.percent(mix["distance"])),
        words("gap.groups", n=gap["groups_across_splits"]),
        words("gap.sources", distance=words.percent(source["distance"]), p=words.probability(source["p"])),
        words(
            "gap.calibration",
            val=words.percent(calibration["val_confidence"]),
            test=words.percent(calibration["test_confidence"]),
        ),
    ]
    measured = gap["quality"]
    if measured:
        name, shift = min(measured.items(), key=lambda pair: pair[1]["p"])
        items.append(words("gap.quality", n=len(measured), measure=name, p=words.probability(shift["p"])))
    else:
        items.append(words("gap.no_quality"))
    verdict = words("gap.chance" if chance["p"] >= 0.05 else "gap.real", difference=words.points(gap["difference"]))
    return join([heading(words("gap.title")), paragraph(verdict), tag("ul", join(tag("li", item) for item in items))])


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
    return table(head, body, caption=words("class.table"), numeric=(1, 2, 3, 5, 6))


def _calibration(story: Story, run: Run, results: Results, temperature: float, facts: dict[str, Any]) -> Markup:
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
    return join([heading(words("looks.title")), table(head, body, caption=words("looks.table"), numeric=(3, 4)), remark])


def new_images(story: Story) -> Markup:
    """The last predictions on pictures from outside the dataset."""
    words = story.words
    stored = next((path for run in story.ranked if (path := stored_predictions(story.workspace, run)).is_file()), None)
    if stored is None:
        best = story.ranked[0].id if story.ranked else "RUN"
        return join([note(words("new.none"), "missing"), tag("pre", f"fototeca analysis predict {best} photo.jpg")])
    document = json.loads(stored.read_text(encoding="utf-8"))
    near = sum(bool(fact["near_duplicate"]) for fact in document["pictures"])
    intro = words("new.intro", n=document["n"], run=document["run"], unknown=document["unknown"], near=near)
    return join([paragraph(intro), tiles([_new(story, fact) for fact in document["pictures"]])])


def _new(story: Story, fact: dict[str, Any]) -> Tile:
    words = story.words
    name = fact["path"].replace("\\", "/").rpartition("/")[2]
    lines = [f"{fact['label'] or words('label.none')} · {words.percent(fact['probability'], 0)}", name]
    if fact["unknown"]:
        lines.append(words("new.unknown"))
    if fact["near_duplicate"]:
        lines.append(words("new.near", split=words(f"split.{fact['near_duplicate']['split']}")))
    return Tile(
        fact["thumbnail"], words("new.alt", name=name, label=fact["label"]), tuple(lines), "warn" if len(lines) > 2 else ""
    )


def again(story: Story) -> Markup:
    """What is needed to get the same figures again."""
    words, manifest = story.words, story.manifest
    rows = [
        [words("again.manifest"), f"{manifest.version}, SHA-256 {manifest.sha256}"],
        [words("again.frozen"), manifest.created[:16].replace("T", " ")],
        [words("again.software"), _software()],
    ]
    commands = "\n".join([f"fototeca curate verify {manifest.version}", *(_command(run) for run in story.ranked)])
    return join(
        [table([words("again.what"), words("again.value")], rows), paragraph(words("again.commands")), tag("pre", commands)]
    )


def _software() -> str:
    names = ("fototeca", "torch", "torchvision", "scikit-learn")
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {installed_version(name)}" for name in names)])


def _command(run: Run) -> str:
    """The command that trains the run again."""
    if run.regime == "ensemble":
        return f"fototeca train ensemble {' '.join(run.config.get('members', []))}"
    options = ["model", "regime", "head", "weights", "epochs", "image_size", "lr", "seed"]
    shown = [(name, run.config.get(name)) for name in options]
    text = " ".join(
        f"--{name.replace('_', '-')} {str(value).rpartition('/')[2] if name == 'weights' else value}"
        for name, value in shown
        if value is not None
    )
    return f"fototeca train run --manifest {run.manifest_version} {text}"
