"""Fixtures: workspaces whose catalogs hold small single-color images with source labels."""

from __future__ import annotations

import hashlib
import io
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from fototeca.collect.catalog import Actor, Catalog, Edit, GroupRow, ImageRow, Provenance
from fototeca.collect.store import store_image
from fototeca.core.workspace import Workspace, create_workspace

AddImages = Callable[..., list[str]]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A single-label workspace with the categories cat and dog."""
    return create_workspace(tmp_path / "w", ["cat", "dog"], target=1)


def png_bytes(number: int) -> bytes:
    """Return a single-color PNG, different for every number."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (number % 256, number // 256 % 256, number // 65536)).save(file, "PNG")
    return file.getvalue()


def store_labeled_images(workspace: Workspace, labels: Sequence[str], start: int = 0, source: str = "site") -> list[str]:
    """Store one image per label, numbered from `start`, and record the label as a source's decision."""
    image_ids = []
    with Catalog.open(workspace) as catalog, catalog.transaction():
        for number, label in enumerate(labels, start):
            image_id, path = store_image(workspace, png_bytes(number), "PNG")
            provenance = Provenance(f"https://example.org/{number}.png", source, label, author="author A", license="CC-BY-4.0")
            candidate = catalog.candidates.add(provenance, provenance.url)
            phash = hashlib.sha256(image_id.encode()).hexdigest()[:16]
            row = ImageRow(image_id, workspace.relative(path), "PNG", 64, 48, "RGB", 9, phash)
            catalog.candidates.record(candidate.candidate_id, "accepted", image=row)
            catalog.decisions.add(image_id, Edit.relabel(label), by=Actor.source(source), reason=f"found as {label}")
            image_ids.append(image_id)
    return image_ids


def replace_groups(workspace: Workspace, groups: Sequence[Sequence[str]], keep_near: bool = False) -> None:
    """Replace the near-duplicate groups; the first image of each names it and is its representative."""
    rows = [
        GroupRow(image_id, members[0], keep_near or image_id == members[0], "test", 0)
        for members in groups
        for image_id in members
    ]
    with Catalog.open(workspace) as catalog:
        catalog.groups.replace(rows)


@pytest.fixture
def add_images() -> AddImages:
    """Return the function that adds images to a catalog."""
    return store_labeled_images


@pytest.fixture
def group_images() -> Callable[..., None]:
    """Return the function that replaces the near-duplicate groups."""
    return replace_groups


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Make every write beyond `size` bytes of a file fail, as on a full disk."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
