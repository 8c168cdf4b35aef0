"""Group near-duplicates, choose the representative of each group and set the others aside. Nothing is deleted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR, Settings
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.grouping import DEFAULT_THRESHOLD, SearchOptions, group_images
from fototeca.curate.duplicates.hamming_search import MAX_THRESHOLD
from fototeca.curate.duplicates.native_verify import DEFAULT_SIMILARITY, MIN_SIMILARITY
from fototeca.curate.duplicates.results import CategoryCounts, DedupResult
from fototeca.curate.duplicates.signatures import load_signatures
from fototeca.curate.duplicates.warnings import camera_warnings, dedup_warnings
from fototeca.curate.labels.categories import differing_labels
from fototeca.curate.quality.checks import delete_scores


def dedup(
    workspace: Workspace,
    *,
    threshold: int = DEFAULT_THRESHOLD,
    similarity: float = DEFAULT_SIMILARITY,
    keep_near: bool = False,
) -> DedupResult:
    """Group the near-duplicates among all images, and set aside all but the representative of each group.

    `threshold`: Hamming distance in bits, 0 to 31, up to which pairs are compared. `similarity`: how alike a copy must be, 0.5 to
    1, see `native_verify`. With `keep_near` only images with equal pixels are set aside; near-duplicates are grouped, so that
    they share a split.

    Raises:
        FototecaError: threshold or similarity is out of range, or the catalog has no images.
    """
    if not 0 <= threshold <= MAX_THRESHOLD:
        raise FototecaError(f"the threshold must be between 0 and {MAX_THRESHOLD} bits, not {threshold}", "try 10")
    if not MIN_SIMILARITY <= similarity <= 1:
        raise FototecaError(
            f"the similarity must be between {MIN_SIMILARITY} and 1, not {similarity}", f"try {DEFAULT_SIMILARITY}"
        )
    options = SearchOptions(threshold, similarity, keep_near)
    with Catalog.open(workspace) as catalog:
        images = [image for image in catalog.images.all() if not image.erased]
        if not images:
            raise FototecaError("there are no images yet", "collect some: fototeca collect --help")
        signatures = load_signatures(workspace, catalog, images)
        if len(signatures) < len(images):
            notify(f"{len(images) - len(signatures)} stored images cannot be read and are left out; run: fototeca curate quality")
            delete_scores(catalog, {image.image_id for image in images} - set(signatures.ids))
        known = {image.image_id: image for image in images}
        grouping = group_images(workspace, catalog, signatures, known, options, len(images))
        with catalog.transaction():
            catalog.groups.replace(grouping.rows, grouping.components, grouping.ties)
            options.save(catalog)
        images = [image for image in catalog.images.all() if not image.erased]
    for line in (*camera_warnings(grouping.fixed_cameras), *dedup_warnings(images, workspace.settings)):
        notify(line)
    return DedupResult(
        images=len(images),
        groups=len({row.group_id for row in grouping.rows}),
        set_aside=sum(image.status == "duplicate" for image in images),
        label_conflicts=_count_conflicts(images),
        ties=grouping.counts,
        fixed_cameras=grouping.fixed_cameras,
        categories=_count_categories(images, workspace.settings),
    )


def _count_conflicts(images: Sequence[ImageRow]) -> int:
    """Return the number of groups whose images have labels that contradict each other."""
    labels: dict[str, list[str]] = defaultdict(list)
    for image in images:
        if image.group and not image.rejected:
            labels[image.group].append(image.label)
    return sum(bool(differing_labels(group)) for group in labels.values())


def _count_categories(images: Sequence[ImageRow], settings: Settings) -> tuple[CategoryCounts, ...]:
    found: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    for image in images:
        names = [] if image.rejected else image.label.split(LABEL_SEPARATOR)
        found.update(names)
        accepted.update(names if image.status == "accepted" else ())
    return tuple(CategoryCounts(name, found[name], accepted[name]) for name in settings.names if found[name])
