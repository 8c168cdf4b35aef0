"""The report's model card (Mitchell et al. 2019) and datasheet (Gebru et al. 2021)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from markupsafe import Markup

from fototeca.analysis.evaluation.generalization_gap import count_groups_across_splits
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import definitions, heading, join, note
from fototeca.curate.manifest import SPLITS
from fototeca.train.runs import Run

MODEL_PARTS = ("details", "use", "not_for", "factors", "metrics", "data", "results", "limits")
DATASET_PARTS = ("motivation", "composition", "collection", "labelling", "splits", "uses", "distribution", "maintenance")

MAX_NAMED = 6
"""Sources and licenses named in a card; the tables have all of them."""


def render_cards(context: ReportContext) -> Markup:
    """Return the model card of the best run and the datasheet of the version, filled in from recorded facts."""
    texts = context.texts
    model_card = note(texts("model_card.none"), "missing")
    if context.ranked_runs:
        model_card = _definitions(context, "model_card", MODEL_PARTS, _model_values(context))
    return join(
        [
            heading(
                context.with_data_link(texts("model_card.title"), "models") if context.ranked_runs else texts("model_card.title")
            ),
            model_card,
            heading(texts("datasheet.title")),
            _definitions(context, "datasheet", DATASET_PARTS, _dataset_values(context)),
        ]
    )


def _definitions(context: ReportContext, card: str, parts: tuple[str, ...], values: dict[str, object]) -> Markup:
    """Return the parts of a card; `values` fill the placeholders of their texts."""
    texts = context.texts
    return definitions([(texts(f"{card}.{part}.name"), texts(f"{card}.{part}.text", **values)) for part in parts])


def _model_values(context: ReportContext) -> dict[str, object]:
    texts, run, manifest = context.texts, context.ranked_runs[0], context.manifest
    results, metrics = context.validation[run.id], run.metrics
    compared = {row["run"]: row for row in (context.comparison or {"runs": []})["runs"]}[run.id]
    preprocessing = run.config.get("preprocessing", {})
    return {
        "run": run.id,
        "model": context.run_name(run.id),
        "parameters": texts.number(metrics.parameters),
        "side": preprocessing.get("crop", "–"),
        "dataset": manifest.dataset_name,
        "version": manifest.version,
        "categories": len(manifest.categories),
        "n": texts.number(len(results)),
        "accuracy": texts.percent(compared["accuracy"]),
        "interval": texts.interval(compared["accuracy_interval"]),
        "hardest": _hardest_text(context),
        "sources": _counted_names(row.source for row in manifest.split("train")),
        "train": texts.number(manifest.split_counts()["train"]),
        "duplicates": _duplicates_text(context),
        "test": _test_text(context, run),
    }


def _test_text(context: ReportContext, run: Run) -> str:
    """Return how often the run was evaluated on the whole test split, as the cover counts it."""
    accesses = len(context.access_log.full_accesses_of(run.id))
    if not accesses:
        unrecorded = (run.folder / "predictions-test.csv").exists()
        return (
            context.texts("test_access.unrecorded", run=context.run_name(run.id))
            if unrecorded
            else context.texts("model_card.not_tested")
        )
    return context.texts("model_card.tested_once") if accesses == 1 else context.texts("model_card.tested", n=accesses)


def _hardest_text(context: ReportContext) -> str:
    names = _hardest_categories(context)
    return context.texts("model_card.hardest", names=", ".join(names)) if names else context.texts("model_card.none_missed")


def _hardest_categories(context: ReportContext) -> list[str]:
    """Return at most three categories, those with the largest share of missed validation images."""
    results = context.validation[context.ranked_runs[0].id]
    totals = results.true.sum(axis=0)
    missed = [
        (float((results.true & ~results.predicted)[:, c].sum() / totals[c]), name)
        for c, name in enumerate(results.categories)
        if totals[c]
    ]
    return [name for share, name in sorted(missed, reverse=True)[:3] if share > 0]


def _dataset_values(context: ReportContext) -> dict[str, object]:
    texts, manifest = context.texts, context.manifest
    counts, rows = manifest.split_counts(), manifest.rows
    sizes = Counter(name for row in rows for name in row.labels)
    low, high = min(manifest.categories, key=lambda name: sizes[name]), max(manifest.categories, key=lambda name: sizes[name])
    return {
        "n": texts.number(len(rows)),
        "categories": len(manifest.categories),
        "smallest": f"{low} ({sizes[low]})",
        "largest": f"{high} ({sizes[high]})",
        "sources": _counted_names(row.source for row in rows),
        "licenses": _counted_names(context.license_text(row.license) for row in rows),
        "reviewed": texts.percent(sum(row.reviewed for row in rows) / max(len(rows), 1)),
        "created": manifest.created[:10],
        "version": manifest.version,
        "digest": manifest.sha256[:16],
        "duplicates": _duplicates_text(context),
        **{split: texts.number(counts[split]) for split in SPLITS},
    }


def _duplicates_text(context: ReportContext) -> str:
    """Return how many near-duplicate groups cross splits, or that they were not searched for."""
    if context.manifest.threshold is None:
        return context.texts("splits.not_deduplicated")
    return context.texts("generalization_gap.groups", n=count_groups_across_splits(context.manifest))


def _counted_names(values: Iterable[str]) -> str:
    """Return the most frequent values with their counts."""
    counts = Counter(values).most_common()
    listed = ", ".join(f"{name} ({n})" for name, n in counts[:MAX_NAMED])
    return f"{listed}, …" if len(counts) > MAX_NAMED else listed
