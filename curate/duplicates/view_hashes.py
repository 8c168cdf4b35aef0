"""What the search for copies hashes of each image: all its views, once, for old images are searched among new ones too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fototeca.curate.duplicates.pixel_similarity import flat
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.transforms import FULL, WINDOWS, Box, dct_hashes, gradient_hashes, greys, trimmed

VERSION = 1
"""Raised when a column changes its meaning or a verdict on pairs does; what was found before is then found anew."""

_CHUNK = 1024
_TURNED = ("near", "mirrored", "flipped", "rotated", "turned", "turned", "turned", "turned")
"""Names of `views.TURNS`."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class View:
    """One way to look at an image: turned, without its border, or a window of it."""

    name: str
    turn: int = 0
    box: Box | None = FULL
    """None: within the image's own plain border."""


VIEWS = (
    *(View(name, number) for number, name in enumerate(_TURNED)),
    View("bordered", box=None),
    *(View("cropped", box=window) for window in WINDOWS),
)

KINDS = ("dct", "gradient")
COLUMNS = tuple((view, kind) for view in VIEWS for kind in KINDS if kind == "dct" or view.box == FULL)
"""A cut moves every gradient; the cosine hash bears it better. The first column of each kind is of the whole image as it is."""

_BORDERED = COLUMNS.index((VIEWS[len(_TURNED)], "dct"))


@dataclass(frozen=True)
class ViewHashes:
    """N images with their hashes by COLUMNS."""

    images: Signatures
    hashes: Hashes
    """(N, columns)"""
    there: NDArray[np.bool_]
    """(N, columns): whether the image has the view; low-information images have none, those without border not `bordered`."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> ViewHashes:
        """Those at some indices, in that order."""
        return ViewHashes(self.images.take(indices), self.hashes[list(indices)], self.there[list(indices)])

    def pack(self, index: int) -> bytes:
        """One image's hashes as they are stored."""
        return bytes(self.hashes[index].astype("<u8").tobytes() + np.packbits(self.there[index]).tobytes())


def look(images: Signatures) -> ViewHashes:
    """Hash every view of images."""
    hashes = np.zeros((len(images), len(COLUMNS)), np.uint64)
    there = np.repeat(~flat(images.thumbnails)[:, None], len(COLUMNS), axis=1)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        grey = greys(images.thumbnails[part])
        turned = 2 * len(_TURNED)
        hashes[part, 0:turned:2] = dct_hashes(grey, FULL, range(len(_TURNED)))
        hashes[part, 1:turned:2] = gradient_hashes(grey, FULL, range(len(_TURNED)))
        for column, window in enumerate(WINDOWS, _BORDERED + 1):
            hashes[part, column] = dct_hashes(grey, window)[:, 0]
        for place, box in enumerate(map(trimmed, grey), start):
            there[place, _BORDERED] &= box is not None
            if box is not None:
                hashes[place, _BORDERED] = dct_hashes(grey[[place - start]], box)[0, 0]
    return ViewHashes(images, hashes, there)


def unpack(images: Signatures, blobs: Sequence[bytes]) -> ViewHashes:
    """Images with their hashes from the stored form."""
    rows = np.frombuffer(b"".join(blobs), np.uint8).reshape(len(blobs), -1)
    hashes = np.ascontiguousarray(rows[:, : 8 * len(COLUMNS)]).view("<u8").astype(np.uint64)
    there = np.unpackbits(rows[:, 8 * len(COLUMNS) :], axis=1, count=len(COLUMNS)).astype(np.bool_)
    return ViewHashes(images, hashes, there)
