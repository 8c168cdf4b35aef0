"""`fototeca collect discover`: one question to all hubs, side by side."""

from __future__ import annotations

import contextlib
import io
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tqdm import tqdm

from fototeca.collect.http.client import FetchOptions
from fototeca.collect.hubs import Dataset, cleaned, get_hub
from fototeca.collect.hubs.registry import HUBS
from fototeca.collect.sources import Context
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace

PATIENCE = 4
"""Times the timeout after which a hub's own client, which knows no deadline, is no longer waited for."""


@dataclass
class Discovery:
    """What the hubs answered."""

    asked: int
    """How many hubs were."""

    datasets: list[Dataset] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a hub gave no answer."""

    def rows(self) -> list[dict[str, Any]]:
        """The datasets for --json."""
        return [asdict(dataset) for dataset in self.datasets]

    def table(self) -> str:
        """The datasets for people."""
        lines = [("hub", "ref", "title", "size", "images", "licence", "address")]
        for found in self.datasets:
            known = found.license if found.license != "unknown" else found.license_found or "unknown"
            images = "" if found.images is None else str(found.images)
            lines.append((found.hub, found.ref, _cut(found.title, 50), _size(found.size), images, _cut(known, 30), found.url))
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
        return "\n".join("  ".join([*map(str.ljust, line, widths), line[-1]]) for line in lines)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _size(size: int | None) -> str:
    """Bytes as people read them."""
    if size is None:
        return ""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= one:
            return f"{size / one:.1f} {unit}"
    return f"{size} B"


def discover(workspace: Workspace, query: str, hubs: Sequence[str], options: FetchOptions) -> Discovery:
    """Ask the hubs, or all, at the same time. A hub that fails is a line in `problems` and does not end the rest."""
    if not query.strip():
        raise FototecaError("there is nothing to look for", "give a few words")
    modules = {name: get_hub(name) for name in hubs or HUBS}
    context = Context(workspace, options)
    context.downloader  # noqa: B018 - made here, because the threads share it
    answers: queue.SimpleQueue[tuple[str, list[Dataset] | Exception]] = queue.SimpleQueue()

    def ask(name: str) -> None:
        try:
            answers.put((name, modules[name].search(query, context)))
        except Exception as error:  # told in the thread that asked
            answers.put((name, error))

    # The clients print, and what they print may hold keys. Redirected once, because the threads share stdout.
    with contextlib.redirect_stdout(io.StringIO()), tqdm(total=len(modules), unit="hub", desc="discover", disable=None) as bar:
        for name in modules:
            threading.Thread(target=ask, args=(name,), daemon=True).start()
        found = _gathered(answers, list(modules), time.monotonic() + PATIENCE * options.timeout, bar)
    result = Discovery(len(modules))
    for name in modules:
        answer = found.get(name, FototecaError(f"{name} does not answer", "try again later"))
        if isinstance(answer, FototecaError):
            result.problems[name] = str(answer)
        elif isinstance(answer, Exception):
            raise answer
        else:
            result.datasets += [cleaned(name, dataset) for dataset in answer]
    return result


def _gathered(
    answers: queue.SimpleQueue[tuple[str, list[Dataset] | Exception]],
    names: list[str],
    deadline: float,
    bar: Any,  # noqa: ANN401 - tqdm is generic
) -> dict[str, list[Dataset] | Exception]:
    found: dict[str, list[Dataset] | Exception] = {}
    with contextlib.suppress(queue.Empty):
        while len(found) < len(names):
            name, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            found[name] = answer
            bar.update()
    return found
