"""The engine that every command feeds: findings in, accepted images and reasons out, all of it in the catalog.

Findings are read lazily and recorded in their order, so that the same input gives the same catalog; a killed
collection goes on when the same command is given again, because a candidate that has a state is not fetched twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial

from tqdm import tqdm

from fototeca.collect.catalog import Actor, Candidate, CandidateState, Catalog, Edit, FetchAttempt, ImageRow, Provenance
from fototeca.collect.files.local_files import LOCAL, local_path, read_local
from fototeca.collect.http.client import Downloader, FetchOptions
from fototeca.collect.http.responses import FetchError
from fototeca.collect.http.urls import candidate_key, host_key
from fototeca.collect.ingest.host_queues import HostQueues
from fototeca.collect.ingest.summary import Summary
from fototeca.collect.ingest.targets import Targets
from fototeca.collect.ingest.validate import RefusedError, accept
from fototeca.collect.store import sweep
from fototeca.core.console import notify
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.vision.threads import image_threads


@dataclass(frozen=True)
class _Result:
    state: CandidateState
    reason: str = ""
    image: ImageRow | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    attempt: FetchAttempt = field(default_factory=FetchAttempt)


class IngestPipeline:
    """One collection under way: what is in flight, and how to write down what lands."""

    def __init__(
        self,
        workspace: Workspace,
        catalog: Catalog,
        options: FetchOptions,
        downloader: Downloader | None,
        *,
        again: Iterable[int] = (),
    ) -> None:
        """Without a downloader all findings are files of this machine, which are read again as long as they are no image: that
        costs little, and one that was cut short may be whole by now. `again`: candidates to try once more whatever became of
        them."""
        self.workspace, self.catalog, self.options, self._downloader = workspace, catalog, options, downloader
        self.summary = Summary()
        self.targets = Targets(catalog, workspace.settings.target)
        # Beside the downloads of one host and of all, others look at what came and wait for the disk.
        self._workers, self._lane = (3 * options.concurrency, 3 * options.per_host) if downloader else (2, 2)
        self._waiting: deque[tuple[Provenance, Candidate, Future[_Result]]] = deque()
        self._in_flight: dict[str, list[Provenance]] = {}
        self._again = set(again)

    def run(self, findings: Iterable[Provenance | None], total: int | None = None) -> Summary:
        """Fetch, verify, store and record every finding that has no final state yet, or is to be tried again.

        None among the findings means: the next one depends on what is in flight, so let the oldest land first.
        """
        sweep(self.workspace)
        with (
            image_threads(self._workers) as pool,
            tqdm(total=total, unit="image", desc="collect", disable=None) as bar,
        ):
            try:
                lanes = HostQueues(pool, self._lane)
                for finding in findings:
                    if finding is not None:
                        bar.set_description(self._progress(finding), refresh=False)
                        bar.update(self._begin(finding, lanes))
                    elif self._waiting:
                        bar.update(self._land())
                    while len(self._waiting) > 4 * self._workers + 64 or (self._waiting and self._waiting[0][2].done()):
                        bar.update(self._land())
                while self._waiting:
                    bar.update(self._land())
            except BaseException:
                self._save()
                raise
        return self.summary

    def _progress(self, finding: Provenance) -> str:
        """Which category is being filled, how far it is, and from where."""
        if not finding.category:
            return f"from {finding.source}"
        reached = f"{self.targets.distinct(finding.category)}/{self.targets.target}"
        return f"{finding.category} {reached} from {finding.source}"

    def _save(self) -> None:
        """Write down what has come already, for whoever stops: it need not be fetched again."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting[2].done() and not waiting[2].exception())
        while self._waiting:
            self._land()

    def _begin(self, finding: Provenance, lanes: HostQueues) -> int:
        """Record a finding and start what it needs; 1 when nothing is left to do for it."""
        self.summary.found += 1
        key = candidate_key(finding.url) if self._downloader else self._local_key(finding.url)
        candidate = self.catalog.candidates.add(finding, key)
        wanted = candidate.state == "found" or self._downloader is None or candidate.candidate_id in self._again
        if not self._is_lost(candidate) and (candidate.image_id or not wanted):
            self.summary.known += 1
            self._label(candidate.image_id, finding)
            return 1
        if key in self._in_flight:
            self._in_flight[key].append(finding)
            return 1
        self._in_flight[key] = [finding]
        self._again.discard(candidate.candidate_id)
        self.targets.pending[finding.category] += 1
        work = partial(_process, self.workspace, candidate.url, self.options, self._downloader)
        self._waiting.append((finding, candidate, lanes.submit(_host(candidate.url), work)))
        return 0

    def _is_lost(self, candidate: Candidate) -> bool:
        """Whether its image's file is gone from the store: what was found again brings it back."""
        image = self.catalog.images.get(candidate.image_id) if candidate.image_id else None
        return image is not None and not (self.workspace.root / image.path).is_file()

    def _local_key(self, url: str) -> str:
        """A file's address; of one that has been overwritten since its image was taken in, another one."""
        known = self.catalog.candidates.get(url)
        image = self.catalog.images.get(known.image_id) if known and known.image_id else None
        try:
            size = local_path(url).stat().st_size
        except OSError:
            return url
        return url if image is None or image.bytes == size else f"{url}#{size}"

    def _land(self) -> int:
        """Wait for the oldest result and write it down with the label that follows, in one transaction."""
        finding, candidate, future = self._waiting[0]
        result = future.result()
        self._waiting.popleft()
        if candidate.image_id:
            return self._restore(finding, candidate, result)
        with self.catalog.transaction():
            state = self.catalog.candidates.record(
                candidate.candidate_id,
                result.state,
                result.reason,
                image=result.image,
                quality=result.quality,
                attempt=result.attempt,
            )
            for place in self._in_flight.pop(candidate.url_key):
                self._label(result.image.image_id if result.image else None, place)
        self.targets.pending[finding.category] -= 1
        reason = "duplicate" if state == "rejected" and result.state == "accepted" else result.reason
        self.summary.outcomes[finding.source, finding.category, state, reason] += 1
        return 1

    def _restore(self, finding: Provenance, candidate: Candidate, result: _Result) -> int:
        """Count what has come of a place whose image was lost: its bytes, which are in the store again, or something else."""
        for place in self._in_flight.pop(candidate.url_key):
            self._label(candidate.image_id, place)
        self.targets.pending[finding.category] -= 1
        back = result.image is not None and result.image.image_id == candidate.image_id
        self.summary.restored += back
        self.summary.lost += not back
        return 1

    def _label(self, image_id: str | None, finding: Provenance) -> None:
        """Let an image have the category it was found under: the first one, or with several labels per image all of them.

        Never against a person, and never for a rejected image.
        """
        image = self.catalog.images.get(image_id) if image_id and finding.category else None
        if image is None or image.reviewed or image.rejected:
            return
        label = finding.category
        if self.workspace.settings.task == "multi":
            both = {*image.label.split(LABEL_SEPARATOR), *label.split(LABEL_SEPARATOR)} - {""}
            label = LABEL_SEPARATOR.join(sorted(both))
        elif image.label:
            return
        self.catalog.decisions.add(
            image.image_id, Edit.relabel(label), by=Actor.source(finding.source), reason=f"found as {finding.category}"
        )
        self.targets.refresh(image.image_id)


def collect(
    workspace: Workspace,
    findings: Iterable[Provenance],
    options: FetchOptions,
    *,
    total: int | None = None,
    local: bool = False,
) -> Summary:
    """Take in every finding that has no final state yet; `local`: they are files of this machine, named by `collect.local`.

    A failed item is a row with a reason and never ends the run.
    """
    with Catalog.open(workspace) as catalog:
        return IngestPipeline(workspace, catalog, options, _downloader(workspace, options, local)).run(findings, total)


def retry(workspace: Workspace, reasons: Sequence[str], options: FetchOptions) -> Summary:
    """Try again what failed, and what a run that was stopped left untried; with `reasons`, what failed or was rejected for
    one of them (a bare number is a site's answer: 429 is http-429). FototecaError when there is nothing.

    Each candidate keeps its state until there is a new one, so that a retry that is killed can be given again.
    """
    summary = Summary()
    with Catalog.open(workspace) as catalog:
        states: tuple[CandidateState, ...] = ("failed", "rejected") if reasons else ("found", "failed")
        words = [f"http-{word}" if word.isdigit() else word for word in reasons]
        found = [one for state in states for one in catalog.candidates.in_state(state, words) if one.image_id is None]
        ones = [one for one in found if not one.url_key.startswith(LOCAL) or local_path(one.url).exists()]
        if len(ones) < len(found):
            notify(f"{len(found) - len(ones)} are files that are gone: give their folder, archive or dataset again")
        if not ones:
            named = f" for {', '.join(words)}" if words else ""
            raise FototecaError(f"no candidate fits{named} that could be tried again", "see the reasons with: fototeca status")
        for local in (True, False):
            part = [one.candidate_id for one in ones if one.url_key.startswith(LOCAL) == local]
            places = [place for one in part for place in catalog.provenance.of_candidate(one)]
            if part:
                collection = IngestPipeline(workspace, catalog, options, _downloader(workspace, options, local), again=part)
                summary.add(collection.run(places, len(places)))
    return summary


def _downloader(workspace: Workspace, options: FetchOptions, local: bool) -> Downloader | None:
    return None if local else Downloader(options, workspace.settings.contact)


def _host(url: str) -> str:
    try:
        return host_key(url)
    except ValueError:  # no address: it fails with its reason
        return ""


def _process(workspace: Workspace, url: str, options: FetchOptions, downloader: Downloader | None) -> _Result:
    """Everything that needs no catalog; runs in a thread."""
    begin = time.monotonic()
    result = _judged(workspace, url, options, downloader)
    return replace(result, attempt=replace(result.attempt, seconds=round(time.monotonic() - begin, 3)))


def _judged(workspace: Workspace, url: str, options: FetchOptions, downloader: Downloader | None) -> _Result:
    came = FetchAttempt()
    try:
        if downloader is None:
            data = read_local(url, options.max_bytes)
            came = FetchAttempt(size=len(data))
            image, quality = accept(workspace, data, options.min_side)
        else:
            fetched = downloader.fetch(url)
            came = _attempt(fetched.status, len(fetched.data), fetched.headers)
            image, quality = accept(workspace, fetched.data, options.min_side)
    except FetchError as error:
        state: CandidateState = "rejected" if error.final else "failed"
        return _Result(state, error.reason, attempt=_attempt(error.status, error.received, error.headers))
    except RefusedError as error:
        return _Result("rejected", error.reason, attempt=came)
    except OSError as error:  # of the store: the other two turn theirs into reasons
        hint = "free some disk space or mend the folder, then run the same command again"
        raise FototecaError(f"the image of {url} cannot be stored: {error}", hint, EXIT_OUTSIDE) from None
    except Exception:  # one candidate never ends the run
        return _Result("failed", "unexpected", attempt=came)
    return _Result("accepted", image=image, quality=quality, attempt=came)


def _attempt(status: int | None, size: int, headers: Mapping[str, str]) -> FetchAttempt:
    """With what the site said of the bytes; a length beyond all bounds is none."""
    said = {name.lower(): value for name, value in headers.items()}
    length = said.get("content-length", "")
    announced = int(length) if length.isdecimal() and len(length) < 19 else None
    return FetchAttempt(status, size, content_type=said.get("content-type", "")[:200], content_length=announced)
