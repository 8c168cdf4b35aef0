"""`fototeca collect HUB REF`: download a dataset, let a person map its folders to categories, and collect its images."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import quote

from fototeca.collect.api.json_fields import get_text
from fototeca.collect.catalog import Provenance
from fototeca.collect.catalog.local_urls import local_url
from fototeca.collect.files.archives import is_archive, unpack
from fototeca.collect.files.class_mapping import find_class_folders, map_folders, render_proposal, write_proposal
from fototeca.collect.files.embedded_tables import EmbeddedLabels, read_embedded_tables, write_label_table
from fototeca.collect.files.exclude import Exclude
from fototeca.collect.files.extraction import DamagedArchiveError, is_parquet_table, strip_archive_suffix
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.files.label_files import read_labels
from fototeca.collect.files.local_files import decode_file_name
from fototeca.collect.files.split_facts import Dataset, SplitFacts, find_split_facts
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.hubs import DatasetInfo, Hub, get_hub, redact
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.sources import SourceContext
from fototeca.core.class_mapping import read_mapping
from fototeca.core.errors import ExternalError, FototecaError, ShortfallError
from fototeca.core.files import write_text
from fototeca.core.passed_over import PassedOver, PassedOverCount
from fototeca.core.workspace import Workspace
from fototeca.vision.image_files import find_images


def import_dataset(workspace: Workspace, hub: str, ref: str, use: FolderOptions, options: FetchOptions) -> CollectSummary:
    """Download a dataset unless it is complete already, and collect the images whose classes a mapping maps to categories.

    The classes are those of the tables inside the dataset (`metadata.jsonl` and others, see `embedded_tables`), else folders.

    Args:
        workspace: where the dataset, images and catalog are written.
        hub: name of the hub.
        ref: id, DOI or page URL of the dataset.
        use: `mapping`, `keep_splits`, `group_by` and `exclude`. Without `mapping` a proposal is written.
        options: limits of fetching.

    Raises:
        FototecaError: the dataset cannot be fetched or has no images; with exit code 3, the proposal is to be confirmed.
    """
    settings, mapping, exclude = workspace.settings, use.mapping, Exclude(use.exclude)
    categories = read_mapping(mapping, settings) if mapping else {}
    with contextlib.closing(SourceContext(workspace, options)) as context:
        ref = _normalize_ref(get_hub(hub), ref, context)
        folder = workspace.cache / "hubs" / (f"{hub}-" + re.sub(r"[^\w.@-]", "--", ref))
        info, passed_over, file_names = _download(hub, ref, folder, context)
    root = folder / info.folder
    labels = read_embedded_tables(root, exclude)
    names = find_images(root, passed_over, is_excluded=exclude, used=[root / name for name in labels.files])
    exclude.report_unused()
    if not names:
        contents = passed_over.describe_contents()
        raise ExternalError(f"{ref} of {hub} has no images; it has {contents}", "choose another dataset")
    classes = {record.path: record.get("label") for record in labels.records} or find_class_folders(names, settings)
    if mapping is None:
        raise _propose(folder, render_proposal(classes, settings, f"{info.title} ({info.page_url})"))
    with _table_of(workspace, root, labels, use) as with_table:
        if with_table.labels:
            labels_by_name = read_labels(names, file_names, with_table, settings, passed_over)
        else:
            labels_by_name = map_folders(classes, categories, mapping, passed_over)
        dataset = Dataset(root, list(labels_by_name), file_names, "", dataset_scope(info))
        facts = find_split_facts(dataset, with_table, settings)
    provenances = _provenances(root, info, facts, labels_by_name, file_names)
    total = len(labels_by_name)
    return ingest_provenances(workspace, provenances, options, total=total, local=True, passed_over=passed_over)


@contextmanager
def _table_of(workspace: Workspace, root: Path, labels: EmbeddedLabels, use: FolderOptions) -> Iterator[FolderOptions]:
    """Yield the options with a temporary table of the labels inside the dataset, or as they are if it has none."""
    if not labels.records:
        yield use
        return
    table = write_label_table(workspace, root, labels)
    try:
        yield replace(use, labels=table)
    finally:
        shutil.rmtree(table.parent)


def _normalize_ref(hub: Hub, ref: str, context: SourceContext) -> str:
    """Return the canonical reference; a DOI in another form than the hub's is resolved to its page."""
    doi = re.match(r"^(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,}/\S+)$", ref.strip())
    try:
        return hub.normalize_ref(doi[1] if doi else ref)
    except FototecaError:
        if not doi:
            raise
        response = context.client("doi").fetch_json(context.site("doi")["endpoint"] + quote(doi[1]))
        values = response.get("values", [])
        urls = [get_text(value, "data", "value") for value in values if get_text(value, "type") == "URL"]
        return hub.normalize_ref(urls[0] if urls else ref)


def _download(hub: str, ref: str, folder: Path, context: SourceContext) -> tuple[DatasetInfo, PassedOver, dict[str, str]]:
    """Download and unpack the dataset in `folder` unless it is complete.

    Returns its description, the files that were passed over, and the original name of each file that was renamed, by path
    relative to the folder of the files.
    """
    record, contents = folder / "dataset.json", folder / "contents.json"  # the record is written last
    if not record.is_file():
        # A hub's client may print URLs with keys, and stdout is for results.
        with contextlib.redirect_stdout(io.StringIO()):
            info = redact(hub, get_hub(hub).download(ref, folder, context))
        file_names = _unpack_archives(folder / info.folder, context.passed_over)
        counts = [count.to_json() for count in context.passed_over.counts()]
        write_text(contents, json.dumps({"passed_over": counts, "file_names": file_names}, indent=2) + "\n")
        write_text(record, json.dumps(asdict(info), ensure_ascii=False, indent=2) + "\n")
    info = DatasetInfo(**json.loads(record.read_text(encoding="utf-8")))
    for archive in _list_archives(folder / info.folder):
        archive.unlink()
    shutil.rmtree(
        folder / info.folder / ".cache", ignore_errors=True
    )  # the notes of Hugging Face's client, no part of the dataset
    passed_over = PassedOver()
    document = json.loads(contents.read_text(encoding="utf-8"))
    passed_over.update(PassedOverCount(**{**row, "names": tuple(row["names"])}) for row in document["passed_over"])
    return info, passed_over, document["file_names"]


def _unpack_archives(folder: Path, passed_over: PassedOver) -> dict[str, str]:
    """Unpack every archive; return the original names of renamed files, by path relative to `folder`."""
    original_names = {}
    for archive in _list_archives(folder):
        target = archive.with_name(strip_archive_suffix(archive.name))
        prefix = target.relative_to(folder).as_posix()
        try:
            renamed = unpack(archive, target, passed_over)
        except DamagedArchiveError as error:
            archive.unlink(missing_ok=True)  # otherwise the next call would take it for a complete download
            raise ExternalError(error.message, error.hint) from None
        original_names.update({f"{prefix}/{path}": f"{prefix}/{name}" for path, name in renamed.items()})
    return original_names


def _list_archives(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if is_archive(path) and not is_parquet_table(path.name))


def _propose(folder: Path, proposal: str) -> FototecaError:
    """Write the proposed mapping, and return the error that asks to confirm it."""
    file = folder.with_name(f"{folder.name}.toml")
    write_proposal(file, proposal)
    return ShortfallError(f"{file} proposes a category for each folder", f"confirm it with --map {file}")


def _provenances(
    root: Path, info: DatasetInfo, facts: SplitFacts, labels_by_name: dict[str, str], file_names: dict[str, str]
) -> Iterator[Provenance]:
    for rank, (name, category) in enumerate(labels_by_name.items()):
        place = Provenance(
            local_url(root.resolve() / name),
            info.hub,
            category,
            query=info.ref,
            rank=rank,
            page_url=info.page_url,
            author=info.author,
            license=info.license,
            license_found=info.license_found,
            file_name=decode_file_name(file_names.get(name, name)),
        )
        yield facts.add_to(place, name)


def dataset_scope(info: DatasetInfo) -> str:
    """Return hub and name of a dataset without its version, since every version has its own copies of the same images."""
    return f"{info.hub}/" + re.sub(rf"(/versions)?/{re.escape(info.version)}$|@[^@]*$", "", info.ref)
