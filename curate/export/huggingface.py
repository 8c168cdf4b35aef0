"""Write a Hugging Face dataset: a folder of images per split with their columns, and a card that declares them."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from fototeca.core.console import escape_text
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.curate.export.datasheet import datasheet, hub_license
from fototeca.curate.export.placement import PORTABLE, Export, PlacedFile
from fototeca.curate.manifest import SPLITS, Manifest, ManifestRow

_TEXT = ("image_id", "split", "group", "phash", "source", "image_url", "page_url", "author", "license")
_TYPES = {"width": "int32", "height": "int32", "reviewed": "bool"}
_HUB_SPLITS = {"val": "validation"}


def export_huggingface(export: Export) -> None:
    """Write `data/SPLIT/ID.jpg`, a metadata.jsonl per split and a dataset card, as `datasets` loads a folder of images.

    The card declares the columns, `label` as ClassLabel among them (multi-label: a list of it). JSON Lines rather than CSV,
    because `datasets` infers the types of CSV columns, quoted or not, where a reader ignores the card: labels such as 007 would
    become numbers, and `nan` or an empty cell a missing value.
    """
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    multi = export.manifest.task == "multi"
    for row, file in export.place_all(lambda row: f"data/{row.split}", PORTABLE):
        lines[row.split].append(json.dumps(_record(row, file, multi), ensure_ascii=False) + "\n")
    for split, records in lines.items():
        if records:  # `datasets` refuses a folder with an empty split
            write_text(export.folder / "data" / split / "metadata.jsonl", "".join(records))
    card = dataset_card(export.workspace, export.manifest)
    write_text(export.folder / "README.md", f"{card}\n{export.describe_files()}")


def _record(row: ManifestRow, file: PlacedFile, multi: bool) -> dict[str, object]:
    return {
        "file_name": PurePosixPath(file.path).name,
        "label": list(row.labels) if multi else row.label,
        **{name: getattr(row, name) for name in _TEXT},
        "width": file.width,
        "height": file.height,
        "reviewed": row.reviewed,
    }


def dataset_card(workspace: Workspace, manifest: Manifest) -> str:
    """Return the README.md of a Hugging Face dataset: the metadata of its viewer, then the datasheet."""
    lines = [
        "---",
        f"license: {hub_license({row.license for row in manifest.rows})}",
        "task_categories:",
        "- image-classification",
        f"pretty_name: {_quoted(manifest.dataset_name)}",
        "size_categories:",
        f"- {_size(len(manifest.rows))}",
        "dataset_info:",
        *_features(manifest),
        "configs:",
        "- config_name: default",
        *_features(manifest),
        "  data_files:",
    ]
    for split, count in manifest.split_counts().items():
        if count:
            lines += [f"  - split: {_HUB_SPLITS.get(split, split)}", f"    path: data/{split}/**"]
    return "\n".join([*lines, "---", "", datasheet(workspace, manifest)])


def _features(manifest: Manifest) -> list[str]:
    """Return the types of the columns as `datasets` writes them in a card.

    The viewer of the Hub reads them in `dataset_info`, `datasets` in the configuration, for a folder of images.
    """
    multi = manifest.task == "multi"
    lines = ["  features:", "  - name: image", "    dtype: image", "  - name: label"]
    lines += ["    list:" if multi else "    dtype:", "      class_label:", "        names:"]
    lines += [f"          '{number}': {_quoted(name)}" for number, name in enumerate(manifest.categories)]
    types = {**dict.fromkeys(_TEXT, "string"), **_TYPES}
    return lines + [line for name, kind in types.items() for line in (f"  - name: {name}", f"    dtype: {kind}")]


def _size(images: int) -> str:
    """Return the size category of the Hugging Face Hub."""
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
    return next((name for bound, name in bounds if images < bound), "100K<n<1M")


def _quoted(text: str) -> str:
    """Return a text as YAML, whose double-quoted texts have the escapes of JSON."""
    return escape_text(json.dumps(text, ensure_ascii=False))
