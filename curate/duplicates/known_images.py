"""Compare new images with known ones, as `predict` and monitoring do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from fototeca.collect.catalog import Catalog
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.grouping import DEFAULT_THRESHOLD
from fototeca.curate.duplicates.native_pixels import PixelCache
from fototeca.curate.duplicates.native_verify import Judge, JudgedPair
from fototeca.curate.duplicates.pair_cache import MAX_REFUSALS
from fototeca.curate.duplicates.separate import PIXELS
from fototeca.curate.duplicates.signatures import Signatures, SignedImage, load_signatures, read_signatures, stack_signatures
from fototeca.curate.duplicates.verdict import COPY, NONE, TURNED
from fototeca.curate.duplicates.verify_pairs import DuplicatePair, find_duplicate_pairs
from fototeca.curate.duplicates.view_hashes import hash_views


@dataclass(frozen=True)
class NewImage:
    """A new image with its signature, as `sign_image` returns it."""

    image: Image.Image
    signature: bytes


@dataclass(frozen=True)
class KnownDuplicate:
    """A known image to which a new image is tied, by which view and kind of tie; see `curate.duplicates.verdict`."""

    image_id: str
    distance: int
    reason: str
    kind: str = COPY


class KnownImages:
    """Known images with their hashes, read once for many new ones."""

    def __init__(self, workspace: Workspace, rows: Sequence[SignedImage]) -> None:
        signatures = _load_known(workspace, rows)
        paths = {row.image_id: workspace.root / row.path for row in rows}
        self._hashes = hash_views(signatures)
        self._ids = signatures.ids
        self._by_digest = dict(zip(signatures.digests, signatures.ids, strict=True))
        self._pixels = PixelCache([paths[image_id] for image_id in signatures.ids])

    def find_duplicates(self, images: Sequence[NewImage | None]) -> list[KnownDuplicate | None]:
        """Return for each new image the known image that it duplicates, the nearest of several; None where there is none."""
        return [
            min((tie for tie in ties if tie.kind in (COPY, TURNED)), key=lambda tie: tie.distance, default=None)
            for ties in self.find_ties(images)
        ]

    def find_ties(self, images: Sequence[NewImage | None]) -> list[list[KnownDuplicate]]:
        """Return for each new image the known images to which it is tied; only one where all pixels are equal."""
        known = [(place, image) for place, image in enumerate(images) if image is not None]
        found: dict[int, list[KnownDuplicate]] = {}
        new = stack_signatures([str(place) for place, _ in known], [image.signature for _, image in known])
        for number, digest in enumerate(new.digests):
            if digest in self._by_digest:
                found[number] = [KnownDuplicate(self._by_digest[digest], 0, PIXELS)]
        rest = [number for number in range(len(new)) if number not in found]
        if rest and self._ids:
            pixels = PixelCache([known[number][1].image for number in rest])
            for place, ties in self._find_near(new.take(rest), pixels):
                found[rest[place]] = ties
        by_place = {known[number][0]: ties for number, ties in found.items()}
        return [by_place.get(place, []) for place in range(len(images))]

    def _find_near(self, new: Signatures, pixels: PixelCache) -> Iterator[tuple[int, list[KnownDuplicate]]]:
        """Yield the new images that hashes propose, by index, with their ties."""
        hashes = hash_views(new)
        views: dict[tuple[int, int], dict[int, DuplicatePair]] = defaultdict(dict)
        forward = ((pair.a, pair.b, pair) for pair in find_duplicate_pairs(hashes, self._hashes, DEFAULT_THRESHOLD))
        backward = (
            (pair.b, pair.a, replace(pair, is_reversed=True))
            for pair in find_duplicate_pairs(self._hashes, hashes, DEFAULT_THRESHOLD)
        )
        for image, other, pair in (*forward, *backward):
            best = views[image, other].get(pair.turn)
            if best is None or pair.similarity > best.similarity:
                views[image, other][pair.turn] = pair
        by_image: dict[int, list[list[DuplicatePair]]] = defaultdict(list)
        for (image, _), pairs in views.items():
            by_image[image].append(sorted(pairs.values(), key=lambda pair: -pair.similarity))
        judge = Judge(pixels, self._pixels)
        for image, proposals in by_image.items():
            nearest = sorted(proposals, key=lambda pairs: -pairs[0].similarity)[:MAX_REFUSALS]
            yield image, [self._known_duplicate(judged) for judged in judge.judge(nearest) if judged.verdict.kind != NONE]

    def _known_duplicate(self, judged: JudgedPair) -> KnownDuplicate:
        pair = judged.pair
        known = self._ids[pair.a if pair.is_reversed else pair.b]
        return KnownDuplicate(known, pair.distance, pair.reason, judged.verdict.kind)


def _load_known(workspace: Workspace, rows: Sequence[SignedImage]) -> Signatures:
    """Return the signatures of images; without a catalog, which is not created for this, they are computed from the files."""
    if workspace.catalog.exists():
        with Catalog.open(workspace) as catalog:
            return load_signatures(workspace, catalog, rows)
    read = read_signatures([workspace.root / row.path for row in rows], "computing signatures")
    found = [(row.image_id, blob) for row, (_, blob) in zip(rows, read, strict=True) if blob is not None]
    return stack_signatures([image_id for image_id, _ in found], [blob for _, blob in found])
