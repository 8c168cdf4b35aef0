"""New images a second: `predict` whole, beside decoding and the network alone.

    python bench/predict.py [--count 600] [--rounds 3]

A head over ResNet-18's features at 224 px is asked about drawn photographs of 640×480. `predict` decodes, looks for copies
among the dataset, scores how strange each image is, and writes the CSV. The contenders take turns; the figures are medians.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import torch
from drawn import draw_all, frozen, in_turns
from regimes import SIDE, random_weights

from fototeca.analysis.predict.predict import predict_paths
from fototeca.train.config import TrainConfig
from fototeca.train.runs import load_model
from fototeca.train.trainer import train_run
from fototeca.vision.image import decode
from fototeca.vision.threads import image_threads

BATCH = 32


def main() -> None:
    """Prepare, measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = frozen(folder / "w", 200, (320, 240), 2)
        weights = random_weights(folder, "resnet18")
        run = train_run(workspace, TrainConfig("v001", "resnet18", "features", weights=weights, device="cpu"))
        paths = [path for _, path in draw_all(folder / "new", options.count, (640, 480))]
        network = load_model(workspace, run).network
        images = torch.randn(BATCH, 3, SIDE, SIDE)

        def decoding() -> None:
            with image_threads(os.cpu_count() or 1) as pool:
                assert sum(1 for _ in pool.map(decode, paths)) == len(paths)

        def asking() -> None:
            with torch.inference_mode():
                for start in range(0, len(paths), BATCH):
                    network(images[: min(BATCH, len(paths) - start)])

        def predicting() -> None:
            predict_paths(workspace, run.id, [str(folder / "new")], csv_path=folder / "new.csv")

        spent = in_turns({"decoding alone": decoding, "the network alone": asking, "predict": predicting}, options.rounds)
    rates = {name: len(paths) / seconds for name, seconds in spent.items()}
    both = 1 / (1 / rates["decoding alone"] + 1 / rates["the network alone"])
    print("| | images/s | of decoding and the network one after the other |\n| --- | ---: | ---: |")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.0f} | {rate / both:.2f} |")


if __name__ == "__main__":
    main()
