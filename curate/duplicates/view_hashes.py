"""Hash the transformed views of images for the search for duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fototeca.curate.duplicates.pixel_similarity import is_flat
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.transforms import FULL, WINDOWS, Box, compute_luma, dct_hashes, find_content_box, gradient_hashes

VERSION = 1
"""Raised when a hash column or the verification of pairs changes; cached pairs are then discarded."""

_CHUNK = 1024
_TURNED = ("near", "mirrored", "flipped", "rotated", "turned", "turned", "turned", "turned")
"""Names of `transforms.TURNS`."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class View:
    """A transform of an image: turned, without its border, or one window of it."""

    name: str
    turn: int = 0
    box: Box | None = FULL
    """None: the part within the plain border of the image."""


VIEWS = (
    *(View(name, number) for number, name in enumerate(_TURNED)),
    View("bordered", box=None),
    *(View("cropped", box=window) for window in WINDOWS),
)

KINDS = ("dct", "gradient")
HASH_COLUMNS = tuple((view, kind) for view in VIEWS for kind in KINDS if kind == "dct" or view.box == FULL)
"""Crops have a cosine hash only, which a shift changes less than a gradient hash. The first column of each kind hashes the
untransformed image."""

_BORDERED = HASH_COLUMNS.index((VIEWS[len(_TURNED)], "dct"))


@dataclass(frozen=True)
class ViewHashes:
    """N images with their hashes in the order of HASH_COLUMNS."""

    images: Signatures
    hashes: Hashes
    """(N, columns)"""
    present: NDArray[np.bool_]
    """(N, columns): True if the image has the view; low-information images have none, images without a border not `bordered`."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> ViewHashes:
        """Return the images at the indices, in that order."""
        return ViewHashes(self.images.take(indices), self.hashes[list(indices)], self.present[list(indices)])

    def pack(self, index: int) -> bytes:
        """Return the stored form of one image's hashes."""
        return bytes(self.hashes[index].astype("<u8").tobytes() + np.packbits(self.present[index]).tobytes())


def hash_views(images: Signatures) -> ViewHashes:
    """Hash every view of the images."""
    hashes = np.zeros((len(images), len(HASH_COLUMNS)), np.uint64)
    present = np.repeat(~is_flat(images.thumbnails)[:, None], len(HASH_COLUMNS), axis=1)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        luma = compute_luma(images.thumbnails[part])
        turned = 2 * len(_TURNED)
        hashes[part, 0:turned:2] = dct_hashes(luma, FULL, range(len(_TURNED)))
        hashes[part, 1:turned:2] = gradient_hashes(luma, FULL, range(len(_TURNED)))
        for column, window in enumerate(WINDOWS, _BORDERED + 1):
            hashes[part, column] = dct_hashes(luma, window)[:, 0]
        for place, box in enumerate(map(find_content_box, luma), start):
            present[place, _BORDERED] &= box is not None
            if box is not None:
                hashes[place, _BORDERED] = dct_hashes(luma[[place - start]], box)[0, 0]
    return ViewHashes(images, hashes, present)


def unpack_hashes(images: Signatures, blobs: Sequence[bytes]) -> ViewHashes:
    """Return images with their hashes from the stored form."""
    rows = np.frombuffer(b"".join(blobs), np.uint8).reshape(len(blobs), -1)
    hashes = np.ascontiguousarray(rows[:, : 8 * len(HASH_COLUMNS)]).view("<u8").astype(np.uint64)
    present = np.unpackbits(rows[:, 8 * len(HASH_COLUMNS) :], axis=1, count=len(HASH_COLUMNS)).astype(np.bool_)
    return ViewHashes(images, hashes, present)
