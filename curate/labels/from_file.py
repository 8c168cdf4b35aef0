"""Apply the labels of a file as decisions of the person at the keyboard."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fototeca.collect.catalog import Catalog, Decision, Edit, ImageRow, replace_surrogates
from fototeca.core.class_mapping import read_mapping
from fototeca.core.counting import count_of
from fototeca.core.file_index import FileIndex, FileMatch
from fototeca.core.label_rows import OUTCOME_TEXTS, Classes, LabelAssignment, LabelledRow, RowOutcome, assign_labels
from fototeca.core.label_tables import check_assignment
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import check_reason, current_person
from fototeca.curate.labels.readers.detect import read_rows
from fototeca.curate.labels.words import find_rejection

MIN_PREFIX = 8
"""Shortest beginning of an image id that a row may give."""

DEFAULT_REASON = "label-file"
"""Reason of a rejection that gives none."""

_LISTED = 5


@dataclass(frozen=True)
class LabelFileResult(Result):
    """Result of applying a label file. `rows` has every row with its outcome; the images' counts are those of labelled ones."""

    file: str
    rows: tuple[LabelledRow, ...]
    decisions: tuple[Decision, ...]
    changed: int
    """Images whose label or rejection changed."""

    confirmed: int
    """Images that had the label and were not reviewed; the person's file is a review of them."""

    already: int
    """Images that had the label and were reviewed."""

    still_rejected: tuple[str, ...]
    """Ids of rejected images, which keep their state."""

    def text(self) -> str:
        """Return the summary for the terminal: a line of counts, and a line for each other outcome with its first rows."""
        changed = f"{count_of(self.changed, 'label')} changed, {self.confirmed} confirmed"
        first = f"{self.file}: {count_of(len(self.rows), 'row')}; {changed}"
        lines = [first + ", " + count_of(self.already, "image already has this label", "images already have this label")]
        if self.still_rejected:
            ids = ", ".join(image_id[:12] for image_id in self.still_rejected[:_LISTED])
            stay = count_of(len(self.still_rejected), "rejected image stays rejected", "rejected images stay rejected")
            lines.append(f"  {stay} ({ids}); fototeca curate label ID --restore")
        for outcome, meaning in OUTCOME_TEXTS.items():
            rows = [row for row in self.rows if row.outcome == outcome]
            if rows:
                listed = "; ".join(row.text() for row in rows[:_LISTED])
                more = f"; and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
                lines.append(f"  {count_of(len(rows), 'row')} that {meaning.replace('file', 'image')}: {listed}{more}")
        return "\n".join(lines)

    def count(self, outcome: RowOutcome) -> int:
        """Return the number of rows with this outcome."""
        return sum(row.outcome == outcome for row in self.rows)


def label_from_file(
    workspace: Workspace,
    file: Path,
    *,
    columns: str = "",
    mapping: Path | None = None,
    comment: str = "",
    dry_run: bool = False,
) -> LabelFileResult:
    """Apply the labels of a file to the images that it names; all of them, or on an error none.

    Images are named by id, a beginning of it of MIN_PREFIX digits, path in the store, or original path or name. A row that
    repeats an image's label counts as a review. Rejected images keep their state.

    Args:
        workspace: workspace with the catalog.
        file: table, or export of Label Studio, CVAT, COCO, Hugging Face or FiftyOne.
        columns: the columns of a table, as `path=A,label=B`; by default recognized.
        mapping: TOML file with the category of each class.
        comment: remark of the decisions; by default the name of the file.
        dry_run: write nothing.

    Raises:
        FototecaError: the file cannot be read, or no row names an image or a category.
    """
    settings = workspace.settings
    classes = Classes(settings, read_mapping(mapping, settings) if mapping else {}, rejection_of=find_rejection)
    reason = replace_surrogates(comment) or f"from {replace_surrogates(file.name)}"
    with Catalog.open(workspace) as catalog:
        finder = ImageFinder(catalog)
        assignment = assign_labels(read_rows(file, finder.find, classes, columns), finder.find, classes)
        check_assignment(assignment, file.name, classes)
        edits = {image_id: _make_edit(label, classes) for image_id, label in assignment.labels.items()}
        with catalog.transaction():
            return _apply(catalog, edits, assignment, file.name, reason, dry_run)


def _make_edit(label: str, classes: Classes) -> Edit:
    if classes.is_rejection(label):
        return Edit.reject(check_reason(label.partition(":")[2].strip() or DEFAULT_REASON))
    return Edit.relabel(label)


def _apply(
    catalog: Catalog, edits: dict[str, Edit], assignment: LabelAssignment, name: str, reason: str, dry_run: bool
) -> LabelFileResult:
    person = current_person()
    decisions: list[Decision | None] = []
    changed = confirmed = already = 0
    rejected = []
    for image_id, edit in edits.items():
        image = catalog.images.get(image_id)
        assert image is not None
        if image.rejected and edit.action == "label":
            rejected.append(image_id)
            continue
        is_same = _is_same(image, edit)
        already += is_same and image.reviewed
        confirmed += is_same and not image.reviewed
        changed += not is_same
        if not dry_run and not (is_same and image.reviewed):
            decisions.append(catalog.decisions.add(image_id, edit, by=person, reason=reason))
    written = tuple(decision for decision in decisions if decision)
    return LabelFileResult(name, assignment.rows, written, changed, confirmed, already, tuple(rejected))


def _is_same(image: ImageRow, edit: Edit) -> bool:
    return edit.apply(image.review_state) == image.review_state


class ImageFinder:
    """Find images by id, beginning of an id, path in the store, URL, or original path or name."""

    def __init__(self, catalog: Catalog) -> None:
        self._images = catalog.images
        self._index = FileIndex(catalog.provenance.names())

    def find(self, name: str) -> FileMatch:
        """Return the ids of the images that a name may mean."""
        if re.fullmatch(rf"[0-9A-Fa-f]{{{MIN_PREFIX},64}}", name.strip()):
            ids = self._images.ids_with_prefix(name.strip().lower(), 3)
            if ids:
                return FileMatch(tuple(ids))
        return self._index.find(name)
