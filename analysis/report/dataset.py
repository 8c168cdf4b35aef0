"""The report's first half: the task, where the images came from, what they look like, how they were split."""

from __future__ import annotations

from collections import Counter

import numpy as np
from markupsafe import Markup

from fototeca.analysis.plots.charts import bars_chart
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import Tile, heading, join, note, paragraph, tag, tiles
from fototeca.analysis.tabular import FormattedNumber, Table
from fototeca.collect.catalog import PERSON, REJECT, RENAME, Catalog
from fototeca.curate.manifest import SPLITS, ManifestRow

CATALOG = "data/catalog.sqlite"

SAMPLES = 8
"""Images per category, fewer when there are many categories."""


def task(story: ReportContext) -> Markup:
    """What is told apart, and why (a person's words)."""
    words, manifest = story.words, story.manifest
    kind = words(f"task.{manifest.task}", n=len(manifest.categories))
    counts = manifest.label_counts()
    names = join(
        tag("li", join([tag("strong", name), Markup(" "), words("task.images", n=sum(counts[name].values()))]))
        for name in manifest.categories
    )
    source = paragraph(story.file(f"manifests/{manifest.version}.json"), "source")
    chips = tag("ul", names, class_="chips")
    return join([paragraph(kind), chips, source, heading(words("own.motivation")), story.written("motivation")])


def collection(story: ReportContext) -> Markup:
    """Counts per source, outcome, reason, licence; the label decisions; a person's account."""
    words = story.words
    parts = [story.written("collection")]
    if story.workspace.catalog.exists():
        with Catalog.open(story.workspace) as catalog:
            parts += [_sources(story, catalog), _reasons(story, catalog), _labelling(story, catalog)]
    else:
        parts.append(note(words("collection.no_catalog"), "missing"))
    parts += [_licences(story), heading(words("own.challenges")), story.written("challenges")]
    return join(parts)


def _sources(story: ReportContext, catalog: Catalog) -> Markup:
    words = story.words
    rows = catalog.connection.execute(
        "SELECT f.source, count(DISTINCT c.candidate_id) AS found, count(DISTINCT CASE WHEN c.state = 'accepted' THEN"
        " c.candidate_id END) AS accepted, count(DISTINCT CASE WHEN c.state = 'rejected' THEN c.candidate_id END) AS rejected,"
        " count(DISTINCT CASE WHEN c.state = 'failed' THEN c.candidate_id END) AS failed, substr(min(f.found), 1, 10) AS first,"
        " substr(max(f.found), 1, 10) AS last FROM findings f JOIN candidates c USING (candidate_id) GROUP BY 1 ORDER BY 2 DESC"
    ).fetchall()
    kept = Counter(row.source for row in story.manifest.rows)
    head = [words(f"collection.{name}") for name in ("source", "found", "accepted", "rejected", "failed", "kept", "dates")]
    body = [
        [
            row["source"],
            *(words.number(row[name]) for name in ("found", "accepted", "rejected", "failed")),
            words.number(kept[row["source"]]),
            row["first"] if row["first"] == row["last"] else f"{row['first']} – {row['last']}",
        ]
        for row in rows
    ]
    if not body:
        return note(words("collection.empty"), "missing")
    return story.table("sources", head, body, caption=words("collection.sources"), numeric=(1, 2, 3, 4, 5), source=CATALOG)


def _reasons(story: ReportContext, catalog: Catalog) -> Markup:
    words = story.words
    rows = catalog.connection.execute(
        "SELECT state, reason, count(*) AS n FROM candidates WHERE reason != '' GROUP BY 1, 2 ORDER BY n DESC"
    ).fetchall()
    near = sum(image.status == "duplicate" for image in catalog.images())
    body = [[words(f"state.{row['state']}"), row["reason"], words.number(row["n"])] for row in rows]
    if near:
        body.append([words("state.set_aside"), words("collection.near"), words.number(near)])
    if not body:
        return paragraph(words("collection.nothing_refused"))
    head = [words("collection.outcome"), words("collection.reason"), words("collection.count")]
    return story.table("reasons", head, body, caption=words("collection.reasons"), numeric=(2,), source=CATALOG)


def _labelling(story: ReportContext, catalog: Catalog) -> Markup:
    words = story.words
    decisions = catalog.decisions()
    by_person = [decision for decision in decisions if decision.who.startswith(PERSON)]
    changed = sum(bool(d.old) and d.old != d.new and not d.new.startswith(REJECT) for d in by_person)
    rejected = Counter(d.new[len(REJECT) :] for d in by_person if d.new.startswith(REJECT))
    reviewed, total = sum(row.reviewed for row in story.manifest.rows), len(story.manifest.rows)
    pairs = [
        (words("labels.by_machine"), words.number(sum(not d.who.startswith((PERSON, RENAME)) for d in decisions))),
        (words("labels.by_person"), words.number(len(by_person))),
        (words("labels.changed"), words.number(changed)),
        (words("labels.reviewed"), FormattedNumber(words("labels.of", n=reviewed, total=total), reviewed, total)),
    ]
    if rejected:
        reasons = ", ".join(f"{reason} {n}" for reason, n in rejected.most_common())
        pairs.append((words("labels.rejected"), reasons))
    remark = "" if by_person else note(words("labels.nobody"), "warn")
    return join([heading(words("labels.title")), story.facts("labels", pairs, CATALOG), remark])


def _licences(story: ReportContext) -> Markup:
    words, rows = story.words, story.manifest.rows
    counts = Counter(row.license for row in rows)
    authors: dict[str, set[str]] = {}
    for row in rows:
        if row.author:
            authors.setdefault(row.license, set()).add(row.author)
    head = [words("licence.name"), words("licence.images"), words("licence.share"), words("licence.authors")]
    body = [
        [story.licence(name), words.number(n), words.percent(n / len(rows)), words.number(len(authors.get(name, ())))]
        for name, n in counts.most_common()
    ]
    place = next((number for number, (name, _) in enumerate(counts.most_common()) if name == "unknown"), 0)
    remark = (
        note(story.lead(words("licence.unknown", share=words.percent(counts["unknown"] / len(rows))), "licences", place), "warn")
        if counts["unknown"]
        else ""
    )
    source = f"manifests/{story.manifest.version}.csv"
    shown = story.table("licences", head, body, caption=words("licence.title"), numeric=(1, 2, 3), source=source)
    return join([shown, remark])


def samples(story: ReportContext) -> Markup:
    """Some images of every category, drawn with a fixed seed from training and validation."""
    words, categories = story.words, story.manifest.categories
    each = SAMPLES if len(categories) <= 16 else 5
    generator = np.random.default_rng(0)
    parts = [paragraph(words("samples.intro", n=each))]
    for name in categories:
        rows = [row for row in story.manifest.rows if name in row.labels and row.split != "test"]
        chosen = [rows[index] for index in generator.permutation(len(rows))[:each]]
        parts.append(heading(name, 3))
        parts.append(
            tiles([_sample(story, row, name) for row in chosen], "montage") if chosen else note(words("samples.none"), "missing")
        )
    return tag("div", join(parts), class_="samples")


def _sample(story: ReportContext, row: ManifestRow, name: str) -> Tile:
    uri = story.thumbnail(row)
    if not uri:
        return Tile(
            "", story.words("image.gone", id=row.image_id[:12]), (story.words("image.gone", id=row.image_id[:12]),), "warn"
        )
    return Tile(uri, story.words("samples.alt", label=name, source=row.source), href=row.page_url)


def splits(story: ReportContext) -> Markup:
    """Images per category and split; what keeps near-duplicates together."""
    words, manifest = story.words, story.manifest
    counts, total = manifest.label_counts(), manifest.split_counts()
    bars = [(name, {words(f"split.{part}"): counts[name][part] for part in SPLITS}) for name in manifest.categories]
    alt = words("splits.alt", train=total["train"], val=total["val"], test=total["test"])
    absent = [f"{name} ({words(f'split.{part}')})" for name in manifest.categories for part in SPLITS if not counts[name][part]]
    return join(
        [
            paragraph(
                words("splits.intro", ratios=" / ".join(words.plain(ratio) for ratio in manifest.ratios), seed=manifest.seed)
            ),
            _shares(story),
            _groups(story),
            note(words("splits.absent", names=", ".join(absent)), "warn") if absent else "",
            story.draw(bars_chart("splits", bars, alt), words("splits.caption"), f"manifests/{manifest.version}.csv"),
        ]
    )


def _shares(story: ReportContext) -> Markup:
    """How many images each split has."""
    words, total = story.words, story.manifest.split_counts()
    every = max(len(story.manifest.rows), 1)
    told = {name: f"{words.number(total[name])} ({words.percent(total[name] / every)})" for name in SPLITS}
    pairs = [(words(f"split.{name}"), FormattedNumber(told[name], total[name], total[name] / every)) for name in SPLITS]
    return story.facts("split-sizes", pairs, f"manifests/{story.manifest.version}.json")


def _groups(story: ReportContext) -> Markup:
    """How many near-duplicates were kept together, and what counted as one."""
    words, threshold = story.words, story.manifest.threshold
    sizes = Counter(row.group for row in story.manifest.rows if row.group)
    large = [n for n in sizes.values() if n > 1]
    rows = (("groups", len(large)), ("images", sum(large)), ("threshold", "" if threshold is None else threshold))
    story.numbers.append(Table("groups", ("name", "value"), rows))
    how = words("splits.never_deduplicated") if threshold is None else words("splits.threshold", n=threshold)
    if threshold is not None and not large:
        return paragraph(story.lead(f"{words('splits.no_groups')} {how}", "groups"))
    return paragraph(story.lead(f"{words('splits.groups', groups=len(large), images=sum(large))} {how}", "groups"))
