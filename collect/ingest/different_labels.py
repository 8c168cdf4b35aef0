"""Images that come again under another label: nothing changes, and a table lists what a person may apply."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from fototeca.collect.catalog import ImageRow, Provenance
from fototeca.core.counting import count_of
from fototeca.core.files import write_csv
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace

FILE_NAME = "different-labels.csv"
"""Table in the data folder; `fototeca curate label --from-file` applies it."""

_LISTED = 3


@dataclass
class DifferentLabels:
    """Labels that one run of collecting gives to images which were labelled before it, or under several labels in it."""

    current: dict[str, str] = field(default_factory=dict)
    """Label in the catalog by image id."""

    given: dict[str, set[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, image: ImageRow, place: Provenance) -> None:
        """Note the label that a place gives to a labelled image."""
        self.current[image.image_id] = image.label
        self.given.setdefault(image.image_id, set()).add(place.category)
        self.names.setdefault(image.image_id, place.file_name or place.url)

    def write(self, workspace: Workspace) -> tuple[str, ...]:
        """Write the table of differing labels and return lines for the summary; none, and no table, if none differs."""
        rows = []
        for image_id, given in sorted(self.given.items()):
            label = LABEL_SEPARATOR.join(sorted({name for each in given for name in each.split(LABEL_SEPARATOR)}))
            if label != self.current[image_id]:
                rows.append((image_id, self.names[image_id], label, self.current[image_id]))
        if not rows:
            return ()
        path = workspace.data / FILE_NAME
        write_csv(path, ("image_id", "file_name", "label", "current_label"), rows)
        listed = ", ".join(f"{name} is {current}, given as {label}" for _, name, label, current in rows[:_LISTED])
        more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
        return (
            count_of(
                len(rows), "image has another label than given, and keeps it", "images have another label than given, and keep it"
            )
            + f": {listed}{more}",
            f"to apply the given labels: fototeca curate label --from-file {shlex.quote(str(_short(path)))}",
        )


def _short(path: Path) -> Path:
    """Return a path relative to the current folder if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
