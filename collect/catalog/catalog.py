"""The catalog: where images were found, what became of each candidate, and every label decision. Nothing in it is deleted.

An image has one status, derived from decisions and deduplication: `accepted`, `duplicate` (set aside, a better copy exists) or
`rejected` (with a reason). Its label is set by the latest decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from fototeca.collect.catalog.app_samples import AppSamples
from fototeca.collect.catalog.candidates import Candidates
from fototeca.collect.catalog.database import Database
from fototeca.collect.catalog.decisions import Decisions
from fototeca.collect.catalog.duplicate_cache import DuplicateCache
from fototeca.collect.catalog.erasures import Erasures
from fototeca.collect.catalog.groups import Groups
from fototeca.collect.catalog.images import Images
from fototeca.collect.catalog.measures import LabelIssues, QualityScores
from fototeca.collect.catalog.metadata import Metadata
from fototeca.collect.catalog.provenance import Provenances
from fototeca.collect.catalog.scenes import ScenePairs
from fototeca.core.workspace import Workspace

MAX_PLANS = 3
"""Times that something is computed without a lock, before it is computed with one."""

T = TypeVar("T")


class Catalog:
    """The catalog of one workspace. Several processes may have it open; use one object per thread.

    Example:
        >>> with Catalog.open(workspace) as catalog, catalog.transaction():
        ...     catalog.decisions.add(image_id, Edit.relabel("cat"), by=Actor.person("ana"))
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = Database(path)
        self.metadata = Metadata(self.database)
        self.images = Images(self.database)
        self.provenance = Provenances(self.database)
        self.quality = QualityScores(self.database)
        self.candidates = Candidates(self.database, self.images, self.provenance, self.quality, self.metadata)
        self.decisions = Decisions(self.database, self.images)
        self.groups = Groups(self.database)
        self.label_issues = LabelIssues(self.database)
        self.duplicate_cache = DuplicateCache(self.database)
        self.app_samples = AppSamples(self.database)
        self.erasures = Erasures(self.database)
        self.scenes = ScenePairs(self.database)

    @classmethod
    def open(cls, workspace: Workspace) -> Self:
        """Open the workspace's catalog, creating it if missing."""
        return cls(workspace.catalog)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.database.connection.close()

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """Commit everything in the block, or nothing; a nested block belongs to the outermost.

        `durable`: what people decide outlives a power failure, see `Database.transaction`.

        FototecaError (4) if the disk is full or broken, or the file is locked.
        """
        return self.database.transaction(durable=durable)

    @contextmanager
    def planned_transaction(self, plan: Callable[[], T]) -> Iterator[T]:
        """Yield in a transaction what `plan` computed from the catalog before it, without a lock.

        If people or sources decided meanwhile, it is computed again; after `MAX_PLANS` times, under the lock.
        """
        for _ in range(MAX_PLANS):
            with self.reading():
                last, value = self.decisions.last_id(), plan()
            with self.transaction():
                if self.decisions.last_id() == last:
                    yield value
                    return
        with self.transaction():
            yield plan()

    def reading(self) -> AbstractContextManager[None]:
        """Read one state of the catalog in the whole block, while other processes write. The block must not write."""
        return self.database.reading()

    @contextmanager
    def snapshot(self) -> Iterator[tuple[Self, str]]:
        """Yield a connection that reads the state of one moment, and the moment; other processes may write meanwhile.

        No row that the connection reads has a time after the moment, and every row that is stored later has one.
        """
        newest = self.candidates.latest_time()
        with type(self)(self.path) as reader:
            with self.transaction():  # nothing else writes between the moment and the state that is read
                moment = self.metadata.reserve_moment(newest)
                reader.database.begin_reading()
            yield reader, moment
