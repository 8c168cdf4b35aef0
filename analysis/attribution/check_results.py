"""What trials said of a run's attribution methods, kept for every map that is drawn after them: the stamp that a map carries.

One image tells whether its map is live and names what the model needs. Whether the method reacts to another category, to other
weights, or to where the thing is in a mosaic takes other maps: that is asked of the method once, and said of each of its maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fototeca.analysis.attribution import METHODS
from fototeca.analysis.cache import read_json_or_none
from fototeca.analysis.images import compute_masks_digest
from fototeca.core.workspace import Workspace
from fototeca.train.runs import Run

CHECKS = ("live", "classes", "weights", "deletion", "insertion", "grid")
"""The trials that need no truth, in the order of the table."""

MASK_CHECKS = ("pointing", "energy")
"""Those that need `data/masks`, as the demo's drawn images have."""

METHOD_CHECKS = ("classes", "weights", "grid")
"""Those that no map can be put to alone."""

CheckResults = Mapping[str, bool]
"""By trial; what was not tried is not there."""


def sanity_checks_path(workspace: Workspace, run: Run, layer: str = "") -> Path:
    """Where the last trials of a run are kept: those at a layer of one's own choice beside those at the family's."""
    return workspace.reports / "trials" / f"{run.id}{layer_suffix(layer)}.json"


def layer_suffix(layer: str) -> str:
    """What the names of files say of a layer of one's own choice."""
    return f"@{quote(layer, safe='')}" if layer else ""


def read_sanity_checks(workspace: Workspace, run: Run, layer: str = "") -> dict[str, Any] | None:
    """What `explain --trials` kept; None when it was not called since the run was trained and `data/masks` was changed, or the
    file is damaged."""
    facts = read_json_or_none(sanity_checks_path(workspace, run, layer))
    known = {"trained": run.digest, "masks": compute_masks_digest(workspace)}
    return facts if isinstance(facts, dict) and known.items() <= facts.items() else None


def read_method_results(
    workspace: Workspace, run: Run, layer: str = "", iterations: int | None = None
) -> dict[str, CheckResults]:
    """By method what it passes, as kept trials say that hold for maps of this layer and so many iterations."""
    kept = [read_sanity_checks(workspace, run, name) for name in dict.fromkeys(("", layer))]
    return {name: passed for facts in kept for name, passed in method_results(facts, layer, iterations).items()}


def measured_checks(facts: dict[str, Any]) -> tuple[str, ...]:
    """The trials that these facts have figures of: those that need the truth only where there was one."""
    return (*CHECKS, *(name for name in MASK_CHECKS if any(one.get(name) is not None for one in facts["methods"])))


def method_results(facts: dict[str, Any] | None, layer: str = "", iterations: int | None = None) -> dict[str, CheckResults]:
    """By method what it passes; none when there were no trials. A method that looks at another layer than was tried, or
    takes other iterations, draws other maps: what they said does not hold for it."""
    asked, tried = (layer, iterations), (facts.get("layer", ""), facts.get("iterations")) if facts else ("", None)
    return {one["method"]: one["passed"] for one in (facts or {"methods": []})["methods"] if _same(one["method"], asked, tried)}


def _same(name: str, asked: tuple[str, int | None], tried: tuple[str, int | None]) -> bool:
    """Whether a method draws the same map under both a layer and a number of iterations."""
    method = METHODS.get(name)
    return method is None or ((not method.spatial or asked[0] == tried[0]) and (not method.iterates or asked[1] == tried[1]))


def merge_results(own: CheckResults, method: CheckResults) -> CheckResults:
    """A map's own trials, and of its method's those that no map can be put to alone."""
    return {**own, **{trial: method[trial] for trial in METHOD_CHECKS if trial in method}}


def names_by_outcome(passed: CheckResults) -> tuple[str, str]:
    """What was passed and what was failed, by name, as two cells of a table."""
    both = [" ".join(trial for trial, said in passed.items() if said is side) for side in (True, False)]
    return both[0], both[1]


def badge_text(passed: CheckResults) -> str:
    """A stamp in a line: what is failed, else each trial that was passed by name."""
    failed = [trial for trial, said in passed.items() if not said]
    return f"fails: {', '.join(failed)}" if failed else f"passes {', '.join(passed)}" if passed else "not put to trials"
