"""The report's two cards: of the best model (Mitchell et al. 2019) and of the dataset (Gebru et al. 2021)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from markupsafe import Markup

from fototeca.analysis.evaluation.generalization_gap import count_groups_across_splits
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import heading, join, link, note, paragraph, tag
from fototeca.curate.manifest import SPLITS
from fototeca.train.runs import Run

MODEL = ("details", "use", "not_for", "factors", "metrics", "data", "results", "limits")
DATASET = ("motivation", "composition", "collection", "labelling", "splits", "uses", "distribution", "maintenance")
FEW = 6
"""Sources and licences that are named; the rest are in their tables."""


def cards(story: ReportContext) -> Markup:
    """What a reader who takes the model or the dataset elsewhere must know, from what is on record."""
    words = story.words
    model = note(words("model_card.none"), "missing")
    if story.ranked:
        row = paragraph(link(words("figure.data"), story.row("models", 0)), "source")
        model = join([_list(story, "model_card", MODEL, _model(story)), row])
    dataset = _list(story, "datasheet", DATASET, _dataset(story))
    sources = [story.file(f"manifests/{story.manifest.version}.{kind}") for kind in ("json", "csv")]
    return join(
        [
            heading(words("model_card.title")),
            model,
            heading(words("datasheet.title")),
            dataset,
            paragraph(Markup(" · ").join(sources), "source"),
        ]
    )


def _list(story: ReportContext, card: str, parts: tuple[str, ...], values: dict[str, object]) -> Markup:
    """One part below the other; `values` fill the gaps of their words."""
    words = story.words
    items = (join([tag("dt", words(f"{card}.{part}.name")), tag("dd", words(f"{card}.{part}.text", **values))]) for part in parts)
    return tag("dl", join(items), class_="card")


def _model(story: ReportContext) -> dict[str, object]:
    words, run, manifest = story.words, story.ranked[0], story.manifest
    results, done = story.validation[run.id], run.facts
    compared = {row["run"]: row for row in (story.comparison or {"runs": []})["runs"]}[run.id]
    preprocessing = run.config.get("preprocessing", {})
    return {
        "run": run.id,
        "model": run.model_name,
        "regime": words(f"regime.{run.regime}"),
        "parameters": words.number(done.get("parameters")),
        "side": preprocessing.get("crop", "–"),
        "dataset": manifest.dataset_name,
        "version": manifest.version,
        "categories": len(manifest.categories),
        "n": words.number(len(results)),
        "accuracy": words.percent(compared["accuracy"]),
        "interval": words.interval(compared["accuracy_interval"]),
        "hardest": _hardest_words(story),
        "sources": _named(row.source for row in manifest.split("train")),
        "train": words.number(manifest.split_counts()["train"]),
        "copies": _copies(story),
        "test": _tested(story, run),
    }


def _tested(story: ReportContext, run: Run) -> str:
    """What the ledger says of this run: of the looks at all of the split, as on the cover."""
    looks = len(story.access_log.full_accesses_of(run.id))
    if not looks:
        unwritten = (run.folder / "predictions-test.csv").exists()
        return story.words("looks.unwritten", run=run.id) if unwritten else story.words("model_card.not_tested")
    return story.words("model_card.tested_once") if looks == 1 else story.words("model_card.tested", n=looks)


def _hardest_words(story: ReportContext) -> str:
    found = _hardest(story)
    return story.words("model_card.hardest", names=", ".join(found)) if found else story.words("model_card.none_missed")


def _hardest(story: ReportContext) -> list[str]:
    """At most three categories of which validation images are most often missed."""
    results = story.validation[story.ranked[0].id]
    there = results.true.sum(axis=0)
    missed = [
        (float((results.true & ~results.predicted)[:, c].sum() / there[c]), name)
        for c, name in enumerate(results.categories)
        if there[c]
    ]
    return [name for share, name in sorted(missed, reverse=True)[:3] if share > 0]


def _dataset(story: ReportContext) -> dict[str, object]:
    words, manifest = story.words, story.manifest
    counts, rows = manifest.split_counts(), manifest.rows
    sizes = Counter(name for row in rows for name in row.labels)
    low, high = min(manifest.categories, key=lambda name: sizes[name]), max(manifest.categories, key=lambda name: sizes[name])
    return {
        "n": words.number(len(rows)),
        "categories": len(manifest.categories),
        "smallest": f"{low} ({sizes[low]})",
        "largest": f"{high} ({sizes[high]})",
        "sources": _named(row.source for row in rows),
        "licences": _named(story.licence(row.license) for row in rows),
        "reviewed": words.percent(sum(row.reviewed for row in rows) / max(len(rows), 1)),
        "created": manifest.created[:10],
        "version": manifest.version,
        "digest": manifest.sha256[:16],
        "copies": _copies(story),
        **{split: words.number(counts[split]) for split in SPLITS},
    }


def _copies(story: ReportContext) -> str:
    """What is known of near-duplicates across splits."""
    if story.manifest.threshold is None:
        return story.words("splits.never_deduplicated")
    return story.words("gap.groups", n=count_groups_across_splits(story.manifest))


def _named(values: Iterable[str]) -> str:
    """The most frequent values with their counts."""
    found = Counter(values).most_common()
    shown = ", ".join(f"{name} ({n})" for name, n in found[:FEW])
    return f"{shown}, …" if len(found) > FEW else shown
