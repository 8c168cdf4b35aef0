"""Results of a freeze, and what people are told about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fototeca.collect.catalog import ImageRow
from fototeca.core.console import notify
from fototeca.core.counting import count_of
from fototeca.core.results import Result
from fototeca.curate.duplicates.clustering import BAD_COPY
from fototeca.curate.manifest import SPLITS, Manifest
from fototeca.curate.review.queues import CONFLICT, DISAGREED, ReviewItem
from fototeca.curate.versions.source_splits import source_split_lines


@dataclass(frozen=True)
class FreezeResult(Result):
    """The version that a freeze made, or the last one where nothing had changed."""

    manifest: Manifest
    new: bool
    """True if this call wrote the version."""
    unlabeled: int
    """Accepted images left out because they have no label."""
    unreviewed_negatives: int
    """Multi-label: images without a label, which count as negatives of all categories although no person reviewed them."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Accepted images of each category that the version was asked to leave out."""
    file_names: Mapping[str, str] = field(default_factory=dict)
    """Original names of the images, by id, where groups leak from one split of their source into another."""

    def to_json(self) -> dict[str, Any]:
        """Return the output of `freeze --json`: version, row counts, path, and the exceptions that the version lists."""
        manifest = self.manifest
        return {
            "version": manifest.version,
            "rows": len(manifest.rows),
            "splits": manifest.split_counts(),
            "path": f"{manifest.path.parent.name}/{manifest.path.name}",
            "new": self.new,
            "moved": list(manifest.moved),
            "unsearched": manifest.unsearched,
            "uneven": list(manifest.uneven),
            "leaks": list(manifest.leaks),
            "left_out": dict(self.left_out),
        }


def freeze_table(result: FreezeResult) -> str:
    """Format a freeze for people: images per category and split, then the exceptions."""
    manifest = result.manifest
    counts = manifest.label_counts() | {"all": manifest.split_counts()}
    width = max(len(name) for name in counts)
    lines = [f"{manifest.version}: {count_of(len(manifest.rows), 'image')}  {manifest.path}"]
    lines.append(f"{'':{width}}" + "".join(f"{name:>8}" for name in SPLITS))
    lines += [f"{label:{width}}" + "".join(f"{row[name]:8}" for name in SPLITS) for label, row in counts.items()]
    lines += [
        f"moved: {row['image_id'][:12]} from {row['from']} to {row['to']} because its group merged" for row in manifest.moved
    ]
    reasons = {row["label"]: row["reason"] for row in manifest.uneven}
    lines += [f"uneven: {label}: {reason}" for label, reason in reasons.items()]
    lines += [f"left out: {label}: {count_of(count, 'image')}" for label, count in result.left_out.items()]
    return "\n".join([*lines, *(source_split_lines(manifest, result.file_names) if result.new else ())])


def warn_of_contents(result: FreezeResult, items: Sequence[ReviewItem]) -> None:
    """Report on stderr what a person should know before training. `items`: the review items of all images."""
    _warn(result)
    if lost := _count_groups_without_copy([item.image for item in items]):
        notify(
            f"warning: {count_of(lost, 'duplicate group has', 'duplicate groups have')} no accepted image, because the copy was"
            f" rejected as {BAD_COPY} and the others are set aside; run: fototeca curate dedup, and freeze again"
        )
    if conflicts := sum(item.image.status == "accepted" and not {CONFLICT, DISAGREED}.isdisjoint(item.queues) for item in items):
        notify(
            f"warning: {count_of(conflicts, 'image has', 'images have')} conflicting labels from sources or reviewers;"
            " to resolve them: fototeca curate review, and freeze again"
        )


def _count_groups_without_copy(images: Sequence[ImageRow]) -> int:
    """Count groups without an accepted image whose representative was rejected for its quality while others are set aside."""
    statuses: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if image.group:
            statuses[image.group].add(image.status if image.rejected in ("", BAD_COPY) else "excluded")
    return sum(members == {"rejected", "duplicate"} for members in statuses.values())


def _warn(result: FreezeResult) -> None:
    """Report on stderr what a person should know before training."""
    if result.unlabeled:
        notify(
            count_of(result.unlabeled, "accepted image has no label and is", "accepted images have no label and are")
            + " left out; run: fototeca curate review"
        )
    if result.unreviewed_negatives:
        notify(
            count_of(result.unreviewed_negatives, "image without a label counts", "images without a label count")
            + " as negative of all categories, unreviewed; run: fototeca curate review"
        )
    if not result.new:
        notify(f"nothing has changed since {result.manifest.version}: no new version was made")
    if result.manifest.threshold is None:
        notify("warning: no search for near-duplicates has run, so copies may cross splits; run: fototeca curate dedup")
    elif late := result.manifest.unsearched:
        notify(
            f"warning: {count_of(late, 'image was', 'images were')} not in the last search for near-duplicates, so copies may"
            " cross splits; run: fototeca curate dedup, and freeze again"
        )
