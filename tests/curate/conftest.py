"""Catalogs filled without collecting: small images of one colour, their labels decided as a source would."""

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
    """A PNG of one colour, different for every number."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (number % 256, number // 256 % 256, number // 65536)).save(file, "PNG")
    return file.getvalue()


def add(workspace: Workspace, labels: Sequence[str], start: int = 0, source: str = "site") -> list[str]:
    """Store an image per label, numbered from `start`, and decide its label."""
    found = []
    with Catalog.open(workspace) as catalog, catalog.transaction():
        for number, label in enumerate(labels, start):
            image_id, path = store_image(workspace, png_bytes(number), "PNG")
            finding = Provenance(f"https://example.org/{number}.png", source, label, author="author A", license="CC-BY-4.0")
            candidate = catalog.candidates.add(finding, finding.url)
            phash = hashlib.sha256(image_id.encode()).hexdigest()[:16]
            row = ImageRow(image_id, workspace.relative(path), "PNG", 64, 48, "RGB", 9, phash)
            catalog.candidates.record(candidate.candidate_id, "accepted", image=row)
            catalog.decisions.add(image_id, Edit.relabel(label), by=Actor.source(source), reason=f"found as {label}")
            found.append(image_id)
    return found


def group(workspace: Workspace, groups: Sequence[Sequence[str]], keep_near: bool = False) -> None:
    """Make these the near-duplicate groups, named after and keeping their first image."""
    rows = [
        GroupRow(image_id, members[0], keep_near or image_id == members[0], "test", 0)
        for members in groups
        for image_id in members
    ]
    with Catalog.open(workspace) as catalog:
        catalog.groups.replace(rows)


@pytest.fixture
def add_images() -> AddImages:
    """The function that fills a catalog."""
    return add


@pytest.fixture
def group_images() -> Callable[..., None]:
    """The function that sets the groups."""
    return group


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Writing a file beyond `size` bytes fails, as on a full disk."""
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
