"""`fototeca collect HUB REF`: a dataset comes, its folders are mapped by a person, its images are taken in."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from fototeca.collect.api.json_fields import text
from fototeca.collect.catalog import Provenance
from fototeca.collect.files.archives import DamagedArchiveError, bare_name, is_archive, unpack
from fototeca.collect.files.class_mapping import class_folders, labels, proposal_text, read_map
from fototeca.collect.files.local_files import image_names, local_url
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.hubs import Facts, Hub, cleaned, get_hub
from fototeca.collect.ingest.pipeline import collect
from fototeca.collect.ingest.summary import Summary
from fototeca.collect.sources import Context
from fototeca.core.errors import EXIT_OUTSIDE, EXIT_SHORT, FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace

_AUGMENTED = re.compile(r"^(.+)\.rf\.[0-9A-Za-z]+\.\w+$")
"""How Roboflow names the copies that it makes of one image: `NAME_jpg.rf.HASH.jpg`."""


def take(workspace: Workspace, hub: str, ref: str, mapping: Path | None, options: FetchOptions) -> Summary:
    """Download a dataset if it is not here yet, and take in the images whose folders `mapping` makes categories.

    Without `mapping` a proposal is written, and FototecaError (exit 3) asks to confirm it. Splits of the dataset are not
    kept: fototeca makes its own.
    """
    settings = workspace.settings
    chosen = read_map(mapping, settings) if mapping else {}
    context = Context(workspace, options)
    ref = _canonical(get_hub(hub), ref, context)
    place = workspace.cache / "hubs" / (f"{hub}-" + re.sub(r"[^\w.@-]", "--", ref))
    facts = _fetched(hub, ref, place, context)
    root = place / facts.place
    names = sorted(image_names(root))
    if not names:
        raise FototecaError(f"{ref} of {hub} has no images", "its archives hold none; choose another dataset", EXIT_OUTSIDE)
    folders = class_folders(names, settings)
    if mapping is None:
        raise _unconfirmed(place, proposal_text(folders, settings, f"{facts.title} ({facts.page_url})"))
    taken = labels(folders, chosen, mapping)
    return collect(workspace, _findings(root, facts, folders, taken), options, total=len(taken), local=True)


def _canonical(hub: Hub, ref: str, context: Context) -> str:
    """The reference in the hub's spelling; a DOI that does not tell it is looked up."""
    doi = re.match(r"^(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,}/\S+)$", ref.strip())
    try:
        return hub.canonical(doi[1] if doi else ref)
    except FototecaError:
        if not doi:
            raise
        answer = context.web("doi").json(context.site("doi")["endpoint"] + quote(doi[1]))
        addresses = [text(value, "data", "value") for value in answer.get("values", []) if text(value, "type") == "URL"]
        return hub.canonical(addresses[0] if addresses else ref)


def _fetched(hub: str, ref: str, place: Path, context: Context) -> Facts:
    """The facts of the dataset in `place`, which is fetched and unpacked first unless it is there whole."""
    record = place / "dataset.json"  # written last
    if not record.is_file():
        # A hub's client may print; what it prints may hold addresses with keys, and stdout is for results.
        with contextlib.redirect_stdout(io.StringIO()):
            facts = cleaned(hub, get_hub(hub).fetch(ref, place, context))
        _unpack_all(place / facts.place)
        write_text(record, json.dumps(asdict(facts), ensure_ascii=False, indent=2) + "\n")
    facts = Facts(**json.loads(record.read_text(encoding="utf-8")))
    for archive in _archives(place / facts.place):
        archive.unlink()
    return facts


def _unpack_all(place: Path) -> None:
    for archive in _archives(place):
        try:
            unpack(archive, archive.with_name(bare_name(archive.name)))
        except DamagedArchiveError as error:
            archive.unlink(missing_ok=True)  # else it would count as fetched for ever
            raise FototecaError(error.message, error.hint, EXIT_OUTSIDE) from None


def _archives(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if is_archive(path))


def _unconfirmed(place: Path, proposal: str) -> FototecaError:
    """Write the proposal, unless a person may have mended the one that is there, and ask for confirmation."""
    file = place.with_name(f"{place.name}.toml")
    if not file.exists():
        write_text(file, proposal)
    return FototecaError(f"{file} proposes which folder is which category", f"confirm it with --map {file}", EXIT_SHORT)


def _findings(root: Path, facts: Facts, folders: dict[str, str], taken: dict[str, str]) -> Iterator[Provenance]:
    for rank, (name, category) in enumerate(taken.items()):
        yield Provenance(
            local_url(root.resolve() / name),
            facts.hub,
            category,
            query=facts.ref,
            rank=rank,
            page_url=facts.page_url,
            author=facts.author,
            license=facts.license,
            license_found=facts.license_found,
            original=_original(facts, folders[name], Path(name).name),
        )


def _original(facts: Facts, folder: str, name: str) -> str:
    """An id for the image of which this is an augmented copy, so that all copies land in one split; else nothing.

    Every version of a dataset makes copies of its own of the same images.
    """
    copy = _AUGMENTED.match(name)
    dataset = re.sub(rf"(/versions)?/{re.escape(facts.version)}$|@[^@]*$", "", facts.ref)
    return f"{facts.hub}/{dataset}/{folder}/{copy[1]}" if copy else ""
