"""Recall and precision of near-duplicate detection, per kind of edit, against imagededup and CleanVision.

    python bench/dedup_quality.py ../photographs/labels.csv [--seed 1] [--copies 200]

Some photographs are edited, each kind of edit apart; every edited copy is looked for among all the photographs. A pair
counts as right only if the copy was made of that photograph, so real near-duplicates among the photographs count as wrong.
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
from PIL import Image

from fototeca.curate.duplicates.dedup import DEFAULT_THRESHOLD
from fototeca.curate.duplicates.signatures import read_images, stack_signatures
from fototeca.curate.duplicates.verify_pairs import find_copies
from fototeca.curate.duplicates.view_hashes import ViewHashes, look

Found = Mapping[str, set[tuple[int, int]]]
"""By edit: pairs of the copied photograph's number and the photograph it was taken for."""


def main() -> None:
    """Edit, search, print."""
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
        answers = {"fototeca": ours(paths, copies)}
        for name, peer in {"imagededup pHash 10": imagededup, "CleanVision": cleanvision}.items():
            try:
                answers[name] = peer(paths, copies)
            except ImportError:
                print(f"{name} is not installed and left out\n")
    print(f"{len(chosen)} of {len(paths)} photographs edited, seed {arguments.seed}\n")
    print_table(answers, len(chosen))


def make_copies(paths: list[Path], chosen: list[int], folder: Path, seed: int) -> dict[str, dict[int, Path]]:
    """The edited copies by kind and photograph."""
    copies: dict[str, dict[int, Path]] = defaultdict(dict)
    for number in chosen:
        with Image.open(paths[number]) as image:
            picture = image.convert("RGB")
        for place, (name, edit) in enumerate(EDITS.items()):
            copies[name][number] = folder / f"{place:02}-{number}.jpg"
            edit(picture, np.random.default_rng([seed, place, number])).save(copies[name][number], quality=92)
    return copies


def looked(paths: list[Path]) -> ViewHashes:
    """As `curate dedup` makes them."""
    read = [blob for _, blob in read_images(paths) if blob is not None]
    assert len(read) == len(paths)
    return look(stack_signatures([str(number) for number in range(len(paths))], read))


def ours(paths: list[Path], copies: Mapping[str, Mapping[int, Path]]) -> Found:
    """Views of the copies among the photographs and the other way round, as in one search over both."""
    base = looked(paths)
    found = {}
    for name, files in copies.items():
        numbers, asked = list(files), looked(list(files.values()))
        pairs = {(numbers[copy.a], copy.b) for copy in find_copies(asked, base, DEFAULT_THRESHOLD)}
        found[name] = pairs | {(numbers[copy.b], copy.a) for copy in find_copies(base, asked, DEFAULT_THRESHOLD)}
    return found


def imagededup(paths: list[Path], copies: Mapping[str, Mapping[int, Path]]) -> Found:
    """Its pHash, pairs within its default of 10 bits."""
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)

    def encode(files: list[Path]) -> np.ndarray:
        return np.array([int(hasher.encode_image(image_file=file), 16) for file in files], dtype=np.uint64)

    base = encode(paths)
    found = {}
    for name, files in copies.items():
        numbers = list(files)
        near = np.nonzero(np.bitwise_count(encode(list(files.values()))[:, None] ^ base[None]) <= 10)
        found[name] = {(numbers[a], int(b)) for a, b in zip(*near, strict=True)}
    return found


def cleanvision(paths: list[Path], copies: Mapping[str, Mapping[int, Path]]) -> Found:
    """Its exact and near duplicates, over all files at once."""
    from cleanvision import Imagelab

    owners = {str(path.resolve()): ("", number) for number, path in enumerate(paths)}
    owners |= {str(path.resolve()): (name, number) for name, files in copies.items() for number, path in files.items()}
    lab = Imagelab(filepaths=list(owners))
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=2, verbose=False)
    found: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for kind in ("exact_duplicates", "near_duplicates"):
        for group in lab.info.get(kind, {}).get("sets", []):
            members = [owners[str(Path(file).resolve())] for file in group]
            photographs = [number for name, number in members if not name]
            for name, number in members:
                if name:
                    found[name] |= {(number, other) for other in photographs}
    return found


def print_table(answers: Mapping[str, Found], count: int) -> None:
    """Recall by edit, and precision over all pairs."""
    print("| edit | " + " | ".join(answers) + " |")
    print("| --- |" + " ---: |" * len(answers))
    for name in EDITS:
        shares = [sum(a == b for a, b in found.get(name, set())) / count for found in answers.values()]
        print(f"| {name} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")
    totals = [[pair for pairs in found.values() for pair in pairs] for found in answers.values()]
    right = [sum(a == b for a, b in pairs) / max(len(pairs), 1) for pairs in totals]
    print("| **precision, all pairs** | " + " | ".join(f"**{share:.3f}**" for share in right) + " |")


if __name__ == "__main__":
    main()
