"""Benchmark near-duplicate detection: recall per kind of edit and precision, against imagededup and CleanVision.

    python bench/dedup_quality.py ../photographs/labels.csv [--seed 1] [--copies 200] [--lookalikes 20]

Some photographs are edited, once per kind of edit; each edited copy is searched among all photographs. A pair is correct
only if the copy was made from that photograph, so real near-duplicates among the photographs count as wrong. `set aside` counts
ties that set an image aside (copy, turned), `same group` all ties. Then sets of images that look alike without being copies are
deduplicated, each in a workspace of its own, with their labels and with one label for all: none may be set aside.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
from edits import EDITS
from lookalikes import draw_lookalikes
from PIL import Image

from fototeca.collect.files.folder_options import FolderOptions
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
    parser.add_argument("--lookalikes", type=int, default=20, help="images in each set of look-alikes")
    arguments = parser.parse_args()
    with arguments.labels.open(encoding="utf-8") as file:
        paths = [arguments.labels.parent / row["path"] for row in csv.DictReader(file)]
    chosen = np.random.default_rng(arguments.seed).choice(len(paths), min(arguments.copies, len(paths)), replace=False).tolist()
    with tempfile.TemporaryDirectory() as folder:
        copies = make_copies(paths, chosen, Path(folder), arguments.seed)
        ties = fototeca_ties(paths, copies)
        answers = {"set aside": set_aside_pairs(ties), "same group": all_pairs(ties)}
        for name, peer in {"imagededup pHash 10": imagededup_pairs, "CleanVision": cleanvision_pairs}.items():
            try:
                answers[name] = peer(paths, copies)
            except ImportError:
                print(f"{name} is not installed; skipped\n")
    print(f"{len(chosen)} of {len(paths)} photographs edited, seed {arguments.seed}\n")
    print_table(answers, len(chosen))
    print_lookalikes(arguments.seed, arguments.lookalikes)


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


def fototeca_ties(paths: list[Path], copies: Mapping[str, Mapping[int, Path]]) -> dict[str, list[tuple[int, int, str]]]:
    """Return by edit the ties of the copies with the photographs: numbers of both and the kind of tie."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = create_workspace(Path(folder) / "w", ["photograph"], target=1)
        known = KnownImages(workspace, [Photograph(str(number), str(path.resolve())) for number, path in enumerate(paths)])
    timer = JudgeTimer()
    ties = {}
    for name, files in copies.items():
        images = [Image.open(path).convert("RGB") for path in files.values()]
        found = known.find_ties([NewImage(image, sign_image(image, "RGB")) for image in images])
        ties[name] = [(number, int(tie.image_id), tie.kind) for number, row in zip(files, found, strict=True) for tie in row]
    print(f"CPU per verified pair: {timer.seconds / max(timer.pairs, 1):.3f} s over {timer.pairs} pairs, decoding included\n")
    return ties


@dataclass(frozen=True)
class Photograph:
    """A photograph as `KnownImages` reads it."""

    image_id: str
    path: str


class JudgeTimer:
    """Measure the CPU time of all comparisons at native detail from now on."""

    def __init__(self) -> None:
        self.seconds, self.pairs = 0.0, 0
        judge = Judge.judge

        def timed(self_: Judge, pairs: Sequence[Sequence[object]]) -> object:
            start = time.process_time()
            result = judge(self_, pairs)  # type: ignore[arg-type]
            self.seconds += time.process_time() - start
            self.pairs += len(pairs)
            return result

        Judge.judge = timed  # type: ignore[method-assign, assignment]


def set_aside_pairs(ties: Mapping[str, list[tuple[int, int, str]]]) -> PairsByEdit:
    """Return the pairs of which one is set aside."""
    return {name: {(a, b) for a, b, kind in found if kind in (COPY, TURNED)} for name, found in ties.items()}


def all_pairs(ties: Mapping[str, list[tuple[int, int, str]]]) -> PairsByEdit:
    """Return the pairs that share a split."""
    return {name: {(a, b) for a, b, _ in found} for name, found in ties.items()}


def print_lookalikes(seed: int, size: int) -> None:
    """Deduplicate sets of look-alikes, with their labels and with one label, and print the numbers of images set aside."""
    print(f"\n| {size} look-alikes | set aside, with labels | set aside, one label | ties | CPU s |")
    print("| --- | ---: | ---: | --- | ---: |")
    total = 0
    for name, images in draw_lookalikes(seed, size).items():
        start, counts = time.process_time(), []
        for labelled in (True, False):
            with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
                root = Path(folder)
                workspace = create_workspace(root / "w", ["one", "ok", "defect"], target=1)
                for number, (label, image) in enumerate(images):
                    path = root / "in" / (label if labelled else "one") / f"{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    image.save(path)
                collect_folder(workspace, root / "in", FolderOptions(label_from_folder=True), FetchOptions())
                result = dedup(workspace)
            counts.append(result.set_aside)
            total += result.set_aside
        ties = ", ".join(f"{kind} {count}" for kind, count in result.ties.to_json().items() if count) or "none"
        print(f"| {name} | {counts[0]} | {counts[1]} | {ties} | {time.process_time() - start:.0f} |", flush=True)
    print(f"| **all** | | **{total}** | | |")


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
