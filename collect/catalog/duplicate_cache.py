"""Results of the duplicate search: signatures by image, and view hashes and pairs by digest of the pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fototeca.collect.catalog.database import Repository
from fototeca.collect.catalog.models import MatchRow

_BATCH = 500


class DuplicateCache(Repository):
    """Signatures, searched images, verified pairs, and matches with group representatives."""

    def signatures(self, version: int, image_ids: Sequence[str]) -> dict[str, bytes]:
        """Return the stored signatures of this version among `image_ids`."""
        signatures: dict[str, bytes] = {}
        for start in range(0, len(image_ids), _BATCH):
            batch = image_ids[start : start + _BATCH]
            rows = self._sql.execute(
                f"SELECT image_id, signature FROM signatures WHERE version = ? AND image_id IN ({','.join('?' * len(batch))})",
                (version, *batch),
            )
            signatures.update({row["image_id"]: row["signature"] for row in rows})
        return signatures

    def signed_ids(self) -> set[str]:
        """Return the ids of the images with a signature: deduplication has compared them."""
        return {row["image_id"] for row in self._sql.execute("SELECT image_id FROM signatures")}

    def save_signatures(self, version: int, signatures: Iterable[tuple[str, bytes]]) -> None:
        """Store signatures by image id; ids that are not in the catalog are ignored."""
        with self._database.transaction():
            self._sql.executemany(
                "INSERT OR REPLACE INTO signatures (image_id, version, signature)"
                " SELECT image_id, ?, ? FROM images WHERE image_id = ?",
                [(version, blob, image_id) for image_id, blob in signatures],
            )

    def view_hashes(self) -> dict[bytes, bytes]:
        """Return the packed view hashes of every searched image, by digest of its pixels."""
        return {row["digest"]: row["view_hashes"] for row in self._sql.execute("SELECT digest, view_hashes FROM searched_images")}

    def pairs(self) -> list[MatchRow]:
        """Return the verified pairs."""
        return [MatchRow(**row) for row in self._sql.execute("SELECT a, b, reason, distance, kind FROM duplicate_pairs")]

    def matches(self) -> list[MatchRow]:
        """Return every comparison with a group's representative, including those without a match."""
        return [MatchRow(**row) for row in self._sql.execute("SELECT a, b, reason, distance, kind FROM matches")]

    def add_search(self, pairs: Iterable[MatchRow], view_hashes: Iterable[tuple[bytes, bytes]]) -> None:
        """Store verified pairs together with the images that were searched for them."""
        with self._database.transaction():
            self._insert("duplicate_pairs", pairs)
            self._sql.executemany("INSERT OR IGNORE INTO searched_images (digest, view_hashes) VALUES (?, ?)", view_hashes)

    def add_matches(self, matches: Iterable[MatchRow]) -> None:
        """Store comparisons with a group's representative."""
        with self._database.transaction():
            self._insert("matches", matches)

    def clear(self) -> None:
        """Delete searched images, pairs and matches; signatures stay."""
        with self._database.transaction():
            for table in ("searched_images", "duplicate_pairs", "matches"):
                self._sql.execute(f"DELETE FROM {table}")

    def _insert(self, table: str, rows: Iterable[MatchRow]) -> None:
        self._sql.executemany(
            f"INSERT OR IGNORE INTO {table} (a, b, reason, distance, kind) VALUES (?, ?, ?, ?, ?)",
            [(row.a, row.b, row.reason, row.distance, row.kind) for row in rows],
        )
