"""Samples of the FiftyOne dataset: fields, state, saved views. The FiftyOne module is passed in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fototeca.collect.catalog import ReviewState
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.review_state import TAG_REVIEWED, decode_state, encode_state, state_tags
from fototeca.curate.labels.words import SampleEdit, SampleMarks, read_marks
from fototeca.curate.review.connection import FiftyOne
from fototeca.curate.review.queues import (
    BOUNDARY,
    CONFLICT,
    DISAGREED,
    DUPLICATE,
    OUTLIER,
    POSSIBLE_COPY,
    QUALITY,
    SUGGESTED,
    UNKNOWN,
    UNREVIEWED,
    ReviewItem,
)

Dataset = Any
Sample = Any

LABEL = "ground_truth"
PUSHED = "pushed"
_CLASSIFICATIONS = f"{LABEL}.classifications"
_CHUNK = 500
_VIEWS = (
    ("1 label conflicts", CONFLICT, "group", False),
    ("2 reviewers disagree", DISAGREED, "image_id", False),
    ("3 unknown category", UNKNOWN, "image_id", False),
    ("4 suggested", SUGGESTED, "issue_score", True),
    ("5 outliers", OUTLIER, "issue_score", True),
    ("6 near a boundary", BOUNDARY, "issue_score", True),
    ("7 near-duplicates", DUPLICATE, "group", False),
    ("8 quality", QUALITY, "quality_issues", False),
    ("9 not reviewed", UNREVIEWED, "image_id", False),
    ("10 possible copies", POSSIBLE_COPY, "possible_copies", False),
)


def dataset_name(workspace: Workspace) -> str:
    """Return `fototeca-<dataset name>`."""
    return f"fototeca-{workspace.settings.name}"


def create_fields(fo: FiftyOne, dataset: Dataset, workspace: Workspace) -> None:
    """Create the dataset's fields. FototecaError if it was made for another task."""
    multi = workspace.settings.task == "multi"
    if dataset.has_sample_field(LABEL) and dataset.has_field(_CLASSIFICATIONS) != multi:
        hint = "set the old task again, or choose another name in fototeca.toml"
        raise FototecaError(f"the task has changed since {dataset.name} was made", hint)
    kind = fo.Classifications if multi else fo.Classification
    if not dataset.has_sample_field(LABEL):
        dataset.add_sample_field(LABEL, fo.EmbeddedDocumentField, embedded_doc_type=kind)
    strings = ("image_id", PUSHED, "thumbnail_path", "group", "status", "source", "license", "suggested", "file_name")
    for name in strings:
        dataset.add_sample_field(name, fo.StringField)
    dataset.add_sample_field("is_representative", fo.BooleanField)
    dataset.add_sample_field("issue_score", fo.FloatField)
    for name in ("other_categories", "quality_issues", "queues", "possible_copies"):
        dataset.add_sample_field(name, fo.ListField, subfield=fo.StringField)
    dataset.create_index("image_id", unique=True)
    dataset.app_config.media_fields = ["filepath", "thumbnail_path"]
    dataset.app_config.grid_media_field = "thumbnail_path"
    dataset.app_config.active_fields = fo.ActiveFields(paths=[LABEL, "suggested"])  # shown on the tiles of the grid
    dataset.save()


def _fields(item: ReviewItem) -> dict[str, Any]:
    """Return the values of the sample's fields beside label and tags."""
    image = item.image
    return {
        "group": image.group or None,
        "is_representative": image.is_representative,
        "status": image.status,
        "source": item.source,
        "license": item.license,
        "file_name": item.file_name or None,
        "other_categories": list(item.other_categories),
        "suggested": item.suggested or None,
        "issue_score": item.issue_score or None,
        "quality_issues": list(item.quality_issues),
        "queues": list(item.queues),
        "possible_copies": [f"{copy.kind} {copy.image_id}" for copy in item.possible_copies],
    }


def make_sample(fo: FiftyOne, workspace: Workspace, item: ReviewItem, thumbnails: Mapping[str, str]) -> Sample:
    """Return a sample of an image in the state that the catalog contains."""
    path = str(workspace.root / item.image.path)
    sample = fo.Sample(
        filepath=path, image_id=item.image.image_id, thumbnail_path=thumbnails.get(item.image.image_id, path), **_fields(item)
    )
    for measure, value in item.quality.items():
        sample[measure] = value
    _set_state(fo, sample, item.image.review_state, workspace)
    return sample


def _set_state(fo: FiftyOne, sample: Sample, state: ReviewState, workspace: Workspace, edit: SampleEdit | None = None) -> None:
    """Set label and tags of a sample, and store them as what was pushed last. Tags of `edit` that are no words stay."""
    label_tags = list(edit.unknown_label_tags) if edit else []
    names = [name for name in state.label.split(LABEL_SEPARATOR) if name]
    labels = [fo.Classification(label=name, tags=label_tags) for name in names]
    multi = workspace.settings.task == "multi"
    sample[LABEL] = fo.Classifications(classifications=labels) if multi else (labels[0] if labels else None)
    sample.tags = [*state_tags(state), *(edit.unknown_tags if edit else ())]
    sample[PUSHED] = encode_state(state)


def update_state(fo: FiftyOne, sample: Sample, row: SampleRow, state: ReviewState, workspace: Workspace) -> None:
    """Set the state of a sample that was read as `row`; if it was edited again since, keep that edit for the next run.

    Label, tags and what was pushed are saved in one write: a kill leaves all or none of it.
    """
    if _sample_marks(sample) == row.marks:
        _set_state(fo, sample, state, workspace, row.edit)
    else:
        sample[PUSHED] = encode_state(state)
    sample.save()


def _sample_marks(sample: Sample) -> SampleMarks:
    value = sample[LABEL]
    labels = value.classifications if hasattr(value, "classifications") else [value] if value else []
    return _make_marks([label.label for label in labels], [label.tags for label in labels], sample.tags)


def _make_marks(
    labels: Sequence[str | None], label_tags: Sequence[Sequence[str] | None], tags: Sequence[str] | None
) -> SampleMarks:
    pairs = [(label, tuple(each or ())) for label, each in zip(labels, label_tags, strict=True) if label]
    return SampleMarks(tuple(label for label, _ in pairs), tuple(tags or ()), tuple(each for _, each in pairs))


def describe_progress(dataset: Dataset) -> None:
    """Show the number of reviewed images in the dataset's description."""
    tags = dataset.values("tags")
    dataset.description = f"{sum(TAG_REVIEWED in (each or ()) for each in tags)} of {len(tags)} images reviewed"
    dataset.save()


@dataclass(frozen=True)
class SampleRow:
    """A sample's marks with their meaning, and the state that was pushed last. A deleted sample has no `sample_id`."""

    sample_id: str
    image_id: str
    marks: SampleMarks
    edit: SampleEdit
    pushed: ReviewState

    @property
    def is_touched(self) -> bool:
        """Return True if a person changed the sample or deleted it, tags that are no words included."""
        labels = {name for name in self.pushed.label.split(LABEL_SEPARATOR) if name}
        same_labels = {*self.marks.labels} == labels and not any(self.marks.label_tags)
        return not (self.sample_id and same_labels and {*self.marks.tags} == {*state_tags(self.pushed)})

    @property
    def is_pending(self) -> bool:
        """Return True if the sample has an edit that is not applied yet."""
        return self.edit.state != self.pushed or bool(self.edit.apart or self.edit.problems)


def read_samples(dataset: Dataset, workspace: Workspace) -> Iterator[SampleRow]:
    """Yield the state of every sample."""
    multi = dataset.has_field(_CLASSIFICATIONS)
    path = _CLASSIFICATIONS if multi else LABEL
    columns = dataset.values(["id", "image_id", f"{path}.label", f"{path}.tags", "tags", PUSHED])
    for sample_id, image_id, labels, label_tags, tags, encoded in zip(*columns, strict=True):
        marks = _make_marks(labels or [], label_tags or [], tags) if multi else _make_marks([labels], [label_tags], tags)
        pushed = decode_state(encoded or "")
        yield SampleRow(sample_id, image_id, marks, read_marks(marks, pushed, workspace.settings), pushed)


def update_samples(
    fo: FiftyOne,
    dataset: Dataset,
    workspace: Workspace,
    items: Mapping[str, ReviewItem],
    existing: set[str],
    thumbnails: Mapping[str, str],
) -> tuple[int, int]:
    """Update the samples that existed before; return how many labels changed and how many edits are not applied yet.

    Args:
        items: every item by image id.
        existing: image ids of the samples that existed before.
        thumbnails: path of the thumbnail by image id.
    """
    rows = [row for row in read_samples(dataset, workspace) if row.image_id in existing]
    removed = [row.sample_id for row in rows if row.image_id not in items]
    if removed:
        dataset.delete_samples(removed)
    rows = [row for row in rows if row.image_id in items]
    states = {row.sample_id: items[row.image_id].image.review_state for row in rows}
    num_pending = sum(row.is_pending for row in rows)
    changed = {row.sample_id: row for row in rows if not row.is_pending and row.pushed != states[row.sample_id]}
    num_updated = 0
    for sample in dataset.select(list(changed)).iter_samples(autosave=True, batch_size=_CHUNK):
        if _sample_marks(sample) == changed[sample.id].marks:
            _set_state(fo, sample, states[sample.id], workspace, changed[sample.id].edit)
            num_updated += 1
        else:  # edited since it was read above
            num_pending += 1
    ids = {row.image_id: row.sample_id for row in rows}
    paths = {image_id: str(workspace.root / items[image_id].image.path) for image_id in ids}
    _set_values(dataset, ids, "filepath", paths)
    _set_values(dataset, ids, "thumbnail_path", {image_id: thumbnails.get(image_id, path) for image_id, path in paths.items()})
    _update_fields(dataset, items, ids)
    return num_updated, num_pending


def _update_fields(dataset: Dataset, items: Mapping[str, ReviewItem], ids: Mapping[str, str]) -> None:
    """Update the fields beside the label, one field at a time. `ids`: sample ids by image id."""
    fields = {image_id: {**items[image_id].quality, **_fields(items[image_id])} for image_id in ids}
    for name in dict.fromkeys(name for values in fields.values() for name in values):
        _set_values(dataset, ids, name, {image_id: values.get(name) for image_id, values in fields.items()})


def _set_values(dataset: Dataset, ids: Mapping[str, str], name: str, values: Mapping[str, Any]) -> None:
    """Write only the values that changed."""
    stored = dict(zip(dataset.values("image_id"), dataset.values(name), strict=True)) if dataset.has_field(name) else {}
    changes = {ids[image_id]: value for image_id, value in values.items() if (stored.get(image_id) or None) != (value or None)}
    if changes:
        dataset.set_values(name, changes, key_field="id", dynamic=True)


def save_views(fo: FiftyOne, dataset: Dataset, categories: Sequence[str]) -> None:
    """Save one view per queue and per category; delete those of former queues and categories."""
    existing = set(dataset.list_saved_views())
    field = fo.ViewField
    views = {name: (field("queues").contains(queue), order, reverse) for name, queue, order, reverse in _VIEWS}
    for number, category in enumerate(categories, start=1):
        if dataset.has_field(_CLASSIFICATIONS):
            match = field(_CLASSIFICATIONS).filter(field("label") == category).length() > 0
        else:
            match = field(f"{LABEL}.label") == category
        # FiftyOne compares names of views by their letters a to z and digits only
        views[f"category {number:02} {category}"] = (match, "image_id", False)
    for name in existing - views.keys():
        if re.match(r"\d+ |category ", name):
            dataset.delete_saved_view(name)
    for name, (match, order, reverse) in views.items():
        if name not in existing:
            dataset.save_view(name, dataset.match(match).sort_by(order, reverse=reverse))


def first_view(fo: FiftyOne, dataset: Dataset) -> str:
    """Return the name in URLs of the first queue that has images; "" if all are empty."""
    existing = dataset.list_saved_views()
    name = next((name for name, *_ in _VIEWS if name in existing and len(dataset.load_saved_view(name))), "")
    return str(fo.core.utils.to_slug(name)) if name else ""


def make_editable(dataset: Dataset, categories: Sequence[str]) -> None:
    """Make the label editable in the App, with every category to choose from."""
    schemas = dataset.generate_label_schemas(fields=[LABEL])
    schema = schemas[LABEL]
    schema["classes"] = list(categories)
    schema["component"] = "radio" if len(categories) <= 5 else "dropdown"
    dataset.set_label_schemas(schemas)
    dataset.activate_label_schemas([LABEL])
