"""Group near-duplicates, choose the representative of each group and set the others aside. Nothing is deleted."""

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
from fototeca.curate.duplicates.pair_cache import PairCache
from fototeca.curate.duplicates.representatives import choose_representatives
from fototeca.curate.duplicates.results import DedupResult
from fototeca.curate.duplicates.separate import PIXELS, Separator
from fototeca.curate.duplicates.signatures import Signatures, SignedImage, load_signatures, read_signatures, stack_signatures
from fototeca.curate.duplicates.signatures import sign_image as sign_image  # part of this contract: what `find_near` is given
from fototeca.curate.duplicates.verify_pairs import DuplicatePair, find_duplicate_pairs
from fototeca.curate.duplicates.view_hashes import hash_views
from fototeca.curate.duplicates.warnings import dedup_warnings
from fototeca.curate.labels.apart import read_apart_partners
from fototeca.curate.manifest import list_versions, read_manifest
from fototeca.curate.quality.checks import delete_scores
from fototeca.curate.snapshot.catalog_state import THRESHOLD

DEFAULT_THRESHOLD = 10
"""Largest Hamming distance, in bits, of a pair that is compared pixel by pixel."""

KEEP_NEAR = "dedup-keep-near"
"""Key of the catalog's metadata: `yes` if the last search set aside equal pixels only."""


def dedup(workspace: Workspace, *, threshold: int = DEFAULT_THRESHOLD, keep_near: bool = False) -> DedupResult:
    """Group the near-duplicates among all images, and set aside all but the representative of each group.

    `threshold`: Hamming distance in bits, 0 to 31, up to which pairs are compared. With `keep_near` only images with equal
    pixels are set aside; near-duplicates are grouped, so that they share a split.

    Raises:
        FototecaError: the threshold is out of range, or the catalog has no images.
    """
    if not 0 <= threshold <= MAX_THRESHOLD:
        raise FototecaError(f"the threshold must be between 0 and {MAX_THRESHOLD} bits, not {threshold}", "try 10")
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all()
        if not images:
            raise FototecaError("there are no images yet", "collect some: fototeca collect --help")
        signatures = load_signatures(workspace, catalog, images)
        if len(signatures) < len(images):
            notify(f"{len(images) - len(signatures)} stored images cannot be read and are left out; run: fototeca curate quality")
            delete_scores(catalog, {image.image_id for image in images} - set(signatures.ids))
        known = {image.image_id: image for image in images}
        groups, components = _find_groups(catalog, signatures, known, threshold)
        rows = _group_rows(signatures, known, groups, _read_priorities(workspace, catalog, known), keep_near)
        with catalog.transaction():
            catalog.groups.replace(rows, components)
            catalog.metadata.set(THRESHOLD, str(threshold))
            catalog.metadata.set(KEEP_NEAR, "yes" if keep_near else "")
        for line in dedup_warnings(catalog.images.all(), workspace.settings):
            notify(line)
        set_aside = sum(image.status == "duplicate" for image in catalog.images.all())
    return DedupResult(len(images), len(groups), set_aside)


def _find_groups(
    catalog: Catalog,
    signatures: Signatures,
    images: Mapping[str, ImageRow],
    threshold: int,
) -> tuple[list[Group], list[list[str]]]:
    """Return groups of indices, and the connected components of verified pairs as lists of image ids."""

    def rank(index: int) -> tuple[object, ...]:
        return rank_image(images[signatures.ids[index]])

    equal = _equal_pixels(signatures, rank)
    firsts = sorted(equal)
    pairs = PairCache(catalog, signatures.take(firsts), threshold)
    classes = [(first, *equal[first]) for first in firsts]
    separator = Separator(signatures.ids, read_apart_partners(catalog), classes, pairs.ties, pairs.find_matches)
    sets: dict[int, list[int]] = defaultdict(list)
    for member, root in enumerate(pairs.components.roots(np.arange(len(firsts))).tolist()):
        sets[root].append(member)
    groups, separated, components = [], [], []
    for members in tqdm(sets.values(), desc="groups", unit="group", delay=2.0, leave=False, disable=None):
        if separator.concerns(members):
            parts = separator.split(members)
            separated += [group for part in parts for group in split_component(part, rank, separator.find_matches)]
            components += parts
            for member in members:
                del equal[firsts[member]]
        else:
            found = split_component(members, lambda i: rank(firsts[i]), pairs.find_matches)
            groups += [{firsts[index]: tie for index, tie in group.items()} for group in found]
            components.append([index for member in members for index in classes[member]])
    tied = [[signatures.ids[index] for index in component] for component in components]
    return [*_with_find_equal(groups, equal), *separated], tied


def _equal_pixels(images: Signatures, rank: Callable[[int], tuple[object, ...]]) -> dict[int, list[int]]:
    """Return the best-ranked of the images with equal pixels, mapped to the others."""
    same = defaultdict(list)
    for index, digest in enumerate(images.digests):
        same[digest].append(index)
    ranked = [sorted(indices, key=rank) for indices in same.values()]
    return {indices[0]: indices[1:] for indices in ranked}


def _with_find_equal(groups: list[Group], equal: Mapping[int, list[int]]) -> list[Group]:
    """Add the images with equal pixels to the groups; equal images without a group form their own."""
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
    priorities: Mapping[str, KeepPriority],
    keep_near: bool,
) -> list[GroupRow]:
    """Return the catalog rows of the members, best first by `rank_copy`; see `choose_representatives` for those that stay."""
    before = {image.image_id: image.group for image in images.values() if image.group}
    names = name_groups([[signatures.ids[index] for index in group] for group in groups], before)
    rows = []
    for name, group in zip(names, groups, strict=True):
        ids = {signatures.ids[index]: index for index in group}
        ranked = sorted(ids, key=lambda image_id: rank_copy(images[image_id], priorities[image_id]))
        digests = {image_id: signatures.digests[index] for image_id, index in ids.items()}
        held_out = {image_id for image_id in ids if priorities[image_id].held_out}
        chosen = choose_representatives([images[image_id] for image_id in ranked], digests, held_out, keep_near)
        for image_id in ranked:
            tie = group[ids[image_id]]
            rows.append(GroupRow(image_id, name, image_id in chosen, tie.reason, tie.distance))
    return rows


def _read_priorities(workspace: Workspace, catalog: Catalog, images: Mapping[str, ImageRow]) -> dict[str, KeepPriority]:
    versions = list_versions(workspace)
    held_out = {row.image_id for version in versions for row in read_manifest(workspace, version).split("test")}
    with_source = catalog.provenance.attributed_images()
    return {image_id: KeepPriority(image_id in held_out, image_id in with_source) for image_id in images}


# ---- new images compared with known ones


@dataclass(frozen=True)
class KnownDuplicate:
    """The known image that a new image duplicates."""

    image_id: str
    distance: int
    reason: str


def find_known_duplicates(
    workspace: Workspace, signatures: Sequence[bytes | None], rows: Sequence[SignedImage]
) -> list[KnownDuplicate | None]:
    """Return for each signature of a new image the known image that it duplicates, the nearest of several.

    None where there is no duplicate or no signature.
    """
    known = _load_known(workspace, rows)
    places = [place for place, blob in enumerate(signatures) if blob is not None]
    new = stack_signatures([str(place) for place in places], [blob for blob in signatures if blob is not None])
    found: dict[int, list[KnownDuplicate]] = defaultdict(list)
    for place, near in (*_find_equal(new, known), *_find_near(new, known)):
        found[places[place]].append(near)
    return [min(found[place], key=lambda near: near.distance) if place in found else None for place in range(len(signatures))]


def _load_known(workspace: Workspace, rows: Sequence[SignedImage]) -> Signatures:
    """Return the signatures of images; without a catalog, which is not created for this, they are computed from the files."""
    if workspace.catalog.exists():
        with Catalog.open(workspace) as catalog:
            return load_signatures(workspace, catalog, rows)
    read = read_signatures([workspace.root / row.path for row in rows], "computing signatures")
    found = [(row.image_id, blob) for row, (_, blob) in zip(rows, read, strict=True) if blob is not None]
    return stack_signatures([image_id for image_id, _ in found], [blob for _, blob in found])


def _find_equal(new: Signatures, known: Signatures) -> Iterable[tuple[int, KnownDuplicate]]:
    by_digest = dict(zip(known.digests, known.ids, strict=True))
    for place, digest in enumerate(new.digests):
        if digest in by_digest:
            yield place, KnownDuplicate(by_digest[digest], 0, PIXELS)


def _find_near(new: Signatures, known: Signatures) -> Iterable[tuple[int, KnownDuplicate]]:
    """Search views of the new images among the known ones, and views of the known among the new."""

    def known_duplicate(copy: DuplicatePair, image: int) -> KnownDuplicate:
        return KnownDuplicate(known.ids[image], copy.distance, copy.reason)

    if len(new) and len(known):
        new_hashes, known_hashes = hash_views(new), hash_views(known)
        yield from (
            (copy.a, known_duplicate(copy, copy.b)) for copy in find_duplicate_pairs(new_hashes, known_hashes, DEFAULT_THRESHOLD)
        )
        yield from (
            (copy.b, known_duplicate(copy, copy.a)) for copy in find_duplicate_pairs(known_hashes, new_hashes, DEFAULT_THRESHOLD)
        )
