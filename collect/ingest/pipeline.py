"""Ingest pipeline shared by all collect commands: provenances in, accepted images and recorded reasons out.

Provenances are read lazily and recorded in their order, so that the same input gives the same catalog. A killed run resumes
when the same command is given again: a candidate with a final state is not fetched twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from tqdm import tqdm

from fototeca.collect.catalog import Actor, Candidate, CandidateState, Catalog, Edit, ImageRow, Provenance
from fototeca.collect.catalog.local_urls import LOCAL_SCHEME, local_path
from fototeca.collect.catalog.provenance import file_name_of_url
from fototeca.collect.files.originals import original_of_url
from fototeca.collect.http.client import Downloader
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.http.urls import candidate_key, host_key
from fototeca.collect.ingest.different_labels import DifferentLabels
from fototeca.collect.ingest.host_queues import HostQueues
from fototeca.collect.ingest.process import ProcessResult, process_candidate
from fototeca.collect.ingest.summary import CollectSummary, SummaryBuilder
from fototeca.collect.ingest.targets import Targets
from fototeca.collect.store import remove_stale_files
from fototeca.core.console import notify
from fototeca.core.counting import count_of
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.public_url import public_url
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.vision.threads import image_threads


class IngestPipeline:
    """One run of the pipeline: worker threads fetch and validate, the calling thread records the results in order."""

    def __init__(
        self,
        workspace: Workspace,
        catalog: Catalog,
        options: FetchOptions,
        downloader: Downloader | None,
        *,
        retry_ids: Iterable[int] = (),
        summary: SummaryBuilder | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            workspace: where images are stored.
            catalog: open catalog of the workspace.
            options: limits of fetching.
            downloader: None if all provenances are local files. These are read again as long as they are not an image: it
                costs little, and a truncated file may be complete by now.
            retry_ids: candidates to process again in any state.
            summary: counters to add to; new ones by default.
        """
        self.workspace, self.catalog, self.options, self._downloader = workspace, catalog, options, downloader
        self.summary = summary or SummaryBuilder()
        self.targets = Targets(catalog, workspace.settings.target)
        # More threads than simultaneous downloads: some decode, others wait for the disk.
        self._workers, self._per_host = (3 * options.concurrency, 3 * options.per_host) if downloader else (2, 2)
        self._erasures = catalog.erasures.all()
        self._queue: deque[tuple[Provenance, Candidate, Future[ProcessResult]]] = deque()
        self._in_flight: dict[str, list[Provenance]] = {}
        self._retry_ids = set(retry_ids)
        self.different = DifferentLabels()

    def run(self, provenances: Iterable[Provenance | None], total: int | None = None) -> CollectSummary:
        """Fetch, validate, store and record every provenance whose candidate has no final state or is to be retried.

        None among the provenances means that the next one depends on what is in flight: record the oldest result first.
        """
        remove_stale_files(self.workspace)
        with (
            image_threads(self._workers) as pool,
            tqdm(total=total, unit="image", desc="collect", disable=None) as bar,
        ):
            try:
                queues = HostQueues(pool, self._per_host)
                for provenance in provenances:
                    if provenance is not None:
                        bar.set_description(self._describe_progress(provenance), refresh=False)
                        bar.update(self._submit(provenance, queues))
                    elif self._queue:
                        bar.update(self._record_oldest())
                    while len(self._queue) > 4 * self._workers + 64 or (self._queue and self._queue[0][2].done()):
                        bar.update(self._record_oldest())
                while self._queue:
                    bar.update(self._record_oldest())
            except BaseException:
                self._record_completed()
                raise
        self.summary.different_labels = self.different.write(self.workspace)
        return self.summary.build()

    def _describe_progress(self, provenance: Provenance) -> str:
        """Return the progress bar's text: category, distinct images of the target, source."""
        if not provenance.category:
            return f"from {provenance.source}"
        count = f"{self.targets.distinct(provenance.category)}/{self.targets.target}"
        return f"{provenance.category} {count} from {provenance.source}"

    def _record_completed(self) -> None:
        """Record what has been fetched when the run is interrupted, so that it is not fetched again."""
        self._queue = deque(entry for entry in self._queue if entry[2].done() and not entry[2].exception())
        while self._queue:
            self._record_oldest()

    def _submit(self, provenance: Provenance, queues: HostQueues) -> int:
        """Record a provenance and queue its candidate; return 1 if nothing is left to do for it, else 0."""
        self.summary.candidates += 1
        if self._downloader and not provenance.original and (original := original_of_url(provenance.url)):
            provenance = replace(provenance, original=original)
        key = candidate_key(provenance.url) if self._downloader else self._local_key(provenance.url)
        candidate = self.catalog.candidates.add(provenance, key)
        is_open = candidate.state == "found" or self._downloader is None or candidate.candidate_id in self._retry_ids
        if not self._is_file_missing(candidate) and (candidate.image_id or not is_open):
            self.summary.already_known += 1
            self._label(candidate.image_id, provenance)
            return 1
        if key in self._in_flight:
            self.summary.already_known += 1
            self._in_flight[key].append(provenance)
            return 1
        self._in_flight[key] = [provenance]
        self._retry_ids.discard(candidate.candidate_id)
        self.targets.pending[provenance.category] += 1
        # the catalog's URL lacks passwords and signatures, which the one at hand may need
        url = provenance.url if self._downloader else candidate.url
        task = partial(process_candidate, self.workspace, url, self.options, self._downloader)
        self._queue.append((provenance, candidate, queues.submit(_host(url), task)))
        return 0

    def _is_file_missing(self, candidate: Candidate) -> bool:
        """Return True if the candidate's image is known but its file is not in the store."""
        image = self.catalog.images.get(candidate.image_id) if candidate.image_id else None
        return image is not None and not image.erased and not (self.workspace.root / image.path).is_file()

    def _local_key(self, url: str) -> str:
        """Return the candidate key of a local file: its URL, with the size appended if the file was overwritten since."""
        known = self.catalog.candidates.get(url)
        image = self.catalog.images.get(known.image_id) if known and known.image_id else None
        try:
            size = local_path(url).stat().st_size
        except OSError:
            return url
        return url if image is None or image.bytes == size else f"{url}#{size}"

    def _record_oldest(self) -> int:
        """Wait for the oldest result and record it with the resulting labels, in one transaction. Return 1."""
        provenance, candidate, future = self._queue[0]
        result = future.result()
        self._queue.popleft()
        if candidate.image_id:
            return self._record_restored(provenance, candidate, result)
        with self.catalog.transaction(durable=False):  # what a power failure loses is collected again
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
        if state == "accepted" and result.image:
            self.summary.add_like_erased(result.image, self._erasures)
        self.targets.pending[provenance.category] -= 1
        reason = "duplicate" if state == "rejected" and result.state == "accepted" else result.reason
        name = provenance.file_name or file_name_of_url(provenance.url) or public_url(provenance.url)
        self.summary.count(provenance.source, provenance.category, state, reason, name)
        return 1

    def _record_restored(self, provenance: Provenance, candidate: Candidate, result: ProcessResult) -> int:
        """Count a known image whose file was missing: restored if the same bytes came again, else lost. Return 1."""
        for place in self._in_flight.pop(candidate.url_key):
            self._label(candidate.image_id, place)
        self.targets.pending[provenance.category] -= 1
        is_restored = result.image is not None and result.image.image_id == candidate.image_id
        self.summary.restored += is_restored
        self.summary.lost += not is_restored
        return 1

    def _label(self, image_id: str | None, provenance: Provenance) -> None:
        """Label an image with the category of a provenance: the first one, or in multi-label tasks all of them.

        Images that a person reviewed and rejected images keep their label.
        """
        image = self.catalog.images.get(image_id) if image_id and provenance.category else None
        if image is None or image.rejected or image.erased:
            return
        label = self._merge_label(image, provenance.category)
        if label != image.label:
            by, reason = Actor.source(provenance.source), f"found as {provenance.category}"
            self.catalog.decisions.add(image.image_id, Edit.relabel(label), by=by, reason=reason)
            self.targets.update(image.image_id)
        if self._downloader is None or self.workspace.settings.task == "single":
            self.different.add(replace(image, label=label), provenance)

    def _merge_label(self, image: ImageRow, label: str) -> str:
        """Return the label of an image for which a source gives this one."""
        if image.reviewed or (image.label and self.workspace.settings.task == "single"):
            return image.label
        if self.workspace.settings.task == "single":
            return label
        return LABEL_SEPARATOR.join(sorted({*image.label.split(LABEL_SEPARATOR), *label.split(LABEL_SEPARATOR)} - {""}))


def ingest_provenances(
    workspace: Workspace,
    provenances: Iterable[Provenance],
    options: FetchOptions,
    *,
    total: int | None = None,
    local: bool = False,
    passed_over: PassedOver | None = None,
) -> CollectSummary:
    """Ingest every provenance whose candidate has no final state. A failed candidate is recorded with its reason.

    Args:
        workspace: where images and catalog are written.
        provenances: candidates, read lazily.
        options: limits of fetching.
        total: number of provenances for the progress bar, if known.
        local: the URLs are local files made by `collect.files.local_files.local_url`.
        passed_over: files and rows that are not candidates; it may grow while `provenances` is read.
    """
    summary = SummaryBuilder(passed_over=PassedOver() if passed_over is None else passed_over)
    with Catalog.open(workspace) as catalog:
        downloader = _make_downloader(workspace, options, local)
        return IngestPipeline(workspace, catalog, options, downloader, summary=summary).run(provenances, total)


def retry_candidates(workspace: Workspace, reasons: Sequence[str], options: FetchOptions) -> CollectSummary:
    """Process failed candidates and those that an interrupted run left unprocessed again.

    With `reasons`, process the failed and rejected candidates with one of these reasons; a bare number is an HTTP status (429
    is http-429). A candidate keeps its state until it has a new one, so that a killed retry can be repeated. FototecaError if
    no candidate matches.
    """
    summary = SummaryBuilder()
    with Catalog.open(workspace) as catalog:
        states: tuple[CandidateState, ...] = ("failed", "rejected") if reasons else ("found", "failed")
        words = [f"http-{word}" if word.isdigit() else word for word in reasons]
        matches = [item for state in states for item in catalog.candidates.in_state(state, words) if item.image_id is None]
        candidates = [item for item in matches if not _is_local(item) or local_path(item.url).exists()]
        if len(candidates) < len(matches):
            count = len(matches) - len(candidates)
            lost = count_of(count, "candidate is a file that no longer exists", "candidates are files that no longer exist")
            notify(f"{lost}; collect the folder, archive or dataset again")
        if not candidates:
            suffix = f" with reason {', '.join(words)}" if words else ""
            raise FototecaError(f"no candidate{suffix} can be retried", "see the reasons with: fototeca status")
        for local in (True, False):
            ids = [candidate.candidate_id for candidate in candidates if _is_local(candidate) == local]
            provenances = [provenance for candidate_id in ids for provenance in catalog.provenance.of_candidate(candidate_id)]
            if ids:
                downloader = _make_downloader(workspace, options, local)
                pipeline = IngestPipeline(workspace, catalog, options, downloader, retry_ids=ids, summary=summary)
                pipeline.run(provenances, len(provenances))
    return summary.build()


def _is_local(candidate: Candidate) -> bool:
    return candidate.url_key.startswith(LOCAL_SCHEME)


def _make_downloader(workspace: Workspace, options: FetchOptions, local: bool) -> Downloader | None:
    return None if local else Downloader(options, workspace.settings.contact)


def _host(url: str) -> str:
    try:
        return host_key(url)
    except ValueError:  # an invalid URL fails later, with its reason
        return ""
