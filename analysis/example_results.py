"""Results of `examples`, and their rows in `examples.csv`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fototeca.analysis.error_patterns import ConfusedPair, ErrorCount, GroupErrors, QualityDifference
from fototeca.analysis.tabular import csv_text
from fototeca.core.results import Result

EXAMPLE_COLUMNS = (
    "kind",
    "image_id",
    "file_name",
    "path",
    "label",
    "predicted",
    "probability",
    "source",
    "page_url",
    "nearest_training",
    "nearest_training_paths",
    "map",
)
"""Columns of `examples.csv`; ids and paths of the three nearest training images are separated by spaces, nearest first."""


@dataclass(frozen=True)
class Example(Result):
    """One image with its prediction.

    `file_name` is its original name, empty if unknown; `maps` is the path of its attribution map, None without one.
    """

    image_id: str
    file_name: str
    path: str
    label: str
    predicted: str
    confidence: float
    source: str
    page_url: str
    nearest_training: list[str]
    maps: str | None


@dataclass(frozen=True)
class RunExamples(Result):
    """Result of `examples`.

    Attributes:
        run: the run's id.
        split: `val` or `test`.
        n: number of images.
        errors: number of wrong predictions.
        examples: images by kind, see `choose_examples`.
        worst_per_class: for each category its image with the lowest probability of it.
        suspects: possible label errors, see `find_label_suspects`.
        confused_pairs: see `ErrorGroups`, as are the next three.
        by_source: errors by source.
        by_group: errors by near-duplicate group.
        hardest: categories with the lowest recall.
        by_quality: quality of right and wrong predictions, by measure.
        table: path of `examples.csv`.
    """

    run: str
    split: str
    n: int
    errors: int
    examples: dict[str, list[Example]]
    worst_per_class: dict[str, Example]
    suspects: list[Example]
    confused_pairs: list[ConfusedPair]
    by_source: dict[str, ErrorCount]
    by_group: list[GroupErrors]
    hardest: list[str]
    by_quality: dict[str, QualityDifference]
    table: str


def examples_csv(examples: RunExamples, paths: Mapping[str, str]) -> str:
    """Return a row for each example of each kind; `paths` are those of the dataset's images by id."""
    kinds = {**examples.examples, "worst": list(examples.worst_per_class.values()), "suspect": examples.suspects}
    return csv_text(EXAMPLE_COLUMNS, [_csv_row(kind, example, paths) for kind, chosen in kinds.items() for example in chosen])


def _csv_row(kind: str, example: Example, paths: Mapping[str, str]) -> list[object]:
    return [
        kind,
        example.image_id,
        example.file_name,
        example.path,
        example.label,
        example.predicted,
        f"{example.confidence:.6f}",
        example.source,
        example.page_url,
        " ".join(example.nearest_training),
        " ".join(paths[image_id] for image_id in example.nearest_training),
        example.maps or "",
    ]
