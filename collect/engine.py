"""The engine that every command feeds: findings in, accepted images and reasons out, all of it in the catalog.

Findings are read lazily and recorded in their order, so that the same input gives the same catalog; a killed
collection goes on when the same command is given again, because a candidate that has a state is not fetched twice.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from tqdm import tqdm

from collect.addresses import url_key
from collect.catalog import Candidate, Catalog, Finding, ImageRow, State
from collect.download import Downloader, FetchError, FetchOptions
from collect.local import LOCAL, read_local
from collect.store import sweep
from collect.verify import RefusedError, accept
from workspace import LABEL_SEPARATOR, FototecaError, Workspace


@dataclass
class Summary:
    """What one collection did."""

    found: int = 0
    """Findings read, known ones included."""

    known: int = 0
    """Findings whose candidate had a final state already."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many candidates ended in each (state, reason) during this collection."""

    @property
    def accepted(self) -> int:
        """New images."""
        return sum(count for (state, _), count in self.outcomes.items() if state == "accepted")

    def text(self) -> str:
        """The summary for people: one line, then a line for each reason."""
        first = f"{self.found} candidates, {self.known} known before, {self.accepted} accepted"
        rest = [f"  {state} {reason}: {count}" for (state, reason), count in self.outcomes.most_common() if state != "accepted"]
        return "\n".join([first, *rest])


@dataclass(frozen=True)
class _Result:
    state: State
    reason: str = ""
    image: ImageRow | None = None
    status: int | None = None
    size: int = 0
    seconds: float = 0.0


def collect(
    workspace: Workspace, findings: Iterable[Finding], options: FetchOptions, *, total: int | None = None, local: bool = False
) -> Summary:
    """Fetch, verify, store and record every finding that has no final state yet.

    `local` means that the findings are files of this machine, named by `collect.local`. A failed item is a row
    with a reason and never ends the run.
    """
    summary = Summary()
    sweep(workspace)
    downloader = None if local else Downloader(options, workspace.settings.contact)
    workers = 2 if local else options.concurrency
    waiting: deque[tuple[Finding, Candidate, Future[_Result]]] = deque()
    with (
        Catalog.open(workspace) as catalog,
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=total, unit="image", desc="collect", disable=None) as bar,
    ):
        in_flight: set[str] = set()
        for finding in findings:
            summary.found += 1
            key = finding.url if finding.url.startswith(LOCAL) else _key(finding.url)
            candidate = catalog.add_finding(finding, key)
            if candidate.state not in ("found", "fetched"):
                summary.known += 1
                _label(workspace, catalog, candidate.image_id, finding)
                bar.update()
            elif key not in in_flight:
                in_flight.add(key)
                waiting.append((finding, candidate, pool.submit(_process, workspace, candidate.url, options, downloader)))
            while len(waiting) > 4 * workers + 64 or (waiting and waiting[0][2].done()):
                _record(workspace, catalog, summary, in_flight, *waiting.popleft())
                bar.update()
        while waiting:
            _record(workspace, catalog, summary, in_flight, *waiting.popleft())
            bar.update()
    return summary


def retry(workspace: Workspace, reasons: Sequence[str], options: FetchOptions) -> Summary:
    """Try failed candidates again, those with one of `reasons` or all. FototecaError when there are none."""
    with Catalog.open(workspace) as catalog:
        failed = catalog.candidates("failed", reasons)
        if not failed:
            raise FototecaError("no failed candidate fits", "see the reasons with: fototeca status")
        again = [finding for candidate in failed for finding in catalog.places(candidate.candidate_id)]
        catalog.reopen(failed)
    summary = Summary()
    for local in (True, False):
        part = [finding for finding in again if finding.url.startswith(LOCAL) == local]
        if part:
            done = collect(workspace, part, options, total=len(part), local=local)
            summary.found += done.found
            summary.known += done.known
            summary.outcomes += done.outcomes
    return summary


def _key(url: str) -> str:
    """The candidate's key; an address that is none keeps its own text, and fails with a reason."""
    try:
        return url_key(url)
    except ValueError:
        return url


def _process(workspace: Workspace, url: str, options: FetchOptions, downloader: Downloader | None) -> _Result:
    """Everything that needs no catalog; runs in a thread."""
    begin = time.monotonic()
    status, size = None, 0
    try:
        if downloader is None:
            data = read_local(url, options.max_bytes)
        else:
            fetched = downloader.fetch(url)
            data, status = fetched.data, fetched.status
        size = len(data)
        image = accept(workspace, data, options.min_side)
    except FetchError as error:
        state: State = "rejected" if error.final else "failed"
        return _Result(state, error.reason, status=error.status, seconds=time.monotonic() - begin)
    except RefusedError as error:
        return _Result("rejected", error.reason, status=status, size=size, seconds=time.monotonic() - begin)
    return _Result("accepted", image=image, status=status, size=size, seconds=time.monotonic() - begin)


def _record(
    workspace: Workspace,
    catalog: Catalog,
    summary: Summary,
    in_flight: set[str],
    finding: Finding,
    candidate: Candidate,
    future: Future[_Result],
) -> None:
    """Wait for a result and write it down with the label that follows, in one transaction."""
    result = future.result()
    with catalog.transaction():
        state = catalog.record(
            candidate.candidate_id,
            result.state,
            result.reason,
            image=result.image,
            status=result.status,
            size=result.size,
            seconds=round(result.seconds, 3),
        )
        _label(workspace, catalog, result.image.image_id if result.image else None, finding)
    in_flight.discard(candidate.url_key)
    reason = "duplicate" if state == "rejected" and result.state == "accepted" else result.reason
    summary.outcomes[state, reason] += 1


def _label(workspace: Workspace, catalog: Catalog, image_id: str | None, finding: Finding) -> None:
    """Let an image have the category it was found under: the first one, or with several labels per image all of them.

    Never against a person, and never for a rejected image.
    """
    image = catalog.image(image_id) if image_id and finding.category else None
    if image is None or image.reviewed or image.rejected:
        return
    label = finding.category
    if workspace.settings.task == "multi":
        both = {*image.label.split(LABEL_SEPARATOR), *label.split(LABEL_SEPARATOR)} - {""}
        label = LABEL_SEPARATOR.join(sorted(both))
    elif image.label:
        return
    catalog.decide(image.image_id, label, who=f"collect:{finding.source}", why=f"found as {finding.category}")
