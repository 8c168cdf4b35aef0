"""Tests for incremental duplicate search: same groups as a full search, without repeated comparisons."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fototeca.collect.catalog import Catalog, ImageRow, Provenance
from fototeca.collect.store import store_image
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup, pair_cache, verify_pairs
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.view_hashes import hash_views
from fototeca.curate.union_find import UnionFind


@cache
def example_images() -> tuple[bytes, ...]:
    """Return PNGs: unrelated images, transformed copies, a chain of crops, equal pixels in other bytes, and flat images."""
    examples: list[Image.Image] = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        layers = [
            np.asarray(Image.fromarray(rng.integers(0, 256, (h, h * 4 // 3, 3), dtype=np.uint8)).resize((240, 180)), np.float64)
            for h in (3, 6, 12, 48)
        ]
        original = Image.fromarray(np.clip((np.average(layers, 0, (4, 3, 2, 1)) - 128) * 1.6 + 128, 0, 255).astype(np.uint8))
        examples += [original, ImageOps.mirror(original), original.resize((160, 120))][: 3 - seed % 2]
        examples += [original.rotate(90, expand=True), ImageOps.expand(original, 16, "black")][: seed % 3]
    chain = examples[0]
    for _ in range(4):
        chain = chain.crop((12, 9, chain.width - 12, chain.height - 9))
        examples.append(chain)
    examples += [Image.new("RGB", (120, 90), (level, level, level)) for level in (200, 203, 206, 209, 90)]
    return (*map(png, examples), png(examples[0], compress_level=0), png(examples[3], compress_level=0))


def png(image: Image.Image, compress_level: int = 6) -> bytes:
    """Encode an image as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=compress_level)
    return file.getvalue()


SEPARATE_GROUP = (3, 4, 5, len(example_images()) - 1)
"""Indices of the second unrelated image and its copies, which form a separate group."""


def store_images(workspace: Workspace, numbers: Iterable[int]) -> None:
    """Store images by index and add them to the catalog."""
    with Catalog.open(workspace) as catalog, catalog.transaction():
        for number in numbers:
            data = example_images()[number]
            image_id, path = store_image(workspace, data, "PNG")
            provenance = Provenance(f"https://example.org/{number}.png", "site", "a")
            with Image.open(io.BytesIO(data)) as image:
                row = ImageRow(image_id, workspace.relative(path), "PNG", *image.size, "RGB", len(data), "0" * 16)
            catalog.candidates.record(catalog.candidates.add(provenance, provenance.url).candidate_id, "accepted", image=row)


GroupMembers = dict[frozenset[str], list[tuple[str, bool, str, float]]]


def read_groups(workspace: Workspace) -> tuple[GroupMembers, dict[frozenset[str], str]]:
    """Return the members of each group with their columns, and the group ids, both by the set of members."""
    members_by_group, names = defaultdict(list), {}
    with Catalog.open(workspace) as catalog:
        rows = catalog.groups.all()
    for row in rows:
        members = frozenset(other.image_id for other in rows if other.group_id == row.group_id)
        members_by_group[members].append((row.image_id, row.is_representative, row.reason, row.distance))
        names[members] = row.group_id
    return dict(members_by_group), names


@pytest.fixture(scope="module")
def full_search_groups(tmp_path_factory: pytest.TempPathFactory) -> GroupMembers:
    """The groups when all images are added before one search."""
    workspace = create_workspace(tmp_path_factory.mktemp("once") / "w", ["a"], target=1)
    store_images(workspace, range(len(example_images())))
    dedup(workspace)
    result, _ = read_groups(workspace)
    assert len(result) >= 5, "the images contain several groups"
    return result


@given(order=st.permutations(range(len(example_images()))), cuts=st.sets(st.integers(1, len(example_images()) - 1), max_size=4))
@settings(max_examples=8, deadline=None)
def test_groups_do_not_depend_on_arrival_order(
    tmp_path_factory: pytest.TempPathFactory, full_search_groups: GroupMembers, order: Sequence[int], cuts: set[int]
) -> None:
    """Members, reasons and distances equal those of a full search, and unchanged groups retain their ids."""
    workspace = create_workspace(tmp_path_factory.mktemp("steps") / "w", ["a"], target=1)
    bounds = [0, *sorted(cuts), len(order)]
    before: dict[frozenset[str], str] = {}
    for start, stop in pairwise(bounds):
        store_images(workspace, order[start:stop])
        dedup(workspace)
        members_by_group, names = read_groups(workspace)
        assert all(names[members] == name for members, name in before.items() if members in names)
        before = names
    assert members_by_group == full_search_groups


def test_unchanged_group_retains_its_id(tmp_path: Path) -> None:
    """A group retains its id although a full search would name it after an image added later."""
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    others = [number for number in range(len(example_images())) if number not in SEPARATE_GROUP]
    *first, last = sorted(SEPARATE_GROUP, key=lambda number: hashlib.sha256(example_images()[number]).hexdigest(), reverse=True)
    steps = []
    for added in (first, [last], others):
        store_images(workspace, added)
        dedup(workspace)
        steps.append(read_groups(workspace)[1])
    (members,) = steps[1]
    assert len(members) == len(SEPARATE_GROUP)
    assert steps[1][members] == steps[2][members] != min(members)[:12]
    assert len(steps[2]) > 1


@pytest.fixture
def compared_pairs(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[bytes]]:
    """Record the pairs whose pixels are compared, as sets of pixel digests."""
    recorded: list[frozenset[bytes]] = []
    compare_views = verify_pairs._compare_views

    def record_and_compare(queries, base, view, part, gray):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        recorded.extend(frozenset((queries.digests[pair[0]], base.digests[pair[1]])) for pair in part)
        return compare_views(queries, base, view, part, gray)

    monkeypatch.setattr(verify_pairs, "_compare_views", record_and_compare)
    return recorded


def test_known_pairs_are_not_compared_again(tmp_path: Path, compared_pairs: list[frozenset[bytes]]) -> None:
    """Only pairs with new images are compared; a changed threshold compares all pairs again."""
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    last = len(example_images()) - 1
    mirrored = 1
    store_images(workspace, set(range(last + 1)) - {mirrored})
    dedup(workspace)
    assert len(compared_pairs) > 20
    compared_pairs.clear()
    dedup(workspace)
    assert compared_pairs == []
    with Catalog.open(workspace) as catalog:
        known_digests = {row["digest"] for row in catalog.database.connection.execute("SELECT digest FROM searched_images")}
    store_images(workspace, [mirrored])
    dedup(workspace)
    assert compared_pairs and not [pair for pair in compared_pairs if pair <= known_digests]
    compared_pairs.clear()
    dedup(workspace, threshold=8)
    assert [pair for pair in compared_pairs if pair <= known_digests]


def test_flat_images_are_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new flat image is compared only with images that are not connected to it yet."""
    compared: list[int] = []
    equal_flat = verify_pairs._equal_flat

    def record_and_compare(many, query):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        compared.append(len(many))
        return equal_flat(many, query)

    monkeypatch.setattr(verify_pairs, "_equal_flat", record_and_compare)
    values = np.random.default_rng(0).integers(200, 202, (40, 64, 64, 3), dtype=np.uint8)
    shades = Signatures([str(n) for n in range(40)], [bytes([n]) * 16 for n in range(40)], values)
    duplicate_pairs = list(verify_pairs.find_flat_pairs(hash_views(shades), range(40)))
    assert len(duplicate_pairs) == 39 and sum(compared) == 39, "the first image is compared with all others and connects them"
    compared.clear()
    assert list(verify_pairs.find_flat_pairs(hash_views(shades), [])) == [] and not compared
    assert {copy.a for copy in verify_pairs.find_flat_pairs(hash_views(shades), [39])} == {39}


def test_stored_pairs_have_reason_and_distance(tmp_path: Path) -> None:
    """Every stored pair has its reason and its distance."""
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    store_images(workspace, range(len(example_images())))
    dedup(workspace)
    with Catalog.open(workspace) as catalog:
        rows = catalog.database.connection.execute("SELECT reason, distance FROM duplicate_pairs").fetchall()
    assert len(rows) >= 5 and all(row["reason"] and 0 <= row["distance"] <= 10 for row in rows)
    assert {"mirrored", "cropped"} <= {row["reason"] for row in rows}


def interrupt(*arguments: object) -> list[object]:
    """Raise KeyboardInterrupt, as Ctrl-C does."""
    raise KeyboardInterrupt


def test_interrupted_search_is_repeated(
    tmp_path: Path, full_search_groups: GroupMembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search interrupted in either step gives the same groups when it is repeated."""
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    store_images(workspace, range(10))
    dedup(workspace)
    store_images(workspace, range(10, len(example_images())))

    for name in ("find_duplicate_pairs", "compare_pairs"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(pair_cache, name, interrupt)
            dedup(workspace)
    dedup(workspace)
    assert read_groups(workspace)[0] == full_search_groups


def test_interrupted_search_resumes_after_the_last_batch(
    tmp_path: Path, full_search_groups: GroupMembers, monkeypatch: pytest.MonkeyPatch, compared_pairs: list[frozenset[bytes]]
) -> None:
    """Batches give the groups of a full search; after an interrupt, completed batches are not searched again."""
    monkeypatch.setattr(pair_cache, "BATCH", 7)
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    store_images(workspace, range(len(example_images())))
    find, calls = pair_cache.find_duplicate_pairs, []

    def interrupt_fourth_call(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) > 3:  # the second batch is searched twice: for its own views, and for the views of the first
            raise KeyboardInterrupt
        return find(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pair_cache, "find_duplicate_pairs", interrupt_fourth_call)
        dedup(workspace)
    with Catalog.open(workspace) as catalog:
        known_digests = {row["digest"] for row in catalog.database.connection.execute("SELECT digest FROM searched_images")}
    assert len(known_digests) == 14
    compared_pairs.clear()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pair_cache, "compare_pairs", interrupt)
        dedup(workspace)
    assert compared_pairs and not [pair for pair in compared_pairs if pair <= known_digests]
    dedup(workspace)
    assert read_groups(workspace)[0] == full_search_groups


def test_memory_is_bounded_for_thousands_of_similar_images() -> None:
    """4,000 similar images form one set without a list of all 16 million pairs per view."""
    values = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8), 4000, axis=0)
    values = values.repeat(8, axis=1).repeat(8, axis=2)
    values[:, 0, 0, 0], values[:, 0, 0, 1] = np.arange(4000) % 256, np.arange(4000) // 256
    frames = hash_views(Signatures([str(n) for n in range(4000)], [n.to_bytes(16) for n in range(4000)], values))
    sets = UnionFind(4000)
    tracemalloc.start()
    for copy in verify_pairs.find_duplicate_pairs(frames, frames, 10, sets.connected):
        sets.union(copy.a, copy.b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(sets.sets()) == 1 and len(sets.sets()[0]) == 4000
    assert peak < 300e6, "16 million pairs as Python objects take ten times as much"
