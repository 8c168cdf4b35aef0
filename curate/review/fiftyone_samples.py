"""The FiftyOne dataset's samples: what each shows, what it says, and what was pushed. FiftyOne itself is handed in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.review_state import TAG_REVIEWED, Judgement
from fototeca.curate.review.queues import (
    BOUNDARY,
    CONFLICT,
    DISAGREED,
    DUPLICATE,
    OUTLIER,
    QUALITY,
    SUGGESTED,
    UNKNOWN,
    UNREVIEWED,
    ReviewItem,
)

FiftyOne = Any
"""The module; it ships no types."""
Dataset = Any
Sample = Any

LABEL = "ground_truth"
PUSHED = "pushed"
_SEVERAL = f"{LABEL}.classifications"
_CHUNK = 500
_VIEWS = (
    ("1 label conflicts", CONFLICT, "group", False),
    ("2 reviewers disagree", DISAGREED, "image_id", False),
    ("3 unknown category", UNKNOWN, "image_id", False),
    ("4 suggested", SUGGESTED, "suspicion", True),
    ("5 outliers", OUTLIER, "suspicion", True),
    ("6 near a boundary", BOUNDARY, "suspicion", True),
    ("7 near-duplicates", DUPLICATE, "group", False),
    ("8 quality", QUALITY, "findings", False),
    ("9 not reviewed", UNREVIEWED, "image_id", False),
)


def declare(fo: FiftyOne, dataset: Dataset, workspace: Workspace) -> None:
    """The dataset's fields. FototecaError where it was made for another task."""
    several = workspace.settings.task == "multi"
    if dataset.has_sample_field(LABEL) and dataset.has_field(_SEVERAL) != several:
        hint = f"pull what is left in it with the old task, then: fiftyone datasets delete {dataset.name}"
        raise FototecaError(f"the task was changed since {dataset.name} was made", hint)
    kind = fo.Classifications if several else fo.Classification
    if not dataset.has_sample_field(LABEL):
        dataset.add_sample_field(LABEL, fo.EmbeddedDocumentField, embedded_doc_type=kind)
    strings = ("image_id", PUSHED, "thumbnail_path", "group", "status", "source", "license", "suggested")
    for name in strings:
        dataset.add_sample_field(name, fo.StringField)
    dataset.add_sample_field("kept", fo.BooleanField)
    dataset.add_sample_field("suspicion", fo.FloatField)
    for name in ("also", "findings", "queues"):
        dataset.add_sample_field(name, fo.ListField, subfield=fo.StringField)
    dataset.create_index("image_id", unique=True)
    dataset.app_config.media_fields = ["filepath", "thumbnail_path"]
    dataset.app_config.grid_media_field = "thumbnail_path"
    dataset.save()


def _facts(item: ReviewItem) -> dict[str, Any]:
    image = item.image
    return {
        "group": image.group or None,
        "kept": image.kept,
        "status": image.status,
        "source": item.source,
        "license": item.license,
        "also": list(item.also),
        "suggested": item.suggested or None,
        "suspicion": item.suspicion or None,
        "findings": list(item.findings),
        "queues": list(item.queues),
    }


def make_sample(fo: FiftyOne, workspace: Workspace, item: ReviewItem, thumbnails: Mapping[str, str]) -> Sample:
    """A sample that shows an image and says what the catalog says."""
    judgement = Judgement.of_image(item.image)
    path = str(workspace.root / item.image.path)
    sample = fo.Sample(
        filepath=path, image_id=item.image.image_id, thumbnail_path=thumbnails.get(item.image.image_id, path), **_facts(item)
    )
    for name, value in item.quality.items():
        sample[name] = value
    _say(fo, sample, judgement, workspace)
    return sample


def _say(fo: FiftyOne, sample: Sample, judgement: Judgement, workspace: Workspace) -> None:
    """Let a sample say a judgement, and remember that it was pushed."""
    names = [name for name in judgement.label.split(LABEL_SEPARATOR) if name]
    labels = [fo.Classification(label=name) for name in names]
    multi = workspace.settings.task == "multi"
    sample[LABEL] = fo.Classifications(classifications=labels) if multi else (labels[0] if labels else None)
    sample.tags = judgement.tags
    sample[PUSHED] = judgement.encode()


def mark(fo: FiftyOne, sample: Sample, said: Judgement, after: Judgement, workspace: Workspace) -> None:
    """Let a sample that was read as `said` say `after`; one made to say something else meanwhile keeps that, to be pulled next.

    One write for label, tags and what was pushed: a kill leaves all or none of it.
    """
    if _said(sample) == said:
        _say(fo, sample, after, workspace)
    else:
        sample[PUSHED] = after.encode()
    sample.save()


def _said(sample: Sample) -> Judgement:
    found = sample[LABEL]
    labels = found.classifications if hasattr(found, "classifications") else [found] if found else []
    return Judgement.of_tags(_joined(one.label for one in labels), sample.tags)


def show_progress(dataset: Dataset) -> None:
    """Say beside the dataset's name how many of its images are reviewed."""
    tags = dataset.values("tags")
    dataset.description = f"{sum(TAG_REVIEWED in (each or ()) for each in tags)} of {len(tags)} images reviewed"
    dataset.save()


def _joined(names: Iterable[str | None]) -> str:
    """Labels as the catalog writes a set of them."""
    return LABEL_SEPARATOR.join(sorted({name for name in names if name}))


def read_samples(dataset: Dataset) -> Iterator[tuple[str, str, Judgement, Judgement]]:
    """Sample id, image id, what the sample says, what was pushed."""
    path = f"{_SEVERAL}.label" if dataset.has_field(_SEVERAL) else f"{LABEL}.label"
    columns = dataset.values(["id", "image_id", path, "tags", PUSHED])
    for sample_id, image_id, labels, tags, pushed in zip(*columns, strict=True):
        names = labels if isinstance(labels, list) else [labels]
        yield sample_id, image_id, Judgement.of_tags(_joined(names), tags or []), Judgement.decode(pushed or "")


def update_samples(
    fo: FiftyOne,
    dataset: Dataset,
    workspace: Workspace,
    items: Mapping[str, ReviewItem],
    known: set[str],
    thumbnails: Mapping[str, str],
) -> tuple[int, int]:
    """Bring samples that were there before up to date; how many labels changed, and how many edits wait to be pulled."""
    rows = [row for row in read_samples(dataset) if row[1] in known]
    gone = [sample_id for sample_id, image_id, _, _ in rows if image_id not in items]
    if gone:
        dataset.delete_samples(gone)
    changed = {}
    pending = 0
    for sample_id, image_id, said, pushed in rows:
        if image_id not in items:
            continue
        now = Judgement.of_image(items[image_id].image)
        if said != pushed:
            pending += 1
        elif now != pushed:
            changed[sample_id] = now
    updated = 0
    for sample in dataset.select(list(changed)).iter_samples(autosave=True, batch_size=_CHUNK):
        if _said(sample) == Judgement.decode(sample[PUSHED]):
            _say(fo, sample, changed[sample.id], workspace)
            updated += 1
        else:  # edited since it was read above
            pending += 1
    ids = {row[1]: row[0] for row in rows if row[1] in items}
    paths = {image_id: str(workspace.root / items[image_id].image.path) for image_id in ids}
    _set(dataset, ids, "filepath", paths)
    _set(dataset, ids, "thumbnail_path", {image_id: thumbnails.get(image_id, path) for image_id, path in paths.items()})
    _update_facts(dataset, items, ids)
    return updated, pending


def _update_facts(dataset: Dataset, items: Mapping[str, ReviewItem], ids: Mapping[str, str]) -> None:
    """What the catalog says beside the label, a field at a time. `ids`: sample ids by image id."""
    facts = {image_id: {**items[image_id].quality, **_facts(items[image_id])} for image_id in ids}
    for name in dict.fromkeys(name for each in facts.values() for name in each):
        _set(dataset, ids, name, {image_id: each.get(name) for image_id, each in facts.items()})


def _set(dataset: Dataset, ids: Mapping[str, str], name: str, wanted: Mapping[str, Any]) -> None:
    """Set only the values that changed."""
    there = dict(zip(dataset.values("image_id"), dataset.values(name), strict=True)) if dataset.has_field(name) else {}
    changes = {ids[key]: value for key, value in wanted.items() if (there.get(key) or None) != (value or None)}
    if changes:
        dataset.set_values(name, changes, key_field="id", dynamic=True)


def save_views(fo: FiftyOne, dataset: Dataset, categories: Sequence[str]) -> None:
    """One saved view per queue, and per category; those of a queue or category of another name go."""
    there = set(dataset.list_saved_views())
    field = fo.ViewField
    views = {name: (field("queues").contains(queue), order, reverse) for name, queue, order, reverse in _VIEWS}
    for number, category in enumerate(categories, start=1):
        if dataset.has_field(_SEVERAL):
            match = field(_SEVERAL).filter(field("label") == category).length() > 0
        else:
            match = field(f"{LABEL}.label") == category
        # FiftyOne tells views apart by their letters from a to z and digits alone
        views[f"category {number:02} {category}"] = (match, "image_id", False)
    for name in there - views.keys():
        if re.match(r"\d+ |category ", name):
            dataset.delete_saved_view(name)
    for name, (match, order, reverse) in views.items():
        if name not in there:
            dataset.save_view(name, dataset.match(match).sort_by(order, reverse=reverse))


def make_editable(dataset: Dataset, categories: Sequence[str]) -> None:
    """Make the label editable in the App, with every category to choose from."""
    schemas = dataset.generate_label_schemas(fields=[LABEL])
    schema = schemas[LABEL]
    schema["classes"] = list(categories)
    schema["component"] = "radio" if len(categories) <= 5 else "dropdown"
    dataset.set_label_schemas(schemas)
    dataset.activate_label_schemas([LABEL])
