"""Process one candidate in a worker thread: fetch or read its bytes, validate and store the image. Needs no catalog."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fototeca.collect.catalog import CandidateState, FetchAttempt, ImageRow
from fototeca.collect.files.local_files import read_local_file
from fototeca.collect.http.client import Downloader
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.http.responses import FetchError
from fototeca.collect.store.accept import ImageRejectedError, accept_image
from fototeca.core.errors import ExternalError
from fototeca.core.workspace import Workspace


@dataclass(frozen=True)
class ProcessResult:
    """New state of a candidate, with the image if it was accepted."""

    state: CandidateState
    reason: str = ""
    image: ImageRow | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    attempt: FetchAttempt = field(default_factory=FetchAttempt)


def process_candidate(workspace: Workspace, url: str, options: FetchOptions, downloader: Downloader | None) -> ProcessResult:
    """Fetch, validate and store the candidate at `url`; without a downloader it is a local file.

    Faults of the candidate become a state and reason. FototecaError (exit 4) if the store cannot be written.
    """
    start = time.monotonic()
    result = _fetch_and_accept(workspace, url, options, downloader)
    return replace(result, attempt=replace(result.attempt, seconds=round(time.monotonic() - start, 3)))


def _fetch_and_accept(workspace: Workspace, url: str, options: FetchOptions, downloader: Downloader | None) -> ProcessResult:
    attempt = FetchAttempt()
    try:
        if downloader is None:
            data = read_local_file(url, options.max_bytes)
            attempt = FetchAttempt(size=len(data))
            image, quality = accept_image(workspace, data, options.min_side, options.max_pixels)
        else:
            response = downloader.fetch(url)
            attempt = _make_attempt(response.status, len(response.data), response.headers)
            image, quality = accept_image(workspace, response.data, options.min_side, options.max_pixels)
    except FetchError as error:
        state: CandidateState = "rejected" if error.final else "failed"
        return ProcessResult(state, error.reason, attempt=_make_attempt(error.status, error.received, error.headers))
    except ImageRejectedError as error:
        return ProcessResult("rejected", error.reason, attempt=attempt)
    except OSError as error:  # from the store: fetching and decoding turn theirs into reasons
        hint = "free some disk space or fix the folder, then run the same command again"
        raise ExternalError(f"the image of {url} cannot be stored: {error}", hint) from None
    except Exception:  # a single candidate never ends the run
        return ProcessResult("failed", "unexpected", attempt=attempt)
    return ProcessResult("accepted", image=image, quality=quality, attempt=attempt)


def _make_attempt(status: int | None, size: int, headers: Mapping[str, str]) -> FetchAttempt:
    """Return the attempt with content type and length from the response headers; an absurdly long length is dropped."""
    fields = {name.lower(): value for name, value in headers.items()}
    length = fields.get("content-length", "")
    content_length = int(length) if length.isdecimal() and len(length) < 19 else None
    return FetchAttempt(status, size, content_type=fields.get("content-type", "")[:200], content_length=content_length)
