"""`fototeca collect discover`: search several hubs at the same time."""

from __future__ import annotations

import contextlib
import io
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from fototeca.collect.http.options import FetchOptions
from fototeca.collect.hubs import HubDataset, get_hub, redact
from fototeca.collect.hubs.registry import HUBS
from fototeca.collect.licenses import UNKNOWN
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import FototecaError
from fototeca.core.tables import render_table
from fototeca.core.workspace import Workspace

MAX_TIMEOUTS = 4
"""Multiple of the timeout after which a hub is given up; the hubs' own clients have no overall deadline."""

_Answer = list[HubDataset] | Exception


@dataclass(frozen=True)
class Discovery:
    """The datasets that hubs found."""

    num_hubs: int
    """Hubs that were searched."""

    datasets: list[HubDataset]
    problems: dict[str, str]
    """Error by hub, for those whose search failed."""

    def table(self) -> str:
        """Return the datasets as a table, and below it the URL of each one's page."""
        rows = []
        for dataset in self.datasets:
            license_name = dataset.license if dataset.license != UNKNOWN else dataset.license_found or UNKNOWN
            images = "" if dataset.images is None else str(dataset.images)
            rows.append((dataset.hub, dataset.ref, dataset.title, _format_size(dataset.size), images, license_name))
        table = render_table(("hub", "ref", "title", "size", "images", "license"), rows, right=("size", "images"))
        return "\n".join([table, "", *(f"{dataset.hub} {dataset.ref}: {dataset.url}" for dataset in self.datasets)])


def _format_size(size: int | None) -> str:
    """Return bytes in the largest decimal unit below them; empty if unknown."""
    if size is None:
        return ""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def discover(workspace: Workspace, query: str, hubs: Sequence[str], options: FetchOptions) -> Discovery:
    """Search the hubs, or all of them, at the same time. A hub that fails is an entry in `problems`; the others go through."""
    if not query.strip():
        raise FototecaError("the query is empty", "give a few words")
    modules = {name: get_hub(name) for name in hubs or HUBS}
    context = SourceContext(workspace, options)
    context.downloader, context.proxy  # noqa: B018 - created before the threads that share them
    answers: queue.SimpleQueue[tuple[str, _Answer]] = queue.SimpleQueue()

    def search(name: str) -> None:
        try:
            answers.put((name, modules[name].find_datasets(query, context)))
        except Exception as error:  # raised again in the calling thread
            answers.put((name, error))

    # The clients print, and their output may contain keys. Redirected once for all threads, which share stdout.
    with contextlib.redirect_stdout(io.StringIO()), tqdm(total=len(modules), unit="hub", desc="discover", disable=None) as bar:
        for name in modules:
            threading.Thread(target=search, args=(name,), daemon=True).start()
        received = _receive(answers, len(modules), time.monotonic() + MAX_TIMEOUTS * options.timeout, bar)
    context.close()  # clients that are still waiting reach nothing any more
    datasets: list[HubDataset] = []
    problems: dict[str, str] = {}
    for name in modules:
        answer = received.get(name, FototecaError(f"{name} did not respond", "try again later"))
        if isinstance(answer, FototecaError):
            problems[name] = str(answer)
        elif isinstance(answer, Exception):
            raise answer
        else:
            datasets.extend(redact(name, dataset) for dataset in answer)
    return Discovery(len(modules), datasets, problems)


def _receive(
    answers: queue.SimpleQueue[tuple[str, _Answer]],
    count: int,
    deadline: float,
    bar: Any,  # noqa: ANN401 - tqdm is generic
) -> dict[str, _Answer]:
    """Return up to `count` answers by hub, those that arrive before the deadline."""
    received: dict[str, _Answer] = {}
    with contextlib.suppress(queue.Empty):
        while len(received) < count:
            name, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            received[name] = answer
            bar.update()
    return received
