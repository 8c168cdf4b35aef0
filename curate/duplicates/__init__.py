"""Duplicate groups: perceptual hashes, verification of pairs and clustering."""

from fototeca.curate.duplicates.dedup import dedup, find_known_duplicates
from fototeca.curate.duplicates.signatures import sign_image

__all__ = ["dedup", "find_known_duplicates", "sign_image"]
