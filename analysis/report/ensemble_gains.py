"""The report's account of what more work at each image gains and costs: several views of it, and several models."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from markupsafe import Markup

from fototeca.analysis.cache import cached_json
from fototeca.analysis.evaluation.compare import mcnemar_test, paired_difference
from fototeca.analysis.evaluation.tta import measure_seconds_per_image, measure_tta_gain
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import heading, join, note, paragraph, tag
from fototeca.core.errors import FototecaError
from fototeca.train.runs import Run

COLUMNS = ("what", "alone", "with", "gain", "interval", "p", "cost", "seconds_alone", "seconds")
"""Of the table."""


def gains(story: ReportContext) -> Markup:
    """Test-time augmentation of the best single run, and every ensemble beside the best of its members."""
    words = story.words
    single = next((run for run in story.ranked if not _members(run)), None)
    joined = [run for run in story.ranked if _members(run)]
    makers: list[Callable[[], list[str] | None]] = [partial(_views, story, single)] if single else []
    makers += [partial(_joined, story, run) for run in joined]
    rows: list[list[str]] = []
    untold: list[Markup] = []
    for make in makers:
        try:
            rows += filter(None, [make()])
        except FototecaError as error:  # one that cannot be asked does not cost the others
            untold.append(note(words("part.failed", why=str(error)), "warn"))
    parts = [heading(words("gains.title")), paragraph(words("gains.intro")), *untold]
    if rows:
        head = [words(f"gains.{name}") for name in COLUMNS]
        numeric = tuple(range(1, len(head)))
        parts.append(story.table("gains", head, rows, caption=words("gains.table"), numeric=numeric, source="data/runs"))
    if not joined and len(story.ranked) > 1:
        best = " ".join(run.id for run in story.ranked[:2])
        parts += [paragraph(words("gains.no_ensemble")), tag("pre", f"fototeca train ensemble {best}")]
    return join(parts)


def _members(run: Run) -> list[str]:
    """The runs that an ensemble asks for each image: a soup asks one network, as it is one."""
    return list(run.config.get("members") or run.config.get("soup") or [])


def _views(story: ReportContext, run: Run) -> list[str]:
    """Found out once, since every validation image is asked again in each of its views."""
    results = story.validation[run.id].stored(story.workspace)
    asked = [[row.image_id for row in results.rows], "seconds"]
    facts: dict[str, Any] = cached_json(
        story.workspace, run, "views", asked, lambda: measure_tta_gain(story.workspace, results).to_json()
    )
    what = story.words("gains.views", run=run.id, n=facts["views"])
    seconds = facts["seconds_per_image_alone"], facts["seconds_per_image"]
    return _row(story, what, facts["accuracy"] - facts["gain"], facts, facts["views"], seconds)


def _joined(story: ReportContext, run: Run) -> list[str] | None:
    """None when no member is left to compare with."""
    of = run.config.get("made_of", {})
    found = [story.validation[name] for name in _members(run) if name in story.validation]
    members = [one for one in found if one.run.digest == of.get(one.run.id)]  # one that was trained again is another one
    if not members:
        return None
    best, joined = max(members, key=lambda one: float(one.correct.mean())), story.validation[run.id]
    difference = paired_difference(joined.correct, best.correct, joined.groups)
    facts = {
        "accuracy": float(joined.correct.mean()),
        "gain": difference.difference,
        "gain_interval": difference.interval,
        "p": mcnemar_test(joined.correct, best.correct, joined.groups).p,
    }
    how = story.words(f"gains.how.{how_joined(run)}")
    what = story.words("gains.ensemble", run=run.id, how=how, n=len(_members(run)), best=best.run.id)
    passes = 1 if "soup" in run.config else len(_members(run))
    seconds = _seconds(story, best.run), _seconds(story, run)
    return _row(story, what, float(best.correct.mean()), facts, passes, seconds)


def how_joined(run: Run) -> str:
    """How an ensemble was joined: mean, weighted, soup, or snapshot (the mean of a single run's)."""
    method = str(run.config["method"])
    return "snapshot" if method == "mean" and len(set(run.config["of"])) == 1 else method


def _seconds(story: ReportContext, run: Run) -> float | None:
    """Seconds an image, measured once; None where the model or all images are gone."""

    def measured() -> float:
        results = story.validation[run.id].stored(story.workspace)
        return measure_seconds_per_image(story.workspace, story.model(run), results)

    try:
        return float(cached_json(story.workspace, run, "seconds", story.manifest.sha256, measured))
    except FototecaError:
        return None


def _row(
    story: ReportContext, what: str, alone: float, facts: dict[str, Any], passes: int, seconds: tuple[float | None, float | None]
) -> list[str]:
    words = story.words
    return [
        what,
        words.percent(alone),
        words.percent(facts["accuracy"]),
        words.points(facts["gain"]),
        words.span(facts["gain_interval"]),
        words.probability(facts["p"]),
        words.number(passes),
        *("–" if one is None else words.plain(float(f"{one:.2g}")) for one in seconds),
    ]
