"""Honour a takedown: erase images everywhere in the workspace, leave a tombstone, and name what contains them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fototeca.collect.catalog import (
    ERASED,
    EXPORT_RECORD,
    LOCAL_SCHEME,
    Catalog,
    Edit,
    Erasure,
    ImageRow,
    local_path,
    now,
    replace_surrogates,
)
from fototeca.core.documents import parse_json, read_regular_file
from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.regroup import regroup
from fototeca.curate.erasure.copies import Target, delete_copies
from fototeca.curate.labels.decisions import current_person, find_image_id
from fototeca.curate.manifest import list_versions
from fototeca.curate.tombstones import write_tombstones


@dataclass(frozen=True)
class EraseResult(Result):
    """Images that are erased, and what contains them outside the reach of an erasure."""

    images: tuple[str, ...]
    """Ids."""

    files: int
    """Files that were deleted or rewritten."""

    versions: tuple[str, ...]
    """Frozen versions that list the images; they stay as they are and can no longer be trained on or exported."""

    runs: tuple[str, ...]
    """Runs that were trained on these versions: their weights have seen the images."""

    exports: tuple[str, ...]
    """Folders to which these versions were exported."""

    originals: tuple[str, ...]
    """Files outside the workspace's caches from which the images were collected; they are left to their owner."""

    copies: tuple[str, ...]
    """Images of the same duplicate groups, which stay."""

    def text(self) -> str:
        """Return the result for the terminal."""
        lines = [f"{len(self.images)} images: {', '.join(image_id[:12] for image_id in self.images)}"]
        rows = (
            ("frozen versions that list them", self.versions, "freeze a new one: fototeca curate freeze"),
            ("runs trained on these versions", self.runs, "train again on the new version, or delete their folders in data/runs"),
            ("exports of these versions", self.exports, "delete them, and their public copies"),
            ("original files", self.originals, "delete them yourself"),
            ("copies in the dataset that stay", tuple(each[:12] for each in self.copies), "look at them: fototeca curate groups"),
        )
        return "\n".join(lines + [f"{title}: {', '.join(names)}; {hint}" for title, names, hint in rows if names])


@dataclass(frozen=True)
class Selection:
    """Images to erase: ids or unique beginnings of ids, URLs (of image or page), names of sources, original file names."""

    image_ids: Sequence[str] = ()
    urls: Sequence[str] = ()
    sources: Sequence[str] = ()
    file_names: Sequence[str] = ()


def plan_erasure(workspace: Workspace, selection: Selection) -> EraseResult:
    """Return what `erase_images` would erase and name; nothing is changed. An empty selection means interrupted erasures.

    Raises:
        FototecaError: no image matches one of the selectors, or nothing is selected and no erasure was interrupted.
    """
    with Catalog.open(workspace) as catalog:
        return _plan(workspace, catalog, _select(workspace, catalog, selection))


def erase_images(workspace: Workspace, selection: Selection, reason: str) -> EraseResult:
    """Erase images from the workspace; an interrupted erasure is completed by repeating it, or with an empty selection.

    First a tombstone of each image is written to the catalog and to `manifests/erased.csv`, so that its bytes are never
    collected again. Then the stored file, thumbnails, cached pixels, features and keypoints, cached origins, and the reports,
    results and predictions about it are deleted. Frozen versions, weights and exported folders are named, not changed.

    Args:
        workspace: the workspace. End other commands first: their caches disappear.
        selection: the images.
        reason: one line, stored with the decision and the tombstone.

    Raises:
        FototecaError: as `plan_erasure`; the reason is empty.
    """
    reason = " ".join(replace_surrogates(reason).split())
    if not reason and selection != Selection():
        raise FototecaError("an erasure needs a reason", "give --reason, such as 'request of the author'")
    with Catalog.open(workspace) as catalog:
        ids = _select(workspace, catalog, selection)
        plan = _plan(workspace, catalog, ids)
        _bury(workspace, catalog, ids, reason)
        pending = [erasure.image_id for erasure in catalog.erasures.all() if not erasure.is_complete or erasure.image_id in ids]
        count = delete_copies(workspace, _target(workspace, catalog, pending, plan))
        if neighbors := catalog.erasures.neighbors(pending):
            regroup(workspace, catalog, neighbors)
        catalog.erasures.forget_pixels(pending)
        catalog.erasures.complete(pending)
    return replace(plan, files=count)


def _bury(workspace: Workspace, catalog: Catalog, ids: Sequence[str], reason: str) -> None:
    """Write the tombstones and the decisions of images that have none yet."""
    person, rows = current_person(), _manifest_hashes(workspace)
    with catalog.transaction():
        known = {erasure.image_id for erasure in catalog.erasures.all()}
        for image_id in ids:
            if image_id in known:
                continue
            image = catalog.images.get(image_id)
            phash = image.phash if image else rows.get(image_id, "")
            catalog.erasures.add([Erasure(image_id, phash, now(), person.name, reason)])
            if image:
                catalog.decisions.add(image_id, Edit.reject(ERASED), by=person, reason=reason)
    write_tombstones(workspace, catalog.erasures.all())


def _select(workspace: Workspace, catalog: Catalog, selection: Selection) -> list[str]:
    """Return the ids of the selected images, sorted."""
    if selection == Selection():
        pending = [erasure.image_id for erasure in catalog.erasures.all() if not erasure.is_complete]
        if not pending:
            raise FototecaError(
                "no images given, and no erasure was interrupted", "give image ids, --url, --source or --file-name"
            )
        return pending
    known = _manifest_hashes(workspace) | {erasure.image_id: "" for erasure in catalog.erasures.all()}
    ids = {each.lower() if each.lower() in known else find_image_id(catalog, each) for each in selection.image_ids}
    matches = catalog.provenance.find_images(selection.urls, selection.sources, selection.file_names)
    for name, images in matches.items():
        if not images:
            raise FototecaError(f"no image was collected from {name!r}", "see where an image is from: fototeca curate review")
    return sorted(ids.union(*matches.values()))


def _manifest_hashes(workspace: Workspace) -> dict[str, str]:
    """Return the pHash of every image of every frozen version by id; the files may be damaged."""
    hashes: dict[str, str] = {}
    for version in list_versions(workspace):
        text = (workspace.manifests / f"{version}.csv").read_text(encoding="utf-8", errors="replace")
        for row in re.finditer(r"(?m)^([0-9a-f]{64}),.*?,([0-9a-f]{16}),", text):
            hashes[row[1]] = row[2]
    return hashes


def _plan(workspace: Workspace, catalog: Catalog, ids: Sequence[str]) -> EraseResult:
    versions = tuple(name for name in list_versions(workspace) if _lists(workspace.manifests / f"{name}.csv", ids))
    exports = catalog.metadata.with_prefix(EXPORT_RECORD)
    return EraseResult(
        images=tuple(ids),
        files=0,
        versions=versions,
        runs=tuple(path.parent.name for path in sorted(workspace.runs.glob("*/config.json")) if _run_version(path) in versions),
        exports=tuple(sorted(folder for folder, version in exports.items() if version in versions)),
        originals=tuple(str(path) for path in _origins(catalog, ids) if not _is_cached(workspace, path)),
        copies=tuple(catalog.erasures.copies(ids)),
    )


def _lists(path: Path, ids: Sequence[str]) -> bool:
    content = path.read_bytes() if path.is_file() else b""
    return any(image_id.encode() in content for image_id in ids)


def _run_version(config: Path) -> str:
    """Return the version on which a run was trained; empty if its configuration cannot be read."""
    try:
        document = parse_json(read_regular_file(config))
    except (OSError, ValueError):
        return ""
    return str(document.get("manifest", "")) if isinstance(document, dict) else ""


def _origins(catalog: Catalog, ids: Sequence[str]) -> list[Path]:
    """Return the local files, as far as they exist, from which images were collected."""
    urls = {
        place.url for image_id in ids for place in catalog.provenance.of_image(image_id) if place.url.startswith(LOCAL_SCHEME)
    }
    return [path for path in (local_path(url) for url in sorted(urls)) if path.exists()]


def _is_cached(workspace: Workspace, path: Path) -> bool:
    return path.resolve().is_relative_to(workspace.cache.resolve())


def _target(workspace: Workspace, catalog: Catalog, ids: Sequence[str], plan: EraseResult) -> Target:
    images: list[ImageRow] = [image for image in map(catalog.images.get, ids) if image]
    cached = frozenset(path for path in _origins(catalog, ids) if _is_cached(workspace, path))
    sizes = frozenset(image.bytes for image in images)
    return Target(frozenset(ids), sizes, cached, frozenset(plan.versions), frozenset(plan.runs))
