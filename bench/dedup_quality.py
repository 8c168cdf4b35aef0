"""Benchmark near-duplicate detection: recall per kind of edit and precision, against imagededup and CleanVision.

    python bench/dedup_quality.py ../photographs/labels.csv [--seed 1] [--copies 200] [--lookalikes 20]

Some photographs are edited, once per kind of edit; each edited copy is searched among all photographs. A pair is correct
only if the copy was made from that photograph, so real near-duplicates among the photographs count as wrong. `set aside` counts
ties that set an image aside (copy, turned), `same group` all ties. Then sets of images that look alike and are no copies are
deduplicated, each in a workspace of its own, with their labels and with one label for all: none may be set aside.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from edits import EDITS
from lookalikes import draw_lookalikes
from PIL import Image

from fototeca.collect.files.local_files import LabelSource
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.workspace import create_workspace
from fototeca.curate.duplicates import KnownImages, NewImage, dedup, sign_image
from fototeca.curate.duplicates.native_verify import Judge
from fototeca.curate.duplicates.verdict import COPY, TURNED

PairsByEdit = Mapping[str, set[tuple[int, int]]]
"""By edit: pairs of the copied photograph's index and the index of the photograph that it was matched with."""


def main() -> None:
    """Parse options, edit photographs, search for the copies and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with arguments.labels.open(encoding="utf-8") as file:
        paths = [arguments.labels.parent / row["path"] for row in csv.DictReader(file)]
    chosen = np.random.default_rng(arguments.seed).choice(len(paths), min(arguments.copies, len(paths)), replace=False).tolist()
    with tempfile.TemporaryDirectory() as folder:
        copies = make_copies(paths, chosen, Path(folder), arguments.seed)
        answers = {"fototeca": fototeca_pairs(paths, copies)}
        for name, peer in {"imagededup pHash 10": imagededup_pairs, "CleanVision": cleanvision_pairs}.items():
            try:
                answers[name] = peer(paths, copies)
            except ImportError:
                print(f"{name} is not installed; skipped\n")
    print(f"{len(chosen)} of {len(paths)} photographs edited, seed {arguments.seed}\n")
    print_table(answers, len(chosen))


def make_copies(paths: list[Path], chosen: list[int], folder: Path, seed: int) -> dict[str, dict[int, Path]]:
    """Write the edited copies; return their paths by kind of edit and photograph."""
    copies: dict[str, dict[int, Path]] = defaultdict(dict)
    for number in chosen:
        with Image.open(paths[number]) as image:
            rgb = image.convert("RGB")
        for place, (name, edit) in enumerate(EDITS.items()):
            copies[name][number] = folder / f"{place:02}-{number}.jpg"
            edit(rgb, np.random.default_rng([seed, place, number])).save(copies[name][number], quality=92)
    return copies


def hash_images(paths: list[Path]) -> ViewHashes:
    """Return view hashes as `curate dedup` computes them."""
    blobs = [blob for _, blob in read_signatures(paths) if blob is not None]
    assert len(blobs) == len(paths)
    return hash_views(stack_signatures([str(number) for number in range(len(paths))], blobs))


def fototeca_pairs(paths: list[Path], copies: Mapping[str, Mapping[int, Path]]) -> PairsByEdit:
    """Match views of the copies with the photographs and vice versa, as in one search over both."""
    base = hash_images(paths)
    pairs_by_edit = {}
    for name, files in copies.items():
        numbers, queries = list(files), hash_images(list(files.values()))
        pairs = {(numbers[copy.a], copy.b) for copy in find_duplicate_pairs(queries, base, DEFAULT_THRESHOLD)}
        pairs_by_edit[name] = pairs | {
            (numbers[copy.b], copy.a) for copy in find_duplicate_pairs(base, queries, DEFAULT_THRESHOLD)
        }
    return pairs_by_edit


def imagededup_pairs(paths: list[Path], copies: Mapping[str, Mapping[int, Path]]) -> PairsByEdit:
    """Return pairs of its pHash within its default of 10 bits."""
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)

    def encode(files: list[Path]) -> np.ndarray:
        return np.array([int(hasher.encode_image(image_file=file), 16) for file in files], dtype=np.uint64)

    base = encode(paths)
    pairs_by_edit = {}
    for name, files in copies.items():
        numbers = list(files)
        near = np.nonzero(np.bitwise_count(encode(list(files.values()))[:, None] ^ base[None]) <= 10)
        pairs_by_edit[name] = {(numbers[a], int(b)) for a, b in zip(*near, strict=True)}
    return pairs_by_edit


def cleanvision_pairs(paths: list[Path], copies: Mapping[str, Mapping[int, Path]]) -> PairsByEdit:
    """Return its exact and near duplicates over all files."""
    from cleanvision import Imagelab

    owners = {str(path.resolve()): ("", number) for number, path in enumerate(paths)}
    owners |= {str(path.resolve()): (name, number) for name, files in copies.items() for number, path in files.items()}
    lab = Imagelab(filepaths=list(owners))
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=2, verbose=False)
    pairs_by_edit: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for kind in ("exact_duplicates", "near_duplicates"):
        for group in lab.info.get(kind, {}).get("sets", []):
            members = [owners[str(Path(file).resolve())] for file in group]
            photographs = [number for name, number in members if not name]
            for name, number in members:
                if name:
                    pairs_by_edit[name] |= {(number, other) for other in photographs}
    return pairs_by_edit


def print_table(answers: Mapping[str, PairsByEdit], count: int) -> None:
    """Print recall per edit, and precision over all pairs."""
    print("| edit | " + " | ".join(answers) + " |")
    print("| --- |" + " ---: |" * len(answers))
    for name in EDITS:
        shares = [sum(a == b for a, b in pairs_by_edit.get(name, set())) / count for pairs_by_edit in answers.values()]
        print(f"| {name} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")
    totals = [[pair for pairs in pairs_by_edit.values() for pair in pairs] for pairs_by_edit in answers.values()]
    precisions = [sum(a == b for a, b in pairs) / max(len(pairs), 1) for pairs in totals]
    print("| **precision, all pairs** | " + " | ".join(f"**{share:.3f}**" for share in precisions) + " |")


if __name__ == "__main__":
    main()
