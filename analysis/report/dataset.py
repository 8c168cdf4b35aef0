"""Sections of the report about the dataset: task, collection, samples, splits."""

from __future__ import annotations

from collections import Counter

import numpy as np
from markupsafe import Markup

from fototeca.analysis.plots.bars import bars_chart
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import Tile, block, chips, heading, join, note, paragraph, tiles
from fototeca.analysis.tabular import FormattedNumber, Table
from fototeca.collect.catalog import Catalog, Decision
from fototeca.core.public_url import public_url
from fototeca.curate.manifest import SPLITS, ManifestRow

CATALOG = "data/catalog.sqlite"

NUM_SAMPLES, NUM_SAMPLES_MANY = 8, 5
"""Sample images per category, and the number used with more than MANY_CATEGORIES."""

MANY_CATEGORIES = 16


def render_task(context: ReportContext) -> Markup:
    """Return the categories with their number of images, and the user's motivation."""
    texts, manifest = context.texts, context.manifest
    counts = manifest.label_counts()
    sizes = [(name, texts("task.images", n=sum(counts[name].values()))) for name in manifest.categories]
    return join(
        [
            paragraph(texts(f"task.{manifest.task}", n=len(manifest.categories))),
            chips(sizes),
            context.own_words.render("motivation"),
            context.own_words.render("usefulness"),
        ]
    )


def render_collection(context: ReportContext) -> Markup:
    """Return counts by source, outcome, reason and license, the label decisions, and the user's account."""
    texts = context.texts
    parts = list[Markup]()
    if context.workspace.catalog.exists():
        with Catalog.open(context.workspace) as catalog:
            parts += [_sources_table(context, catalog), _reasons_table(context, catalog), _label_decisions(context, catalog)]
    else:
        parts.append(note(texts("collection.no_catalog"), "missing"))
    parts += [_licenses_table(context), context.own_words.render("challenges")]
    return join(parts)


def _sources_table(context: ReportContext, catalog: Catalog) -> Markup:
    texts = context.texts
    rows = catalog.provenance.count_by_source()
    in_version = Counter(row.source for row in context.manifest.rows)
    columns = ("source", "candidates", "accepted", "rejected", "failed", "in_version", "dates")
    body = [
        [
            row.source,
            *(texts.number(number) for number in (row.found, row.accepted, row.rejected, row.failed)),
            texts.number(in_version[row.source]),
            row.first if row.first == row.last else f"{row.first} – {row.last}",
        ]
        for row in rows
    ]
    if not body:
        return note(texts("collection.empty"), "missing")
    head, caption = [texts(f"collection.{name}") for name in columns], texts("collection.sources")
    return context.add_table("sources", head, body, caption=caption, numeric=(1, 2, 3, 4, 5), source=CATALOG)


def _reasons_table(context: ReportContext, catalog: Catalog) -> Markup:
    texts = context.texts
    rows = catalog.candidates.count_by_reason()
    duplicates = sum(image.status == "duplicate" for image in catalog.images.all())
    body = [[texts(f"state.{row.state}"), row.reason, texts.number(row.count)] for row in rows]
    if duplicates:
        body.append([texts("state.duplicate"), texts("collection.near_duplicate"), texts.number(duplicates)])
    if not body:
        return paragraph(texts("collection.none_rejected"))
    head = [texts("collection.outcome"), texts("collection.reason"), texts("collection.count")]
    return context.add_table("reasons", head, body, caption=texts("collection.reasons"), numeric=(2,), source=CATALOG)


def _label_decisions(context: ReportContext, catalog: Catalog) -> Markup:
    texts = context.texts
    decisions = catalog.decisions.all()
    by_person = [decision for decision in decisions if decision.is_review]
    changed = sum(_is_change(decision) for decision in by_person)
    rejected = Counter(decision.new_rejected for decision in by_person if decision.action == "reject")
    reviewed, total = sum(row.reviewed for row in context.manifest.rows), len(context.manifest.rows)
    pairs = [
        (texts("labels.by_source"), texts.number(sum(decision.actor_kind != "person" for decision in decisions))),
        (texts("labels.by_person"), texts.number(len(by_person))),
        (texts("labels.changed"), texts.number(changed)),
        (texts("labels.reviewed"), FormattedNumber(texts("labels.of", n=reviewed, total=total), reviewed, total)),
    ]
    if rejected:
        pairs.append((texts("labels.rejected"), ", ".join(f"{reason} {n}" for reason, n in rejected.most_common())))
    remark = "" if by_person else note(texts("labels.unreviewed"), "warn")
    return join([heading(texts("labels.title")), context.add_facts("labels", pairs, CATALOG), remark])


def _is_change(decision: Decision) -> bool:
    """Return True if the decision replaced a label, or brought a rejected or set-aside image back."""
    if decision.action == "restore":
        return bool(decision.old_label or decision.old_rejected)
    changed = bool(decision.old_rejected) or decision.old_label not in ("", decision.new_label)
    return decision.action == "label" and changed


def _licenses_table(context: ReportContext) -> Markup:
    texts, rows = context.texts, context.manifest.rows
    counts = Counter(row.license for row in rows).most_common()
    authors: dict[str, set[str]] = {}
    for row in rows:
        if row.author:
            authors.setdefault(row.license, set()).add(row.author)
    body = [
        [context.license_text(name), texts.number(n), texts.percent(n / len(rows)), texts.number(len(authors.get(name, ())))]
        for name, n in counts
    ]
    head, caption = [texts(f"license.{name}") for name in ("name", "images", "share", "authors")], texts("license.title")
    source = f"manifests/{context.manifest.version}.csv"
    parts = [context.add_table("licenses", head, body, caption=caption, numeric=(1, 2, 3), source=source)]
    for index, (name, n) in enumerate(counts):
        if name == "unknown":
            warning = texts("license.unknown", share=texts.percent(n / len(rows)))
            parts.append(note(context.with_data_link(warning, "licenses", index), "warn"))
    return join(parts)


def render_samples(context: ReportContext) -> Markup:
    """Return a random sample of each category's training and validation images, drawn with seed 0."""
    texts, categories = context.texts, context.manifest.categories
    number = NUM_SAMPLES if len(categories) <= MANY_CATEGORIES else NUM_SAMPLES_MANY
    generator = np.random.default_rng(0)
    montages = []
    for name in categories:
        rows = [row for row in context.manifest.rows if name in row.labels and row.split != "test"]
        sample = [_sample_tile(context, rows[index], name) for index in generator.permutation(len(rows))[:number]]
        content = tiles(sample, "montage") if sample else note(texts("samples.none"), "missing")
        montages.append(block(join([heading(name), content]), "sample"))
    return join([paragraph(texts("samples.intro", n=number)), block(join(montages), "montages")])


def _sample_tile(context: ReportContext, row: ManifestRow, name: str) -> Tile:
    uri = context.thumbnail(row)
    if not uri:
        missing = context.texts("image.missing", id=row.image_id[:12])
        return Tile("", missing, (missing,), "warn")
    return Tile(uri, context.texts("samples.alt", label=name, source=row.source), href=public_url(row.page_url))


def render_splits(context: ReportContext) -> Markup:
    """Return images per category and split, and the near-duplicate groups that stay in one split."""
    texts, manifest = context.texts, context.manifest
    counts, total = manifest.label_counts(), manifest.split_counts()
    bars = [(name, {texts(f"split.{part}"): counts[name][part] for part in SPLITS}) for name in manifest.categories]
    alt = texts("splits.alt", train=total["train"], val=total["val"], test=total["test"])
    empty = [f"{name} ({texts(f'split.{part}')})" for name in manifest.categories for part in SPLITS if not counts[name][part]]
    ratios = " / ".join(texts.plain(ratio) for ratio in manifest.ratios)
    return join(
        [
            paragraph(texts("splits.intro", ratios=ratios, seed=manifest.seed)),
            _split_sizes(context),
            _duplicate_groups(context),
            note(texts("splits.absent", names=", ".join(empty)), "warn") if empty else "",
            context.add_figure(bars_chart("splits", bars, alt), texts("splits.caption"), f"manifests/{manifest.version}.csv"),
        ]
    )


def _split_sizes(context: ReportContext) -> Markup:
    texts, counts = context.texts, context.manifest.split_counts()
    total = max(len(context.manifest.rows), 1)
    pairs = []
    for name in SPLITS:
        size, share = counts[name], counts[name] / total
        pairs.append((texts(f"split.{name}"), FormattedNumber(f"{texts.number(size)} ({texts.percent(share)})", size, share)))
    return context.add_facts("split-sizes", pairs, f"manifests/{context.manifest.version}.json")


def _duplicate_groups(context: ReportContext) -> Markup:
    """Return the number of near-duplicate groups and images, and the threshold they were found with."""
    texts, threshold = context.texts, context.manifest.threshold
    sizes = [n for n in Counter(row.group for row in context.manifest.rows if row.group).values() if n > 1]
    rows = (("groups", len(sizes)), ("images", sum(sizes)), ("threshold", "" if threshold is None else threshold))
    context.data_tables.append(Table("groups", ("name", "value"), rows))
    method = texts("splits.not_deduplicated") if threshold is None else texts("splits.threshold", n=threshold)
    if threshold is not None and not sizes:
        return paragraph(context.with_data_link(f"{texts('splits.no_groups')} {method}", "groups"))
    return paragraph(context.with_data_link(f"{texts('splits.groups', groups=len(sizes), images=sum(sizes))} {method}", "groups"))
