"""Facts of a dataset that decide about splits: its own splits, groups that must share a split, originals of augmented copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.class_mapping import category_names, find_class_folders, find_class_paths
from fototeca.collect.files.dataset_splits import describe_splits, find_splits
from fototeca.collect.files.folder_labels import FolderNames
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.files.group_by import GroupBy, ImageFacts, group_folders, group_images
from fototeca.collect.files.originals import find_originals
from fototeca.collect.files.table_columns import TableColumns
from fototeca.core.class_mapping import normalize_category, read_mapping, spelling_variants
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.label_rows import Classes
from fototeca.core.settings import Settings
from fototeca.vision.exif import read_file_time_taken


@dataclass(frozen=True)
class SplitFacts:
    """Splits, groups and originals by image; an image without one is absent."""

    splits: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    originals: Mapping[str, str] = field(default_factory=dict)

    def add_to(self, place: Provenance, name: str) -> Provenance:
        """Return the provenance of an image with its split, group and original."""
        return replace(
            place,
            split=self.splits.get(name, ""),
            split_group=self.groups.get(name, ""),
            original=self.originals.get(name, ""),
        )


@dataclass(frozen=True)
class Dataset:
    """Images of a folder, archive or dataset of a hub."""

    folder: Path
    """Folder of the files."""

    names: Sequence[str]
    """Paths of the images relative to it, with forward slashes."""

    file_names: Mapping[str, str]
    """Original name of each image that was renamed."""

    root: str
    """Name of the folder or archive, which may be that of a split; empty where it means nothing."""

    scope: str
    """Name within which groups and originals are unique: equal names of two datasets are two groups."""


def find_split_facts(dataset: Dataset, options: FolderOptions, settings: Settings) -> SplitFacts:
    """Return what decides about the splits of images, and report the splits of the dataset.

    Args:
        dataset: the images.
        options: labels, `keep_splits` and `group_by`.
        settings: categories of the workspace.

    Raises:
        FototecaError: `keep_splits` is given and no image has a split, or `group_by` is invalid or puts no image into a group.
    """
    table = _read_table(dataset, options, settings)
    splits = table.splits() if table else {}
    splits = find_splits(dataset.names, category_names(settings), dataset.root) | splits
    wanted = set(dataset.names)
    splits = {name: split for name, split in splits.items() if name in wanted}
    if line := describe_splits(splits, are_kept=options.keep_splits):
        notify(f"fototeca: {line}")
    elif options.keep_splits:
        hint = "its folders or shards must be named train, val or test, or its table must have a column split"
        raise FototecaError(f"{dataset.root or dataset.scope} brings no splits to keep", hint)
    facts = ImageFacts(
        dataset.file_names,
        lambda: group_folders(find_class_paths(dataset.names, settings), _class_test(options, settings)),
        lambda column: {name: "+".join(sorted(set(values))) for name, values in table.values(column).items()} if table else {},
        lambda name: read_file_time_taken(dataset.folder / name),
    )
    groups = group_images(GroupBy.parse(options.group_by, table.headers if table else ()), dataset.names, facts)
    return SplitFacts(
        splits if options.keep_splits else {},
        {name: f"{dataset.scope}/{group}" for name, group in groups.items()},
        find_originals(find_class_folders(dataset.names, settings), dataset.scope),
    )


def _read_table(dataset: Dataset, options: FolderOptions, settings: Settings) -> TableColumns | None:
    if options.labels is None:
        return None
    mapping = read_mapping(options.mapping, settings) if options.mapping else {}
    return TableColumns(options.labels, dataset.names, dataset.file_names, Classes(settings, mapping), options.columns)


def _class_test(options: FolderOptions, settings: Settings) -> _ClassTest:
    mapped = read_mapping(options.mapping, settings) if options.mapping and options.labels is None else {}
    return _ClassTest(FolderNames(settings), frozenset(map(normalize_category, mapped)))


@dataclass(frozen=True)
class _ClassTest:
    """Tells whether a folder names a class: a category, or a name of the mapping."""

    search: FolderNames
    mapped: frozenset[str]

    def __call__(self, folder: str) -> bool:
        return bool(self.search.find_one(folder)) or not self.mapped.isdisjoint(spelling_variants(folder))
