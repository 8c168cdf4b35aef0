"""Find images that are corrupt, blurry, dark, light, nearly empty, of an unusual shape or size, or reduced from larger ones.

Nothing is rejected: people decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import cpu_count
from statistics import median

from tqdm import tqdm

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.quality.thresholds import QualityThresholds, read_thresholds, store_thresholds
from fototeca.vision.image import DecodeError, decode_grey
from fototeca.vision.quality import quality
from fototeca.vision.threads import image_threads

CORRUPT = "corrupt"
_BATCH = 64
_ROUNDING = 0.02


@dataclass(frozen=True)
class QualityIssue(Result):
    """One issue of one image: its kind, and the score that is beyond the threshold."""

    image_id: str
    finding: str
    score: float
    label: str
    file_name: str = ""
    """Original name of the image's file."""


def measure_quality(workspace: Workspace, thresholds: QualityThresholds) -> list[QualityIssue]:
    """Measure images without scores and return the issues of all images by kind, worst first.

    The thresholds are stored in the catalog, since the review queues apply them too.
    """
    with Catalog.open(workspace) as catalog:
        store_thresholds(catalog, thresholds)
        images = _list_not_rejected(catalog)
        _measure(workspace, catalog, images)
        issues = find_issues(images, catalog.quality.all(), _read_reductions(catalog, images), thresholds)
        file_names = catalog.provenance.file_names()
        return [replace(issue, file_name=file_names.get(issue.image_id, "")) for issue in issues]


def list_findings_by_image(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return the kinds of issues of each measured image, by the thresholds of the last check."""
    kinds: dict[str, list[str]] = defaultdict(list)
    images = _list_not_rejected(catalog)
    for issue in find_issues(images, catalog.quality.all(), _read_reductions(catalog, images), read_thresholds(catalog)):
        kinds[issue.image_id].append(issue.finding)
    return {image_id: tuple(names) for image_id, names in kinds.items()}


def _list_not_rejected(catalog: Catalog) -> list[ImageRow]:
    return [image for image in catalog.images.all() if not image.rejected]


def find_issues(
    images: Sequence[ImageRow],
    scores: Mapping[str, Mapping[str, float]],
    reductions: Mapping[str, float],
    thresholds: QualityThresholds,
) -> list[QualityIssue]:
    """Return the issues of images with scores, by kind, worst first."""
    measured = [image for image in images if image.image_id in scores]
    sides = {image.image_id: (image.width * image.height) ** 0.5 for image in measured}
    middle = median(sides.values()) if sides else 1.0
    issues = []
    for image in measured:
        values = scores[image.image_id]
        for name, score, beyond in _check_scores(values, sides[image.image_id] / middle, thresholds):
            if beyond:
                issues.append(QualityIssue(image.image_id, name, round(score, 4), image.label))
        if reductions.get(image.image_id, 1.0) < thresholds.thumbnail:
            issues.append(QualityIssue(image.image_id, "thumbnail", round(reductions[image.image_id], 4), image.label))
    order = [CORRUPT, *(field.name.replace("_", "-") for field in fields(QualityThresholds))]
    return sorted(issues, key=lambda issue: (order.index(issue.finding), _badness(issue), issue.image_id))


def _badness(issue: QualityIssue) -> float:
    high = {"light", "border"}
    return -issue.score if issue.finding in high else abs(issue.score)


def _check_scores(values: Mapping[str, float], size: float, thresholds: QualityThresholds) -> Iterator[tuple[str, float, bool]]:
    if values.get(CORRUPT):
        yield CORRUPT, 1.0, True
        return
    below: Callable[[str, float], tuple[float, bool]] = lambda name, limit: (values[name], values[name] < limit)  # noqa: E731
    yield "blurry", *below("sharpness", thresholds.blurry)
    yield "dark", *below("highlights", thresholds.dark)
    yield "light", values["shadows"], values["shadows"] > thresholds.light
    yield "low-information", *below("entropy", thresholds.low_information)
    yield "odd-aspect", *below("aspect", thresholds.odd_aspect)
    yield "odd-size", size, size > thresholds.odd_size or size < 1 / thresholds.odd_size
    yield "border", values["border"], values["border"] > thresholds.border


def _read_reductions(catalog: Catalog, images: Sequence[ImageRow]) -> dict[str, float]:
    """Return the ratio of sides of accepted images that are smaller than their originals; 0 where the original's is not known.

    `images`: those that are not rejected. An original is a near-duplicate with more pixels, or the size that a source stated.
    Only originals of the same shape count, since a crop is not a thumbnail.
    """
    originals: dict[str, list[tuple[int, int]]] = defaultdict(list)
    bare: dict[str, bool] = {}
    for size in catalog.provenance.announced_sizes():
        bare[size.image_id] = bare.get(size.image_id, True) and size.thumbnail
        if size.width and size.height:
            originals[size.image_id].append((size.width, size.height))
    groups = defaultdict(list)
    for image in images:
        if image.group:
            groups[image.group].append((image.width, image.height))
    ratios = {}
    for image in images:
        own = image.width, image.height
        larger = [size for size in originals[image.image_id] + groups[image.group] if _is_larger(size, own)]
        if image.status == "accepted" and (larger or bare.get(image.image_id)):
            original = max((width * height for width, height in larger), default=0)
            ratios[image.image_id] = (image.width * image.height / original) ** 0.5 if original else 0.0
    return ratios


def _is_larger(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return True if the first size is larger and has the same shape, rotated or not, up to rounding to whole pixels."""
    same_shape = abs(min(first) / max(first) - min(second) / max(second)) <= _ROUNDING
    return same_shape and first[0] * first[1] > second[0] * second[1]


def _measure(workspace: Workspace, catalog: Catalog, images: Sequence[ImageRow]) -> None:
    """Score the images that have no scores or whose file size changed, batch by batch, and corrupt ones again."""
    known = {image_id for image_id, values in catalog.quality.all().items() if values.keys() - {CORRUPT}}
    missing = [image for image in images if image.image_id not in known or _file_size(workspace, image) != image.bytes]
    if not missing:
        return

    def score(image: ImageRow) -> dict[str, float]:
        try:
            return quality(decode_grey(workspace.root / image.path)[0])
        except (DecodeError, OSError):
            return {CORRUPT: 1.0}

    with image_threads(cpu_count() or 1) as pool, tqdm(total=len(missing), desc="measuring", disable=None) as bar:
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            scores = pool.map(score, batch)
            catalog.quality.replace({image.image_id: values for image, values in zip(batch, scores, strict=True)})
            bar.update(len(batch))


def delete_scores(catalog: Catalog, image_ids: Collection[str]) -> None:
    """Delete the scores of images whose files changed, so that the next check measures them again."""
    catalog.quality.delete(sorted(image_ids))


def _file_size(workspace: Workspace, image: ImageRow) -> int:
    """Return the size of the image's file in bytes; -1 if it does not exist."""
    try:
        return (workspace.root / image.path).stat().st_size
    except OSError:
        return -1


def quality_table(issues: Sequence[QualityIssue], limit: int) -> str:
    """Format the number of issues of each kind and the worst of each."""
    if not issues:
        return "no quality issues"
    by_kind: dict[str, list[QualityIssue]] = defaultdict(list)
    for issue in issues:
        by_kind[issue.finding].append(issue)
    lines = []
    for kind, members in by_kind.items():
        lines.append(f"{kind}: {len(members)}")
        rows = [(member.image_id[:12], f"{member.score:.3f}", member.label, member.file_name) for member in members[:limit]]
        lines += [f"  {'  '.join(row)}".rstrip() for row in rows]
    return "\n".join(lines)
