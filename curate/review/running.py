"""`data/review.json`: the review that is running, for browsers and notebooks of this user. Mode 0600, removed at exit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.results import Result
from fototeca.core.web import LocalServer
from fototeca.core.workspace import Workspace
from fototeca.curate.review.connection import URI, connect_fiftyone
from fototeca.curate.review.fiftyone_samples import dataset_name
from fototeca.curate.review.mongod import running_uri

FILE = "review.json"


@dataclass(frozen=True)
class RunningReview(Result):
    """`url` opens the App in one browser, after which the file has another; the dataset and the URI of its database."""

    url: str
    database_uri: str
    dataset: str


@contextmanager
def announce_review(workspace: Workspace, server: LocalServer, database_uri: str, page: str) -> Iterator[None]:
    """Write the file, for the path `page` of the server, and write it again when its URL was used; remove it at the end."""
    path = workspace.data / FILE

    def write() -> None:
        review = RunningReview(server.new_address(page, write), database_uri, dataset_name(workspace))
        write_text(path, json.dumps(review.to_json(), indent=2) + "\n", mode=0o600)

    write()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def open_dataset(workspace: Workspace) -> Any:  # noqa: ANN401 - FiftyOne's dataset has no type
    """Return the FiftyOne dataset of the review that is running.

    A file of somebody else's workspace may name any server: only this user's own database, or that of FIFTYONE_DATABASE_URI, is
    opened.

    Raises:
        FototecaError: no review is running, or it uses a database that this process does not.
    """
    uri = _read_uri(workspace)
    own, chosen = running_uri(), os.environ.get(URI, "")
    if not uri or not (own or chosen):
        raise FototecaError("no review is running", "run: fototeca curate review")
    if uri != (chosen or own):
        raise FototecaError("the review uses another database", f"set {URI} as it was set when the review was started")
    with connect_fiftyone(uri) as fo:
        return fo.load_dataset(dataset_name(workspace))


def _read_uri(workspace: Workspace) -> str:
    with suppress(OSError, ValueError):
        review = json.loads((workspace.data / FILE).read_text(encoding="utf-8"))
        return str(review.get("database_uri", "")) if isinstance(review, dict) else ""
    return ""
