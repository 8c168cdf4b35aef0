"""Duplicate groups: hashes of transformed views, comparison of pairs at native detail, and clustering.

Contract for higher floors: `dedup` groups the catalog; `KnownImages` compares new images, each a `NewImage` with its
`sign_image` signature, with known ones.
"""

from fototeca.curate.duplicates.dedup import dedup
from fototeca.curate.duplicates.known_images import KnownDuplicate, KnownImages, NewImage
from fototeca.curate.duplicates.results import DedupResult
from fototeca.curate.duplicates.signatures import sign_image

__all__ = ["DedupResult", "KnownDuplicate", "KnownImages", "NewImage", "dedup", "sign_image"]
