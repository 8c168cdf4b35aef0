"""`curate dedup`: near-duplicates in groups, the best copy of each kept, the rest set aside; nothing is deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from fototeca.collect.catalog import Catalog, GroupRow, ImageRow
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.clustering import Group, KeepPriority, Match, name_groups, rank_copy, rank_image, split_component
from fototeca.curate.duplicates.hamming_search import MAX_THRESHOLD
from fototeca.curate.duplicates.pair_cache import Pairs
from fototeca.curate.duplicates.signatures import Signatures, SignedImage, load_signatures, read_images, stack_signatures
from fototeca.curate.duplicates.signatures import sign_image as sign_image  # part of this contract: what `find_near` is given
from fototeca.curate.duplicates.verify_pairs import DuplicatePair, find_copies
from fototeca.curate.duplicates.view_hashes import look
from fototeca.curate.manifest import list_versions, read_manifest
from fototeca.curate.quality.checks import forget_scores
from fototeca.curate.snapshot.catalog_state import THRESHOLD

DEFAULT_THRESHOLD = 10
"""Bits in which the hashes of two images may differ for the pair to be looked at pixel by pixel."""

PIXELS = "pixels"
"""The tie of images whose pixels are all equal."""


def dedup(workspace: Workspace, *, threshold: int = DEFAULT_THRESHOLD, keep_near: bool = False) -> dict[str, int]:
    """Group the near-duplicates among all images, and set aside all but the best of each group.

    With `keep_near` only copies with equal pixels are set aside; near ones are grouped, so that no split parts them.
    Returns {"images", "groups", "set_aside"}. FototecaError (2) for a threshold outside 0 to 31, or where there is no image.
    """
    if not 0 <= threshold <= MAX_THRESHOLD:
        raise FototecaError(f"the threshold must lie between 0 and {MAX_THRESHOLD} bits, not {threshold}", "try 10")
    with Catalog.open(workspace) as catalog:
        images = catalog.images()
        if not images:
            raise FototecaError("there are no images yet", "collect some: fototeca collect --help")
        signatures = load_signatures(workspace, catalog, images)
        if len(signatures) < len(images):
            notify(f"{len(images) - len(signatures)} stored images cannot be read and are left out: run fototeca curate check")
            forget_scores(catalog, {image.image_id for image in images} - set(signatures.ids))
        known = {image.image_id: image for image in images}
        groups, components = _find_groups(catalog, signatures, known, threshold)
        rows = _group_rows(signatures, known, groups, _standings(workspace, catalog, known), keep_near)
        with catalog.transaction():
            catalog.replace_groups(rows, components)
            catalog.set_fact(THRESHOLD, str(threshold))
        set_aside = sum(image.status == "duplicate" for image in catalog.images())
    return {"images": len(images), "groups": len(groups), "set_aside": set_aside}


def _find_groups(
    catalog: Catalog,
    signatures: Signatures,
    images: Mapping[str, ImageRow],
    threshold: int,
) -> tuple[list[Group], list[list[str]]]:
    """Groups of indices of `images`; and all image ids, those together that verified pairs tie, across groups too."""

    def rank(index: int) -> tuple[object, ...]:
        return rank_image(images[signatures.ids[index]])

    equal = _equal_pixels(signatures, rank)
    firsts = sorted(equal)
    pairs = Pairs(catalog, signatures.take(firsts), threshold)
    groups = []
    sets = pairs.components.sets()
    for members in tqdm(sets, desc="groups", unit="group", delay=2.0, leave=False, disable=None):
        found = split_component(members, lambda i: rank(firsts[i]), pairs.ties)
        groups += [{firsts[index]: tie for index, tie in group.items()} for group in found]
    tied: dict[int, list[str]] = defaultdict(list)
    for root, first in zip(pairs.components.roots(np.arange(len(firsts))).tolist(), firsts, strict=True):
        tied[root] += [signatures.ids[index] for index in (first, *equal[first])]
    return _with_equals(groups, equal), list(tied.values())


def _equal_pixels(images: Signatures, rank: Callable[[int], tuple[object, ...]]) -> dict[int, list[int]]:
    """The best of all images with the same pixels, with the others."""
    same = defaultdict(list)
    for index, digest in enumerate(images.digests):
        same[digest].append(index)
    ranked = [sorted(indices, key=rank) for indices in same.values()]
    return {indices[0]: indices[1:] for indices in ranked}


def _with_equals(groups: list[Group], equal: Mapping[int, list[int]]) -> list[Group]:
    """The groups, each member followed by those with its pixels; equal images that are in no group make their own."""
    grouped = {index for group in groups for index in group}
    result = []
    for group in [*groups, *({index: Match("best", 0.0)} for index, same in equal.items() if same and index not in grouped)]:
        first = next(iter(group))
        whole = dict(group)
        for index, tie in group.items():
            whole.update(dict.fromkeys(equal[index], Match(PIXELS, 0.0) if index == first else tie))
        result.append(whole)
    return result


def _group_rows(
    signatures: Signatures,
    images: Mapping[str, ImageRow],
    groups: Sequence[Group],
    standings: Mapping[str, KeepPriority],
    keep_near: bool,
) -> list[GroupRow]:
    """What the catalog is to say of each member. The best copy by `rank_copy` is kept, and whatever was held out for test."""
    before = {image.image_id: image.group for image in images.values() if image.group}
    names = name_groups([[signatures.ids[index] for index in group] for group in groups], before)
    rows = []
    for name, group in zip(names, groups, strict=True):
        ids = {signatures.ids[index]: index for index in group}
        seen: set[bytes] = set()
        for image_id in sorted(ids, key=lambda image_id: rank_copy(images[image_id], standings[image_id])):
            digest, tie = signatures.digests[ids[image_id]], group[ids[image_id]]
            kept = not seen or standings[image_id].held_out or (keep_near and digest not in seen)
            seen.add(digest)
            rows.append(GroupRow(image_id, name, kept, tie.reason, tie.distance))
    return rows


def _standings(workspace: Workspace, catalog: Catalog, images: Mapping[str, ImageRow]) -> dict[str, KeepPriority]:
    versions = list_versions(workspace)
    held_out = {row.image_id for version in versions for row in read_manifest(workspace, version).split("test")}
    sourced = {
        row["image_id"]
        for row in catalog.connection.execute(
            "SELECT image_id FROM findings JOIN candidates USING (candidate_id)"
            " WHERE license != 'unknown' OR author != '' OR page_url != ''"
        )
    }
    return {image_id: KeepPriority(image_id in held_out, image_id in sourced) for image_id in images}


# ---- new images against known ones


@dataclass(frozen=True)
class KnownDuplicate:
    """The known image that a new image is a copy of."""

    image_id: str
    distance: int
    reason: str


def find_known_duplicates(
    workspace: Workspace, signatures: Sequence[bytes | None], rows: Sequence[SignedImage]
) -> list[KnownDuplicate | None]:
    """For each new image's signature the known image it copies, the nearest of several; None for none, and for no signature."""
    known = _known(workspace, rows)
    places = [place for place, blob in enumerate(signatures) if blob is not None]
    new = stack_signatures([str(place) for place in places], [blob for blob in signatures if blob is not None])
    found: dict[int, list[KnownDuplicate]] = defaultdict(list)
    for place, near in (*_equals(new, known), *_copies(new, known)):
        found[places[place]].append(near)
    return [min(found[place], key=lambda near: near.distance) if place in found else None for place in range(len(signatures))]


def _known(workspace: Workspace, rows: Sequence[SignedImage]) -> Signatures:
    """The signatures of images; without a catalog, which is not made for this, each file is looked at again."""
    if workspace.catalog.exists():
        with Catalog.open(workspace) as catalog:
            return load_signatures(workspace, catalog, rows)
    read = read_images([workspace.root / row.path for row in rows], "looking at images")
    found = [(row.image_id, blob) for row, (_, blob) in zip(rows, read, strict=True) if blob is not None]
    return stack_signatures([image_id for image_id, _ in found], [blob for _, blob in found])


def _equals(new: Signatures, known: Signatures) -> Iterable[tuple[int, KnownDuplicate]]:
    by_digest = dict(zip(known.digests, known.ids, strict=True))
    for place, digest in enumerate(new.digests):
        if digest in by_digest:
            yield place, KnownDuplicate(by_digest[digest], 0, PIXELS)


def _copies(new: Signatures, known: Signatures) -> Iterable[tuple[int, KnownDuplicate]]:
    """Views of the new among the known, and views of the known among the new."""

    def near(copy: DuplicatePair, image: int) -> KnownDuplicate:
        return KnownDuplicate(known.ids[image], copy.distance, copy.reason)

    if len(new) and len(known):
        asked, base = look(new), look(known)
        yield from ((copy.a, near(copy, copy.b)) for copy in find_copies(asked, base, DEFAULT_THRESHOLD))
        yield from ((copy.b, near(copy, copy.a)) for copy in find_copies(base, asked, DEFAULT_THRESHOLD))
