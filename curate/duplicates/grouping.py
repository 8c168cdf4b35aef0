"""Search for duplicates among images and form groups, components and ties from the verdicts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from fototeca.collect.catalog import Catalog, GroupRow, ImageRow, TieRow
from fototeca.core.kinds import Number
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.clustering import Group, KeepPriority, Match, name_groups, rank_copy, rank_image, split_component
from fototeca.curate.duplicates.links import Tie, find_fixed_cameras, link_components
from fototeca.curate.duplicates.native_pixels import PixelCache
from fototeca.curate.duplicates.native_verify import DEFAULT_SIMILARITY, Judge
from fototeca.curate.duplicates.pair_cache import PairCache
from fototeca.curate.duplicates.representatives import choose_representatives
from fototeca.curate.duplicates.results import TieCounts
from fototeca.curate.duplicates.separate import PIXELS, Separator
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.verdict import ALTERED, COPY, RESHOT, TURNED
from fototeca.curate.labels.apart import read_apart_partners
from fototeca.curate.manifest import list_versions, read_manifest
from fototeca.curate.snapshot.catalog_state import THRESHOLD, THRESHOLD_KIND
from fototeca.curate.union_find import UnionFind

DEFAULT_THRESHOLD = 10
"""Largest Hamming distance, in bits, of a pair that is compared pixel by pixel."""

_SIMILARITY, _KEEP_NEAR = "dedup-similarity", "dedup-keep-near"


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search: bits in which hashes may differ, how alike a copy must be, and whether near copies are kept."""

    threshold: int = DEFAULT_THRESHOLD
    similarity: float = DEFAULT_SIMILARITY
    keep_near: bool = False

    def save(self, catalog: Catalog) -> None:
        """Store the options of the last search in the catalog."""
        catalog.metadata.set(THRESHOLD, str(self.threshold))
        catalog.metadata.set(_SIMILARITY, str(self.similarity))
        catalog.metadata.set(_KEEP_NEAR, "yes" if self.keep_near else "")

    @classmethod
    def load(cls, catalog: Catalog) -> SearchOptions:
        """Return the options of the last search, or the defaults."""
        threshold = catalog.metadata.get_as(THRESHOLD, THRESHOLD_KIND)
        similarity = catalog.metadata.get_as(_SIMILARITY, Number(0, 1))
        return cls(
            DEFAULT_THRESHOLD if threshold is None else threshold,
            DEFAULT_SIMILARITY if similarity is None else similarity,
            bool(catalog.metadata.get(_KEEP_NEAR)),
        )


@dataclass(frozen=True)
class Grouping:
    """Rows of the grouped images, components as image ids, ties, sizes of fixed cameras, and numbers of ties by kind."""

    rows: list[GroupRow]
    components: list[list[str]]
    ties: list[TieRow]
    fixed_cameras: tuple[int, ...]
    counts: TieCounts


def group_images(
    workspace: Workspace,
    catalog: Catalog,
    signatures: Signatures,
    images: Mapping[str, ImageRow],
    options: SearchOptions,
    total: int,
) -> Grouping:
    """Search and group images. `images`: those of the signatures, by id. `total`: number of images in the catalog."""
    rows_by_index = [images[image_id] for image_id in signatures.ids]

    def rank(index: int) -> tuple[object, ...]:
        return rank_image(rows_by_index[index])

    equal = _equal_pixels(signatures, rank)
    firsts = sorted(equal)
    pixels = PixelCache([workspace.root / rows_by_index[index].path for index in firsts])
    judge = Judge(pixels, pixels, options.similarity)
    pairs = PairCache(catalog, signatures.take(firsts), judge, threshold=options.threshold, similarity=options.similarity)
    strong = _StrongTies(pairs, [rows_by_index[index] for index in firsts], mirror=workspace.settings.mirror)
    classes = [(first, *equal[first]) for first in firsts]
    partners = read_apart_partners(catalog)
    separator = Separator(signatures.ids, partners, classes, [(a, b) for a, b, _ in strong.ties], strong.find_matches)
    groups, separated, components = [], [], []
    for members in tqdm(strong.components(), desc="groups", unit="group", delay=2.0, leave=False, disable=None):
        if separator.concerns(members):
            parts = separator.split(members)
            separated += [group for part in parts for group in split_component(part, rank, separator.find_matches)]
            components += parts
            for member in members:
                del equal[firsts[member]]
        else:
            found = split_component(members, lambda i: rank(firsts[i]), strong.find_matches)
            groups += [{firsts[index]: tie for index, tie in group.items()} for group in found]
            components.append([index for member in members for index in classes[member]])
    weak = [(firsts[a], firsts[b], kind) for a, b, kind in strong.weak_ties]
    links = link_components(components, weak, dict(enumerate(rows_by_index)), partners, total)
    whole = [*_with_equal(groups, equal), *separated]
    return Grouping(
        _group_rows(signatures, images, whole, _read_priorities(workspace, catalog, images), options.keep_near),
        [[signatures.ids[index] for index in component] for component in links.components],
        links.ties,
        links.unlinked,
        TieCounts(**Counter(kind for _, _, kind in (*strong.ties, *strong.weak_ties))),
    )


class _StrongTies:
    """The ties between images with distinct pixels that make copies, and those that do not.

    Two images of a fixed camera are two exposures, even where they look equal. Without `mirror`, a mirrored image is not a copy.
    """

    def __init__(self, pairs: PairCache, images: Sequence[ImageRow], *, mirror: bool) -> None:
        self._pairs, self._mirror = pairs, mirror
        self._size = len(images)
        self._cameras = find_fixed_cameras([(a, b, match.kind) for a, b, match in pairs.ties], images)
        self.ties: list[Tie] = []
        self.weak_ties: list[Tie] = []
        for a, b, match in pairs.ties:
            if self._is_strong(a, b, match):
                self.ties.append((a, b, match.kind))
            else:
                self.weak_ties.append((a, b, self._weak_kind(a, b, match)))

    def _weak_kind(self, a: int, b: int, match: Match) -> str:
        """Return the kind of a tie that makes no copies. Nobody needs to review the pairs of a fixed camera."""
        if self._is_one_camera(a, b):
            return RESHOT if match.kind in (COPY, RESHOT) else ALTERED
        return match.kind

    def _is_one_camera(self, a: int, b: int) -> bool:
        return a in self._cameras and self._cameras[a] == self._cameras.get(b)

    def _is_strong(self, a: int, b: int, match: Match) -> bool:
        if match.kind == COPY:
            return not self._is_one_camera(a, b)
        return match.kind == TURNED and self._mirror

    def find_matches(self, center: int, others: Sequence[int]) -> Mapping[int, Match]:
        """Return the copies of a center among others."""
        matches = self._pairs.find_matches(center, others)
        return {other: match for other, match in matches.items() if self._is_strong(center, other, match)}

    def components(self) -> list[list[int]]:
        """Return the sets of images that ties connect, single images included."""
        sets = UnionFind(self._size)
        for a, b, _ in self.ties:
            sets.union(a, b)
        members: dict[int, list[int]] = defaultdict(list)
        for index, root in enumerate(sets.roots().tolist()):
            members[root].append(index)
        return list(members.values())


def _equal_pixels(images: Signatures, rank: Callable[[int], tuple[object, ...]]) -> dict[int, list[int]]:
    """Return the best-ranked of the images with equal pixels, mapped to the others."""
    same = defaultdict(list)
    for index, digest in enumerate(images.digests):
        same[digest].append(index)
    ranked = [sorted(indices, key=rank) for indices in same.values()]
    return {indices[0]: indices[1:] for indices in ranked}


def _with_equal(groups: list[Group], equal: Mapping[int, list[int]]) -> list[Group]:
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
            rows.append(GroupRow(image_id, name, image_id in chosen, tie.reason, tie.distance, tie.kind))
    return rows


def _read_priorities(workspace: Workspace, catalog: Catalog, images: Mapping[str, ImageRow]) -> dict[str, KeepPriority]:
    versions = list_versions(workspace)
    held_out = {row.image_id for version in versions for row in read_manifest(workspace, version).split("test")}
    with_source = catalog.provenance.attributed_images()
    return {image_id: KeepPriority(image_id in held_out, image_id in with_source) for image_id in images}
