"""Signatures for the search for duplicates: a digest of the pixels and a small thumbnail, from one decode."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from os import cpu_count
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from fototeca.collect.catalog import Catalog
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.transforms import SIDE
from fototeca.vision.image import DecodeError, decode_with_info
from fototeca.vision.threads import image_threads

VERSION = 1
"""Raised when signatures change their meaning; stored ones are then recomputed."""

_DIGEST = 16
_BATCH = 64


class SignedImage(Protocol):
    """An image of the catalog or of a manifest."""

    @property
    def image_id(self) -> str:
        """SHA-256 of the file."""

    @property
    def path(self) -> str:
        """Path of the file, relative to the workspace."""


@dataclass(frozen=True)
class Signatures:
    """Signatures of N images, in the order of `ids`."""

    ids: list[str]
    digests: list[bytes]
    """Equal if mode, size and all upright pixels are equal."""
    thumbnails: NDArray[np.uint8]
    """(N, SIDE, SIDE, 3), RGB, each image resized to a square."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Sequence[int]) -> Signatures:
        """Return the images at the indices, in that order."""
        return Signatures([self.ids[i] for i in indices], [self.digests[i] for i in indices], self.thumbnails[list(indices)])


def read_signature(path: Path) -> bytes:
    """Compute the signature of an image file. DecodeError or OSError if it cannot be read."""
    image, info = decode_with_info(path)
    return sign_image(image, info.mode)


def sign_image(image: Image.Image, mode: str) -> bytes:
    """Compute the signature of a decoded image whose file has `mode`."""
    digest = hashlib.blake2b(f"{mode} {image.size}".encode(), digest_size=_DIGEST)
    digest.update(image.tobytes())
    return digest.digest() + image.resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


def stack_signatures(ids: Sequence[str], blobs: Sequence[bytes]) -> Signatures:
    """Return signatures from their stored form."""
    pixels = np.frombuffer(b"".join(blob[_DIGEST:] for blob in blobs), dtype=np.uint8)
    return Signatures(list(ids), [blob[:_DIGEST] for blob in blobs], pixels.reshape(-1, SIDE, SIDE, 3))


def read_signatures(paths: Sequence[Path], progress: str | None = None) -> Iterator[tuple[Path, bytes | None]]:
    """Yield the signature of each file in order, computed by several threads; None for a file that cannot be read."""
    with (
        image_threads(cpu_count() or 1) as pool,
        tqdm(total=len(paths), desc=progress, disable=None if progress else True) as bar,
    ):
        for start in range(0, len(paths), 4 * _BATCH):
            batch = paths[start : start + 4 * _BATCH]
            for path, blob in zip(batch, pool.map(_try_signature, batch), strict=True):
                bar.update()
                yield path, blob


def load_signatures(workspace: Workspace, catalog: Catalog, images: Sequence[SignedImage]) -> Signatures:
    """Return the signatures of images, stored or computed; images whose file cannot be read are left out.

    New signatures are stored in the catalog batch by batch, so that an interrupted search resumes.
    """
    signatures = catalog.duplicate_cache.signatures(VERSION, [image.image_id for image in images])
    missing = [image for image in images if image.image_id not in signatures]
    computed = read_signatures([workspace.root / image.path for image in missing], "computing signatures" if missing else None)
    rows = ((image.image_id, blob) for image, (_, blob) in zip(missing, computed, strict=True) if blob is not None)
    while batch := list(islice(rows, _BATCH)):
        catalog.duplicate_cache.save_signatures(VERSION, batch)
        signatures.update(batch)
    ids = [image.image_id for image in images if image.image_id in signatures]
    return stack_signatures(ids, [signatures[image_id] for image_id in ids])


def _try_signature(path: Path) -> bytes | None:
    try:
        return read_signature(path)
    except (DecodeError, OSError):
        return None
