"""The report's figures of one run: on validation alone, or on validation and test side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from fototeca.analysis.evaluation.evaluate import compute_run_reliability
from fototeca.analysis.evaluation.metrics import CONFUSION_CELLS, binary_confusion_cells
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.plots.charts import reliability_chart
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import heading, join, paragraph

Facts = dict[str, Any]
"""What `measure` returns."""

SHARES = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall")
NUMBERS = ("macro_f1", "log_loss", "brier")
"""What is shown of `measure`, as shares and as numbers."""


def figures_table(story: ReportContext, name: str, sides: Sequence[Facts]) -> Markup:
    """One column for each side; `name` is that of the file of numbers."""
    words = story.words
    body: list[list[str]] = []
    for key in (*SHARES, *NUMBERS):
        show = words.percent if key in SHARES else words.number
        if key in sides[0]:
            body.append([words(f"figure.{key}"), *(show(side[key]) for side in sides)])
        body += _interval(story, key, sides)
    if "average_precision" in sides[0]:
        body.append([words("figure.micro_f1"), *(words.number(side["micro_f1"]) for side in sides)])
        for key in ("macro", "micro"):
            body.append([words(f"figure.ap_{key}"), *(words.number(side["average_precision"][key]) for side in sides)])
            body += _interval(story, f"average_precision_{key}", sides)
    else:
        body += [
            [words("figure.top_k", k=k), *(words.percent(side["top_k"][k]) for side in sides)]
            for k in sides[0]["top_k"]
            if k != "1"
        ]
    body.append([words("figure.ece"), *(words.percent(side["calibration"]["ece"]) for side in sides)])
    if sides[0]["calibration"]["temperature"] is not None:
        body.append([words("figure.ece_scaled"), *(words.percent(side["calibration"]["ece_scaled"]) for side in sides)])
    body.append([words("figure.n"), *(words.number(side["n"]) for side in sides)])
    head = [words("figure.name"), *(words(f"split.{side['split']}") for side in sides)]
    caption, numeric = words("test.table" if len(sides) > 1 else "measured.table"), tuple(range(1, len(head)))
    return story.table(name, head, body, caption=caption, numeric=numeric, source=said(sides[-1]))


def _interval(story: ReportContext, key: str, sides: Sequence[Facts]) -> list[list[str]]:
    """The row of a figure's interval: Wilson's for accuracy, else the bootstrap's; no row where it has none."""
    words = story.words
    if key == "accuracy":
        return [[words("figure.interval"), *(words.interval(side["accuracy_interval"]) for side in sides)]]
    if key not in sides[0]["bootstrap"]:
        return []
    ends = [side["bootstrap"][key] for side in sides]
    show = words.interval if key in SHARES else words.between
    return [[words("figure.bootstrap"), *(show(pair) for pair in ends)]]


def classes_table(story: ReportContext, name: str, sides: Sequence[Facts]) -> Markup:
    """Every category on the last side, with its F1 on the one before."""
    words, (*before, shown) = story.words, sides
    head = [words(f"class.{key}") for key in ("name", "n", "precision", "recall", "interval", "f1")]
    head += [words("class.val_f1") for _ in before]
    body = [
        [
            category,
            words.number(row["n"]),
            words.percent(row["precision"]),
            words.percent(row["recall"]),
            words.interval(row["recall_interval"]) if row["n"] else "–",
            words.number(row["f1"], 2),
            *(words.number(side["per_class"][category]["f1"], 2) for side in before),
        ]
        for category, row in shown["per_class"].items()
    ]
    if "average_precision" in shown:
        head += [words("class.ap"), *(words("class.val_ap") for _ in before)]
        for row in body:
            row += [words.number(side["average_precision"]["per_class"][row[0]], 2) for side in (shown, *before)]
    caption = words(f"class.table_{shown['split']}")
    return story.table(name, head, body, caption=caption, numeric=tuple(range(1, len(head))), source=said(shown))


def yes_no_table(story: ReportContext, name: str, results: SplitPredictions) -> Markup:
    """A multi-label run's confusion: of each category its own two by two, since no single matrix holds several labels."""
    words = story.words
    head = [words("class.name"), *(words(f"confusion.{cell}") for cell in CONFUSION_CELLS)]
    cells = binary_confusion_cells(results.true, results.predicted)
    body = [[category, *(words.number(count) for count in row)] for category, row in zip(results.categories, cells, strict=True)]
    caption, source = words("confusion.each", n=len(results)), said({"run": results.run.id, "split": results.split})
    shown = story.table(name, head, body, caption=caption, numeric=tuple(range(1, len(head))), source=source)
    return join([paragraph(words("confusion.multi")), shown])


def calibration(story: ReportContext, name: str, results: SplitPredictions, facts: Facts) -> Markup:
    """Accuracy against confidence, as it is and after scaling; as it is alone where no temperature could be learned."""
    words, found = story.words, facts["calibration"]
    temperature, split = found["temperature"], words(f"split.{results.split}")
    series = {words("calibration.before"): compute_run_reliability(results)}
    alt = words("calibration.alt_plain", split=split, before=words.percent(found["ece"]))
    caption = words("calibration.none")
    if temperature is not None:
        series[words("calibration.after")] = compute_run_reliability(results, temperature)
        ends = {"before": words.percent(found["ece"]), "after": words.percent(found["ece_scaled"])}
        alt = words("calibration.alt", split=split, **ends)
        caption = words("calibration.caption", temperature=words.number(temperature, 2), **ends)
    chart = reliability_chart(name, series, (words("axis.confidence"), words("axis.accuracy")), alt, words)
    return join([heading(words("calibration.title"), 4), story.draw(chart, caption, said(facts))])


def said(facts: Facts) -> str:
    """The file of predictions that figures come from."""
    return f"data/runs/{facts['run']}/predictions-{facts['split']}.csv"
