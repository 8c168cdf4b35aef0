"""Images that come later: the groups are those of a search from nothing, and nothing old is looked at again."""

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
from fototeca.curate.duplicates import dedup
from fototeca.curate.duplicates import pair_cache as pairs
from fototeca.curate.duplicates import verify_pairs as copies
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.view_hashes import hash_views
from fototeca.curate.union_find import UnionFind


@cache
def images() -> tuple[bytes, ...]:
    """PNGs: strangers, copies under views and edits, a chain of crops, equal pixels in other bytes, plain surfaces."""
    found: list[Image.Image] = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        layers = [
            np.asarray(Image.fromarray(rng.integers(0, 256, (h, h * 4 // 3, 3), dtype=np.uint8)).resize((240, 180)), np.float64)
            for h in (3, 6, 12, 48)
        ]
        whole = Image.fromarray(np.clip((np.average(layers, 0, (4, 3, 2, 1)) - 128) * 1.6 + 128, 0, 255).astype(np.uint8))
        found += [whole, ImageOps.mirror(whole), whole.resize((160, 120))][: 3 - seed % 2]
        found += [whole.rotate(90, expand=True), ImageOps.expand(whole, 16, "black")][: seed % 3]
    chain = found[0]
    for _ in range(4):
        chain = chain.crop((12, 9, chain.width - 12, chain.height - 9))
        found.append(chain)
    found += [Image.new("RGB", (120, 90), (level, level, level)) for level in (200, 203, 206, 209, 90)]
    return (*map(png, found), png(found[0], compress_level=0), png(found[3], compress_level=0))


def png(image: Image.Image, compress_level: int = 6) -> bytes:
    """The image as a file."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=compress_level)
    return file.getvalue()


ALONE = (3, 4, 5, len(images()) - 1)
"""The images made of the second stranger, which are a group by themselves."""


def add(workspace: Workspace, numbers: Iterable[int]) -> None:
    """Let images come."""
    with Catalog.open(workspace) as catalog, catalog.transaction():
        for number in numbers:
            data = images()[number]
            image_id, path = store_image(workspace, data, "PNG")
            place = Provenance(f"https://example.org/{number}.png", "site", "a")
            with Image.open(io.BytesIO(data)) as image:
                row = ImageRow(image_id, workspace.relative(path), "PNG", *image.size, "RGB", len(data), "0" * 16)
            catalog.candidates.record(catalog.candidates.add(place, place.url).candidate_id, "accepted", image=row)


Told = dict[frozenset[str], list[tuple[str, bool, str, float]]]


def groups(workspace: Workspace) -> tuple[Told, dict[frozenset[str], str]]:
    """The groups as sets of images, all that is said of their members, and the groups' ids."""
    told, names = defaultdict(list), {}
    with Catalog.open(workspace) as catalog:
        rows = catalog.groups.all()
    for row in rows:
        members = frozenset(other.image_id for other in rows if other.group_id == row.group_id)
        told[members].append((row.image_id, row.is_representative, row.reason, row.distance))
        names[members] = row.group_id
    return dict(told), names


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The groups when all images come at once."""
    workspace = create_workspace(tmp_path_factory.mktemp("once") / "w", ["a"], target=1)
    add(workspace, range(len(images())))
    dedup(workspace)
    found, _ = groups(workspace)
    assert len(found) >= 5, "there is something to find"
    return found


@given(order=st.permutations(range(len(images()))), cuts=st.sets(st.integers(1, len(images()) - 1), max_size=4))
@settings(max_examples=8, deadline=None)
def test_any_order_of_arrival_gives_the_same_groups(
    tmp_path_factory: pytest.TempPathFactory, at_once: Told, order: Sequence[int], cuts: set[int]
) -> None:
    """Member by member, with reasons and distances; a group that stays as it was keeps its id."""
    workspace = create_workspace(tmp_path_factory.mktemp("steps") / "w", ["a"], target=1)
    bounds = [0, *sorted(cuts), len(order)]
    before: dict[frozenset[str], str] = {}
    for start, stop in pairwise(bounds):
        add(workspace, order[start:stop])
        dedup(workspace)
        told, names = groups(workspace)
        assert all(names[members] == name for members, name in before.items() if members in names)
        before = names
    assert told == at_once


def test_a_group_that_others_do_not_join_keeps_its_id(tmp_path: Path) -> None:
    """Also one that would have another id if it were found only now: its smallest image came after it was named."""
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    others = [number for number in range(len(images())) if number not in ALONE]
    *first, last = sorted(ALONE, key=lambda number: hashlib.sha256(images()[number]).hexdigest(), reverse=True)
    found = []
    for coming in (first, [last], others):
        add(workspace, coming)
        dedup(workspace)
        found.append(groups(workspace)[1])
    (members,) = found[1]
    assert len(members) == len(ALONE)
    assert found[1][members] == found[2][members] != min(members)[:12]
    assert len(found[2]) > 1


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[bytes]]:
    """The pairs whose pixels are compared from here on, by the digests of their pixels."""
    seen: list[frozenset[bytes]] = []
    check = copies._compare_views

    def watched(asked, base, view, part, grey):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        seen.extend(frozenset((asked.digests[pair[0]], base.digests[pair[1]])) for pair in part)
        return check(asked, base, view, part, grey)

    monkeypatch.setattr(copies, "_compare_views", watched)
    return seen


def test_nothing_old_is_verified_again(tmp_path: Path, verified: list[frozenset[bytes]]) -> None:
    """Without new images no pixel is compared; with one, only pairs that it is in; another threshold begins anew."""
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    last = len(images()) - 1
    mirrored = 1
    add(workspace, set(range(last + 1)) - {mirrored})
    dedup(workspace)
    assert len(verified) > 20
    verified.clear()
    dedup(workspace)
    assert verified == []
    with Catalog.open(workspace) as catalog:
        old = {row["digest"] for row in catalog.database.connection.execute("SELECT digest FROM searched_images")}
    add(workspace, [mirrored])
    dedup(workspace)
    assert verified and not [pair for pair in verified if pair <= old]
    verified.clear()
    dedup(workspace, threshold=8)
    assert [pair for pair in verified if pair <= old]


def test_plain_surfaces_are_searched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new one is compared with those that it is not tied to yet, not each with each; the old are not compared again."""
    compared: list[int] = []
    alike = copies._equal_flat

    def watched(many, one):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        compared.append(len(many))
        return alike(many, one)

    monkeypatch.setattr(copies, "_equal_flat", watched)
    values = np.random.default_rng(0).integers(200, 202, (40, 64, 64, 3), dtype=np.uint8)
    shades = Signatures([str(n) for n in range(40)], [bytes([n]) * 16 for n in range(40)], values)
    found = list(copies.find_flat_pairs(hash_views(shades), range(40)))
    assert len(found) == 39 and sum(compared) == 39, "one is compared with all, and ties them"
    compared.clear()
    assert list(copies.find_flat_pairs(hash_views(shades), [])) == [] and not compared
    assert {copy.a for copy in copies.find_flat_pairs(hash_views(shades), [39])} == {39}


def test_pairs_are_kept_with_what_made_them_one(tmp_path: Path) -> None:
    """Every pair that ties a group together has its reason and its distance."""
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    add(workspace, range(len(images())))
    dedup(workspace)
    with Catalog.open(workspace) as catalog:
        rows = catalog.database.connection.execute("SELECT reason, distance FROM duplicate_pairs").fetchall()
    assert len(rows) >= 5 and all(row["reason"] and 0 <= row["distance"] <= 10 for row in rows)
    assert {"mirrored", "cropped"} <= {row["reason"] for row in rows}


def interrupt(*arguments: object) -> list[object]:
    """Somebody presses Ctrl-C."""
    raise KeyboardInterrupt


def test_a_search_that_was_cut_off(tmp_path: Path, at_once: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted among the candidates or among the ties, it is done again to the same end."""
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    add(workspace, range(10))
    dedup(workspace)
    add(workspace, range(10, len(images())))

    for name in ("find_duplicate_pairs", "compare_pairs"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(pairs, name, interrupt)
            dedup(workspace)
    dedup(workspace)
    assert groups(workspace)[0] == at_once


def test_a_search_goes_on_after_the_batches_that_were_kept(
    tmp_path: Path, at_once: Told, monkeypatch: pytest.MonkeyPatch, verified: list[frozenset[bytes]]
) -> None:
    """Batches give the groups of one search; killed in a later one, the earlier are not done again."""
    monkeypatch.setattr(pairs, "BATCH", 7)
    workspace = create_workspace(tmp_path / "w", ["a"], target=1)
    add(workspace, range(len(images())))
    find, calls = pairs.find_duplicate_pairs, []

    def killed(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) > 3:  # the second batch is searched twice: for its own views, and for the views of the first
            raise KeyboardInterrupt
        return find(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pairs, "find_duplicate_pairs", killed)
        dedup(workspace)
    with Catalog.open(workspace) as catalog:
        kept = {row["digest"] for row in catalog.database.connection.execute("SELECT digest FROM searched_images")}
    assert len(kept) == 14
    verified.clear()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pairs, "compare_pairs", interrupt)
        dedup(workspace)
    assert verified and not [pair for pair in verified if pair <= kept]
    dedup(workspace)
    assert groups(workspace)[0] == at_once


def test_thousands_of_like_images_fill_no_memory() -> None:
    """A camera that does not move: one set, found without a list of every pair (16 million a view)."""
    values = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8), 4000, axis=0)
    values = values.repeat(8, axis=1).repeat(8, axis=2)
    values[:, 0, 0, 0], values[:, 0, 0, 1] = np.arange(4000) % 256, np.arange(4000) // 256
    frames = hash_views(Signatures([str(n) for n in range(4000)], [n.to_bytes(16) for n in range(4000)], values))
    sets = UnionFind(4000)
    tracemalloc.start()
    for copy in copies.find_duplicate_pairs(frames, frames, 10, sets.connected):
        sets.union(copy.a, copy.b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(sets.sets()) == 1 and len(sets.sets()[0]) == 4000
    assert peak < 300e6, "16 million pairs as Python's numbers take ten times as much"
