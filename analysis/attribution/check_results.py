"""Results of sanity checks, stored per run and shown as a check badge on every map of the same method.

A single map shows if the score has a gradient and if the map ranks the pixels that the model needs. Checks of the dependence
on category, weights and object position compare several maps: they are made once per method and hold for each of its maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fototeca.analysis.attribution import METHODS
from fototeca.analysis.cache import NUMBER, read_json_or_none
from fototeca.analysis.evaluation.results import SparseResult
from fototeca.analysis.images import compute_masks_digest
from fototeca.core.kinds import Flag, Integer, ListOf, MapOf, Optional, Record, Text
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.train.runs import Run

CHECKS = ("gradient", "classes", "weights", "deletion", "insertion", "grid")
"""The checks that need no masks, in the order of the table."""

MASK_CHECKS = ("pointing", "energy")
"""The checks that need masks of the objects in `data/masks`, as the demo's drawn images have."""

METHOD_CHECKS = ("classes", "weights", "grid")
"""The checks that a single map cannot be put to."""

CheckResults = Mapping[str, bool]
"""True or False by check; checks that were not measured are missing."""


@dataclass(frozen=True)
class MethodScores(Result):
    """Scores of one attribution method, means over the images; None if not measured. See `sanity_checks` for the checks."""

    method: str
    gradient: float | None
    classes: float | None
    weights: float | None
    deletion: float | None
    insertion: float | None
    grid: float | None
    pointing: float | None
    energy: float | None
    seconds: float | None
    """For one map."""
    passed: dict[str, bool]
    reason: str
    """Reason why the method does not fit the model; nothing is measured then."""

    def score(self, check: str) -> float | None:
        """Return the score of a check by name."""
        value: float | None = getattr(self, check)
        return value


@dataclass(frozen=True)
class SanityChecks(SparseResult):
    """Sanity checks of the attribution methods of one run; the last rows of `methods` are the baselines."""

    run: str
    trained: str
    """Digest of the run that was checked."""
    masks: str
    """Digest of `data/masks`."""
    images: int
    grids: int
    """Number of 2 × 2 grids of images for the grid pointing game."""
    layer: str
    """The layer of spatial methods; empty for the default of the architecture."""
    iterations: int | None
    methods: tuple[MethodScores, ...]
    paths: tuple[str, ...] | None = None
    """The files that were written."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SanityChecks:
        """Return the checks of a JSON document of the form SANITY_CHECKS."""
        methods = tuple(
            MethodScores(**{field.name: scores[field.name] for field in fields(MethodScores)}) for scores in document["methods"]
        )
        values = {field.name: document[field.name] for field in fields(cls) if field.name in document}
        return cls(**{**values, "methods": methods})

    @property
    def measured(self) -> tuple[str, ...]:
        """The checks with scores: MASK_CHECKS only if there were masks."""
        return (*CHECKS, *(name for name in MASK_CHECKS if any(one.score(name) is not None for one in self.methods)))


SANITY_CHECKS = Record(
    {
        "run": Text(max_length=300),
        "trained": Text(max_length=64),
        "masks": Text(max_length=64),
        "images": Integer(),
        "grids": Integer(),
        "layer": Text(max_length=1000),
        "methods": ListOf(
            Record(
                {
                    "method": Text(max_length=100),
                    **dict.fromkeys((*CHECKS, *MASK_CHECKS, "seconds"), NUMBER),
                    "passed": MapOf(Text(max_length=100), Flag()),
                    "reason": Text(),
                }
            )
        ),
    },
    {"iterations": Optional(Integer()), "paths": Optional(ListOf(Text()))},
)
"""The form of stored sanity checks."""


def sanity_checks_path(workspace: Workspace, run: Run, layer: str = "") -> Path:
    """Return the path of a run's last sanity checks; those of an explicit layer have a file of their own."""
    return workspace.reports / "sanity-checks" / f"{run.id}{layer_suffix(layer)}.json"


def layer_suffix(layer: str) -> str:
    """Return the part of a file name that stands for an explicit layer."""
    return f"@{quote(layer, safe='')}" if layer else ""


def read_sanity_checks(workspace: Workspace, run: Run, layer: str = "") -> SanityChecks | None:
    """Return the sanity checks that `explain --sanity-checks` stored.

    None if there are none, the run or `data/masks` has changed since, or the file is damaged.
    """
    document = read_json_or_none(sanity_checks_path(workspace, run, layer), SANITY_CHECKS)
    if document is None:
        return None
    checks = SanityChecks.from_json(document)
    is_current = (checks.trained, checks.masks) == (run.digest, compute_masks_digest(workspace))
    return checks if is_current else None


def read_method_results(
    workspace: Workspace, run: Run, layer: str = "", iterations: int | None = None
) -> dict[str, CheckResults]:
    """Return the stored check results by method, as far as they apply to maps of this layer and number of iterations."""
    stored = [read_sanity_checks(workspace, run, name) for name in dict.fromkeys(("", layer))]
    return {name: passed for checks in stored for name, passed in method_results(checks, layer, iterations).items()}


def method_results(checks: SanityChecks | None, layer: str = "", iterations: int | None = None) -> dict[str, CheckResults]:
    """Return the check results by method, as far as they apply to maps of this layer and number of iterations.

    Results of another layer or number of iterations are left out for methods that depend on it.
    """
    if checks is None:
        return {}
    requested, checked = (layer, iterations), (checks.layer, checks.iterations)
    return {one.method: one.passed for one in checks.methods if _is_same_map(one.method, requested, checked)}


def _is_same_map(name: str, first: tuple[str, int | None], second: tuple[str, int | None]) -> bool:
    """Return True if a method draws the same map for both pairs of layer and number of iterations."""
    method = METHODS.get(name)
    return method is None or ((not method.spatial or first[0] == second[0]) and (not method.iterates or first[1] == second[1]))


def merge_results(own: CheckResults, method: CheckResults) -> CheckResults:
    """Return a map's own results, with those of its method for METHOD_CHECKS."""
    return {**own, **{check: method[check] for check in METHOD_CHECKS if check in method}}


def names_by_outcome(passed: CheckResults) -> tuple[str, str]:
    """Return the names of passed and of failed checks, each separated by spaces."""
    both = [" ".join(check for check, is_passed in passed.items() if is_passed is side) for side in (True, False)]
    return both[0], both[1]


def badge_text(passed: CheckResults) -> str:
    """Return a check badge as text: the failed checks, or the passed ones if none failed."""
    failed = [check for check, is_passed in passed.items() if not is_passed]
    return f"fails: {', '.join(failed)}" if failed else f"passes {', '.join(passed)}" if passed else "not checked"
