"""Benchmark prediction: images per second of `predict`, against decoding alone and the network alone.

    python bench/predict.py [--count 600] [--rounds 3]

A head over ResNet-18's features at 224 px predicts drawn photographs of 640×480. `predict` decodes, searches for copies in
the dataset, computes out-of-distribution scores, and writes the CSV. The contenders run in turns; the figures are medians.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import torch
from drawn_images import create_frozen, draw_all, time_in_turns
from train_parts import SIDE, random_weights

from fototeca.analysis.predict.predict import predict_paths
from fototeca.train.config import TrainConfig
from fototeca.train.runs import load_model
from fototeca.train.trainer import train_run
from fototeca.vision.image import decode
from fototeca.vision.threads import image_threads

BATCH = 32


def main() -> None:
    """Prepare a run and images, measure in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = create_frozen(folder / "w", 200, (320, 240), 2)
        weights = random_weights(folder, "resnet18")
        run = train_run(workspace, TrainConfig("v001", "resnet18", "features", weights=weights, device="cpu"))
        paths = [path for _, path in draw_all(folder / "new", options.count, (640, 480))]
        network = load_model(workspace, run).network
        images = torch.randn(BATCH, 3, SIDE, SIDE)

        def decoding() -> None:
            with image_threads(os.cpu_count() or 1) as pool:
                assert sum(1 for _ in pool.map(decode, paths)) == len(paths)

        def forwarding() -> None:
            with torch.inference_mode():
                for start in range(0, len(paths), BATCH):
                    network(images[: min(BATCH, len(paths) - start)])

        def predicting() -> None:
            predict_paths(workspace, run.id, [str(folder / "new")], csv_path=folder / "new.csv")

        spent = time_in_turns({"decoding only": decoding, "network only": forwarding, "predict": predicting}, options.rounds)
    rates = {name: len(paths) / seconds for name, seconds in spent.items()}
    both = 1 / (1 / rates["decoding only"] + 1 / rates["network only"])
    print("| | images/s | relative to decoding followed by the network |\n| --- | ---: | ---: |")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.0f} | {rate / both:.2f} |")


if __name__ == "__main__":
    main()
