"""Describe a version in Markdown: a datasheet (Gebru et al., "Datasheets for Datasets", 2021)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from fototeca.core.console import escape_markdown
from fototeca.core.report_text import read_report_text
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import SPLITS, Manifest

FEW = 20
"""Sources or licenses listed by name; the others are counted."""

HUB_LICENSES = frozenset(
    (
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "odbl", "odc-by", "pddl", "gfdl"),
        *("cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "mit", "apache-2.0", "bsd-2-clause"),
        *("bsd-3-clause", "unlicense", "gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl-2.1", "lgpl-3.0", "mpl-2.0"),
    )
)
"""License ids of the Hugging Face Hub that `collect` may store; the Hub refuses cards with other ids."""


def datasheet(workspace: Workspace, manifest: Manifest) -> str:
    """Return the datasheet: counts, sources, licenses, known issues, and two sections of report.md."""
    reviewed, note = sum(row.reviewed for row in manifest.rows), escape_markdown(manifest.note)
    own = read_report_text(workspace.report_text).own
    parts = [
        f"# {escape_markdown(manifest.dataset_name)} {manifest.version}",
        f"Frozen {manifest.created} by fototeca. Task: {manifest.task}-label image classification."
        f" {len(manifest.rows)} images, {reviewed} of them with a label that a person confirmed. {note}".strip(),
        "## Motivation\n\n" + (own("motivation") or "Not written yet (report.md, section Motivation)."),
        "## Composition\n\n" + _counts_table(manifest),
        "Splits were made by group (near-duplicates stay together), stratified by label, and are kept in every later"
        f" version. Requested: {'/'.join(f'{ratio:g}' for ratio in manifest.ratios)}, seed {manifest.seed}.",
        "## Collection\n\n" + own("collection"),
        _table(("source", "images"), _top(row.source or "unknown" for row in manifest.rows)),
        "## Licenses\n\n" + _table(("license (SPDX)", "images"), _top(row.license for row in manifest.rows)),
        "Licenses are as stated by each source and were not verified; check them before redistributing. Author, page and address"
        " of every image are in the table of images.",
        "## Known issues\n\n" + "\n".join(f"- {issue}" for issue in known_issues(manifest)),
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def hub_license(licenses: Collection[str]) -> str:
    """Return the Hub id of the single license of all images; `other` for several, an unknown or an unlisted one."""
    if len(licenses) != 1:
        return "other"
    name = re.sub(r"-(only|or-later)$", "", next(iter(licenses)).lower())
    family = re.sub(r"^(odbl|odc-by|pddl|gfdl)-1\.\d$", r"\1", name)
    return family if family in HUB_LICENSES else "other"


def known_issues(manifest: Manifest) -> list[str]:
    """List the limitations of a version as sentences."""
    issues = []
    unreviewed = sum(not row.reviewed for row in manifest.rows)
    if unreviewed:
        issues.append(f"{unreviewed} of {len(manifest.rows)} labels come from the source and no person has confirmed them.")
    unknown = sum(row.license == "unknown" for row in manifest.rows)
    if unknown:
        issues.append(f"The license of {unknown} images is unknown.")
    if manifest.threshold is None:
        issues.append("No search for near-duplicates has run, so they may cross splits.")
    if manifest.unsearched:
        issues.append(f"{manifest.unsearched} images were not searched for near-duplicates, so copies of them may cross splits.")
    if manifest.moved:
        issues.append(f"{len(manifest.moved)} images changed their split since the parent version, because groups merged.")
    for row in manifest.uneven:
        wanted = f"{row['wanted']:.0%} wanted"
        label = escape_markdown(row["label"])
        issues.append(f"{label}: {row['share']:.1%} of its images are in {row['split']} ({wanted}): {row['reason']}.")
    return issues or ["None known."]


def _counts_table(manifest: Manifest) -> str:
    """Format the number of images per category and split."""
    rows = [(label, *counts.values(), sum(counts.values())) for label, counts in manifest.label_counts().items()]
    total = ("all images", *manifest.split_counts().values(), len(manifest.rows))
    return _table(("category", *SPLITS, "all"), [*rows, total])


def _top(values: Iterable[str]) -> list[tuple[str, int]]:
    """Return the most common values with their counts, and one row for the others."""
    counts = Counter(values).most_common()
    rest = counts[FEW:]
    return counts[:FEW] + ([(f"{len(rest)} others", sum(count for _, count in rest))] if rest else [])


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(escape_markdown(str(cell)) for cell in row) + " |" for row in rows])
