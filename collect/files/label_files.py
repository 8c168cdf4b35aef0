"""Labels of local images from a table, with every row and every file accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fototeca.collect.files.folder_options import FolderOptions
from fototeca.core.class_mapping import read_mapping
from fototeca.core.console import notify
from fototeca.core.counting import count_of
from fototeca.core.file_index import FileIndex
from fototeca.core.label_rows import Classes, LabelAssignment, RowOutcome
from fototeca.core.label_tables import read_label_table
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import Settings

ROW_REASONS: dict[RowOutcome, str] = {
    "conflicting": "row-conflict",
    "ambiguous": "row-ambiguous",
    "unmatched": "row-without-file",
    "other-class": "row-other-class",
    "no-label": "row-without-label",
    "malformed": "row-malformed",
}
"""Reason under which a row of a label table is passed over, by its outcome."""

FILE_WITHOUT_ROW = "file-without-row"


def read_labels(
    names: Sequence[str], file_names: Mapping[str, str], options: FolderOptions, settings: Settings, passed_over: PassedOver
) -> dict[str, str]:
    """Return the label of each file that the table `options.labels` names; rows without a label give an empty one.

    Files that the table does not name or labels in contradiction are left out. Every row that labels no file, and every file
    without a row, is counted in `passed_over`.

    Args:
        names: paths of the images, relative to their folder.
        file_names: original names of files that were extracted from an archive under another one.
        options: table of labels, its columns, and the mapping of its classes.
        settings: categories of the workspace.
        passed_over: counts rows and files.

    Raises:
        FototecaError: the table cannot be read, or none of its rows labels a file.
    """
    assert options.labels is not None
    mapping = read_mapping(options.mapping, settings) if options.mapping else {}
    index = FileIndex((each, name) for name in names for each in {name, file_names.get(name, name)})
    assignment = read_label_table(options.labels, index.find, Classes(settings, mapping), columns=options.columns)
    _count(assignment, options.labels.name, names, passed_over)
    unlabeled = {row.target: "" for row in assignment.of("no-label")}
    contradicted = {row.target for row in assignment.of("conflicting")}
    return {name: label for name, label in (unlabeled | dict(assignment.labels)).items() if name not in contradicted}


def _count(assignment: LabelAssignment, table: str, names: Sequence[str], passed_over: PassedOver) -> None:
    for row in assignment.rows:
        if row.outcome != "applied":
            passed_over.add(ROW_REASONS[row.outcome], row.text())
    listed = {row.target for row in assignment.rows}
    for name in names:
        if name not in listed:
            passed_over.add(FILE_WITHOUT_ROW, name)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in assignment.counts().items())
    notify(f"fototeca: {table}: {count_of(len(assignment.rows), 'row')}: {counts}")
