"""Candidates (normalized URLs and files), the attempts to fetch them, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from types import MappingProxyType

from fototeca.collect.catalog.database import Database, Repository
from fototeca.collect.catalog.images import Images
from fototeca.collect.catalog.measures import QualityScores
from fototeca.collect.catalog.metadata import Metadata
from fototeca.collect.catalog.models import (
    Candidate,
    CandidateOutcome,
    CandidateState,
    FetchAttempt,
    ImageRow,
    Provenance,
    ReasonCount,
)
from fototeca.collect.catalog.provenance import Provenances
from fototeca.collect.http.urls import url_key

_COLUMNS = "candidate_id, url_key, url, state, reason, image_id"
_NO_ATTEMPT = FetchAttempt()


class Candidates(Repository):
    """The candidates with their current state."""

    def __init__(
        self, database: Database, images: Images, provenance: Provenances, quality: QualityScores, metadata: Metadata
    ) -> None:
        super().__init__(database)
        self._images = images
        self._provenance = provenance
        self._quality = quality
        self._metadata = metadata

    def add(self, place: Provenance, url_key: str) -> Candidate:
        """Add a place and, if its key is new, a candidate; return the candidate with its current state.

        URLs are stored without user names, passwords, keys and signatures: a candidate whose URL had some can be fetched again
        only when a source gives that URL again.
        """
        place = place.public()
        with self._database.transaction():
            time = self._metadata.next_time()
            self._sql.execute(
                "INSERT INTO candidates (url_key, url, updated) VALUES (?, ?, ?) ON CONFLICT (url_key) DO NOTHING",
                (url_key, place.url, time),
            )
            candidate = self.get(url_key)
            assert candidate is not None
            self._provenance.add(candidate.candidate_id, place, time)
        return candidate

    def get(self, url_key: str) -> Candidate | None:
        """Return the candidate with this key, or None."""
        row = self._sql.execute(f"SELECT {_COLUMNS} FROM candidates WHERE url_key = ?", (url_key,)).fetchone()
        return Candidate(**row) if row else None

    def all(self) -> list[Candidate]:
        """Return every candidate, oldest first."""
        return [Candidate(**row) for row in self._sql.execute(f"SELECT {_COLUMNS} FROM candidates ORDER BY candidate_id")]

    def in_state(self, state: CandidateState, reasons: Sequence[str] = ()) -> list[Candidate]:
        """Return the candidates in a state, oldest first; with `reasons`, only those in it for one of them."""
        narrowed = f" AND reason IN ({','.join('?' * len(reasons))})" if reasons else ""
        rows = self._sql.execute(
            f"SELECT {_COLUMNS} FROM candidates WHERE state = ?{narrowed} ORDER BY candidate_id", (state, *reasons)
        )
        return [Candidate(**row) for row in rows]

    def record(
        self,
        candidate_id: int,
        state: CandidateState,
        reason: str = "",
        *,
        image: ImageRow | None = None,
        quality: Mapping[str, float] = MappingProxyType({}),
        attempt: FetchAttempt = _NO_ATTEMPT,
    ) -> CandidateState:
        """Store an attempt and its consequences in one transaction; return the candidate's new state.

        With `image`, an accepted file, its `quality` scores are stored if the image is new. A file that the store already had
        makes the candidate `rejected` for `duplicate`, and its places count as places of the existing image. A candidate that
        has an image keeps it: another process may have been faster.
        """
        with self._database.transaction():
            previous = self._sql.execute(
                "SELECT state, reason, image_id FROM candidates WHERE candidate_id = ?", (candidate_id,)
            ).fetchone()
            image_id = image.image_id if image else None
            time = self._metadata.next_time()
            if previous["image_id"]:
                state, reason, image_id = previous
            elif image and state == "accepted":
                if self._images.insert(image, time):
                    self._quality.replace({image.image_id: quality})
                else:
                    state, reason = "rejected", "duplicate"
            self._sql.execute(
                "INSERT INTO attempts (candidate_id, time, state, reason, status, bytes, seconds, content_type, content_length)"
                " VALUES (?,?,?,?,?,?,?,?,?)",
                (candidate_id, time, state, reason, *astuple(attempt)),
            )
            self._sql.execute(
                "UPDATE candidates SET state = ?, reason = ?, image_id = ?, attempts = attempts + 1, updated = ?"
                " WHERE candidate_id = ?",
                (state, reason, image_id, time, candidate_id),
            )
        return state

    def readmit(self, image: ImageRow, place: Provenance) -> None:
        """Add a stored file that this catalog has no row for, with the place where it was found.

        If the place's candidate has another image by now, the stored file itself becomes the place.
        """
        with self._database.transaction():
            try:
                candidate = self.add(place, url_key(place.url))
            except ValueError:  # a file
                candidate = self.add(place, place.url)
            if candidate.image_id:
                place = replace(place, url=f"file:{image.path}")
                candidate = self.add(place, place.url)
            self.record(candidate.candidate_id, "accepted", image=image, attempt=FetchAttempt(size=image.bytes))

    def outcomes(self) -> list[CandidateOutcome]:
        """Return the state of every candidate, once for each category for which it was found."""
        rows = self._sql.execute(
            "SELECT DISTINCT c.candidate_id, p.category, c.state, c.reason, c.state = 'accepted' OR EXISTS"
            " (SELECT 1 FROM attempts a WHERE a.candidate_id = c.candidate_id AND a.bytes > 0 AND a.state <> 'failed')"
            " AS was_fetched FROM candidates c JOIN provenance p USING (candidate_id)"
        )
        return [CandidateOutcome(**{**row, "was_fetched": bool(row["was_fetched"])}) for row in rows]

    def count_by_reason(self) -> list[ReasonCount]:
        """Return the number of candidates for each state and reason, most first."""
        rows = self._sql.execute(
            "SELECT state, reason, count(*) AS count FROM candidates WHERE reason != '' GROUP BY 1, 2 ORDER BY 3 DESC"
        )
        return [ReasonCount(**row) for row in rows]

    def latest_time(self) -> str:
        """Return the latest time of any image, place, attempt or candidate; empty if there is none."""
        times = "SELECT max(added) AS t FROM images UNION SELECT max(found) FROM provenance UNION SELECT max(time) FROM attempts"
        times += " UNION SELECT max(time) FROM provenance_updates"
        row = self._sql.execute(f"SELECT max(t) FROM ({times} UNION SELECT max(updated) FROM candidates)").fetchone()
        return str(row[0] or "")
