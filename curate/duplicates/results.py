"""Results of a search for duplicates."""

from __future__ import annotations

from dataclasses import dataclass, field

from fototeca.core.results import Result


@dataclass(frozen=True)
class TieCounts(Result):
    """Number of pairs by kind of tie, among the pairs that were compared; see `curate.duplicates.verdict` for the kinds."""

    copy: int = 0
    turned: int = 0
    reshot: int = 0
    overlay: int = 0
    altered: int = 0
    unverified: int = 0


@dataclass(frozen=True)
class CategoryCounts(Result):
    """Images of one category before and after those set aside: `images` are not rejected, `accepted` also not set aside."""

    category: str
    images: int
    accepted: int


@dataclass(frozen=True)
class DedupResult(Result):
    """Counts of a search for duplicates."""

    images: int
    groups: int
    set_aside: int
    """Images set aside as duplicates."""
    label_conflicts: int = 0
    """Groups whose images have different labels."""
    ties: TieCounts = TieCounts()
    fixed_cameras: tuple[int, ...] = ()
    """Sizes of the sets of images of one fixed camera or template, whose ties were dropped; the largest first."""
    categories: tuple[CategoryCounts, ...] = field(default=())
    """Every category of the workspace that has images."""
