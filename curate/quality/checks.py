"""`curate quality`: images that are broken, blurred, dark, light, empty, of an odd shape, or thumbnails of larger ones.

Findings are for people; nothing is rejected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from os import cpu_count
from statistics import median

from tqdm import tqdm

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.workspace import Workspace
from fototeca.curate.quality.thresholds import QualityThresholds, keep_limits, last_limits
from fototeca.vision.image import DecodeError, decode_grey
from fototeca.vision.quality import quality
from fototeca.vision.threads import image_threads

CORRUPT = "corrupt"
_BATCH = 64
_ROUNDING = 0.02


@dataclass(frozen=True)
class QualityIssue:
    """One thing noticed about one image: what, and the score that says so."""

    image_id: str
    finding: str
    score: float
    label: str


def measure_quality(workspace: Workspace, limits: QualityThresholds) -> list[QualityIssue]:
    """Measure what was not measured yet, and tell what lies beyond the limits, by kind, worst first.

    The limits are kept: the queues of a review follow them.
    """
    with Catalog.open(workspace) as catalog:
        keep_limits(catalog, limits)
        images = _not_rejected(catalog)
        _measure(workspace, catalog, images)
        return judge(images, catalog.quality.all(), _read_shrinkage(catalog, images), limits)


def found_by_image(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """The findings of what was measured before, by the limits of the last check."""
    found: dict[str, list[str]] = defaultdict(list)
    images = _not_rejected(catalog)
    for finding in judge(images, catalog.quality.all(), _read_shrinkage(catalog, images), last_limits(catalog)):
        found[finding.image_id].append(finding.finding)
    return {image_id: tuple(names) for image_id, names in found.items()}


def _not_rejected(catalog: Catalog) -> list[ImageRow]:
    return [image for image in catalog.images.all() if not image.rejected]


def judge(
    images: Sequence[ImageRow],
    scores: Mapping[str, Mapping[str, float]],
    shrinkage: Mapping[str, float],
    limits: QualityThresholds,
) -> list[QualityIssue]:
    """What lies beyond the limits among images with scores."""
    measured = [image for image in images if image.image_id in scores]
    sides = {image.image_id: (image.width * image.height) ** 0.5 for image in measured}
    middle = median(sides.values()) if sides else 1.0
    found = []
    for image in measured:
        values = scores[image.image_id]
        for name, score, beyond in _verdicts(values, sides[image.image_id] / middle, limits):
            if beyond:
                found.append(QualityIssue(image.image_id, name, round(score, 4), image.label))
        if shrinkage.get(image.image_id, 1.0) < limits.thumbnail:
            found.append(QualityIssue(image.image_id, "thumbnail", round(shrinkage[image.image_id], 4), image.label))
    order = [CORRUPT, *(field.name.replace("_", "-") for field in fields(QualityThresholds))]
    return sorted(found, key=lambda finding: (order.index(finding.finding), _badness(finding), finding.image_id))


def _badness(finding: QualityIssue) -> float:
    high = {"light", "border"}
    return -finding.score if finding.finding in high else abs(finding.score)


def _verdicts(values: Mapping[str, float], size: float, limits: QualityThresholds) -> Iterator[tuple[str, float, bool]]:
    if values.get(CORRUPT):
        yield CORRUPT, 1.0, True
        return
    below: Callable[[str, float], tuple[float, bool]] = lambda name, limit: (values[name], values[name] < limit)  # noqa: E731
    yield "blurry", *below("sharpness", limits.blurry)
    yield "dark", *below("highlights", limits.dark)
    yield "light", values["shadows"], values["shadows"] > limits.light
    yield "low-information", *below("entropy", limits.low_information)
    yield "odd-aspect", *below("aspect", limits.odd_aspect)
    yield "odd-size", size, size > limits.odd_size or size < 1 / limits.odd_size
    yield "border", values["border"], values["border"] > limits.border


def _read_shrinkage(catalog: Catalog, images: Sequence[ImageRow]) -> dict[str, float]:
    """The side of accepted images that are smaller than their originals, by the original's; 0 where that is not known. `images`:
    those that are not rejected.

    An original is a near-duplicate with more pixels, or what a source announced and did not give; a crop is no thumbnail, so
    only those of the same shape count.
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
    found = {}
    for image in images:
        own = image.width, image.height
        larger = [size for size in originals[image.image_id] + groups[image.group] if _larger(size, own)]
        if image.status == "accepted" and (larger or bare.get(image.image_id)):
            most = max((width * height for width, height in larger), default=0)
            found[image.image_id] = (image.width * image.height / most) ** 0.5 if most else 0.0
    return found


def _larger(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one is larger and of the same shape, lying or standing, but for what rounding to whole pixels does."""
    alike = abs(min(one) / max(one) - min(other) / max(other)) <= _ROUNDING
    return alike and one[0] * one[1] > other[0] * other[1]


def _measure(workspace: Workspace, catalog: Catalog, images: Sequence[ImageRow]) -> None:
    """Score the images that have no scores yet, batch by batch, and those whose file is not as long as it was; corrupt ones
    again, as a disk may have been away."""
    known = {image_id for image_id, values in catalog.quality.all().items() if values.keys() - {CORRUPT}}
    missing = [image for image in images if image.image_id not in known or _length(workspace, image) != image.bytes]
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


def forget_scores(catalog: Catalog, image_ids: Collection[str]) -> None:
    """Let the next check look at these files again: they are no longer what was measured."""
    catalog.quality.delete(sorted(image_ids))


def _length(workspace: Workspace, image: ImageRow) -> int:
    """Of its file; -1 where there is none."""
    try:
        return (workspace.root / image.path).stat().st_size
    except OSError:
        return -1


def findings_table(findings: Sequence[QualityIssue], limit: int) -> str:
    """Counts by kind, then the worst of each."""
    if not findings:
        return "nothing found"
    by_kind: dict[str, list[QualityIssue]] = defaultdict(list)
    for finding in findings:
        by_kind[finding.finding].append(finding)
    lines = []
    for kind, members in by_kind.items():
        lines.append(f"{kind}: {len(members)}")
        lines += [f"  {member.image_id[:12]}  {member.score:.3f}  {member.label}" for member in members[:limit]]
    return "\n".join(lines)
