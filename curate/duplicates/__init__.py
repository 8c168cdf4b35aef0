"""Duplicate groups: hashes of transformed views, verification of pairs by pixels, and clustering.

Contract for higher floors: `dedup` groups the catalog; `find_known_duplicates` compares new images, given as `sign_image`
signatures, with known ones.
"""

from fototeca.curate.duplicates.dedup import KnownDuplicate, dedup, find_known_duplicates
from fototeca.curate.duplicates.results import DedupResult
from fototeca.curate.duplicates.signatures import sign_image

__all__ = ["DedupResult", "KnownDuplicate", "dedup", "find_known_duplicates", "sign_image"]
