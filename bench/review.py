"""Benchmark the review: loading images into FiftyOne, applying edits, the App in Chromium, the keyboard page.

    python bench/review.py [--images 20000]

Drawn images of 160×120, in fototeca's own database and a temporary workspace; the dataset is removed at the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from fototeca.collect.browser.driver import open_browser
from fototeca.collect.catalog import Catalog, Edit
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.labels.decisions import label_images
from fototeca.curate.review.app_server import serve_app
from fototeca.curate.review.fiftyone_app import apply_review, push_review
from fototeca.curate.review.fiftyone_samples import dataset_name
from fototeca.curate.review.session import ReviewSession

PORT = 5199


def main() -> None:
    """Parse options, draw images, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory(prefix="bench-review-") as folder:
        workspace = draw(Path(folder), count)
        try:
            print(f"| {count:,} images | seconds |\n| --- | ---: |")
            measure(workspace)
        finally:
            remove(workspace)


def draw(folder: Path, count: int) -> Workspace:
    """Create a workspace of `count` different images in ten categories."""
    names = [f"class-{number}" for number in range(10)]
    for number in range(count):
        path = folder / "in" / names[number % 10] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC).save(path, quality=85)
    workspace = create_workspace(folder / "bench-review", names)
    collect_folder(workspace, folder / "in", FolderOptions(label_from_folder=True), FetchOptions())
    return workspace


def measure(workspace: Workspace) -> None:
    """Measure and print every row."""
    with Catalog.open(workspace) as catalog:
        ids = [image.image_id for image in catalog.images.all()]
    print_time("first upload, including thumbnails", lambda: push_review(workspace))
    print_time("upload with no changes", lambda: push_review(workspace))
    label_images(workspace, ids[:1000], "class-0")
    print_time("upload after 1,000 decisions", lambda: push_review(workspace))
    edit(workspace, 1000)
    print_time("apply 1,000 edits", lambda: apply_review(workspace))
    measure_app(workspace)
    session = ReviewSession(workspace)
    print_time("keyboard page: start", session.overview)
    print_time("keyboard page: show an image", lambda: session.image_details(ids[-1]))
    states = {ids[-1]: session.image_details(ids[-1]).state}
    print_time("keyboard page: decide", lambda: session.decide(states, ids[-1], Edit.relabel("class-1"), group=False))


def print_time(name: str, work: Callable[[], object]) -> None:
    """Run `work` and print a row with its duration."""
    start = time.perf_counter()
    work()
    print(f"| {name} | {time.perf_counter() - start:.3g} |", flush=True)


def measure_app(workspace: Workspace) -> None:
    """Measure the time until the first images of the dataset, and of saved views, are visible."""
    import fiftyone

    with serve_app(fiftyone, workspace, PORT) as server:

        def show(view: str) -> None:
            with open_browser(headed=False, user_agent="") as browser:
                browser.get(server.new_address(f"/datasets/{dataset_name(workspace)}{view}"))
                WebDriverWait(browser, 120, 0.1).until(lambda _: browser.find_elements(By.CSS_SELECTOR, "canvas"))

        print_time("App, including the start of Chromium", lambda: show(""))
        print_time("App, view of a category", lambda: show("?view=category-04-class-3"))
        print_time("App, view of unreviewed images", lambda: show("?view=9-not-reviewed"))


def edit(workspace: Workspace, count: int) -> None:
    """Change labels in the dataset, as the App does."""
    import fiftyone

    dataset = fiftyone.load_dataset(dataset_name(workspace))
    for sample in dataset.limit(count).iter_samples(autosave=True):
        sample.ground_truth.label = "class-9" if sample.ground_truth.label != "class-9" else "class-8"


def remove(workspace: Workspace) -> None:
    """Delete the FiftyOne dataset if it exists."""
    import fiftyone

    if fiftyone.dataset_exists(dataset_name(workspace)):
        fiftyone.delete_dataset(dataset_name(workspace))


if __name__ == "__main__":
    main()
