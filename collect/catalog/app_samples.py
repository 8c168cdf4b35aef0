"""Samples that were pushed to the FiftyOne App, to recognize those that a person deleted there."""

from __future__ import annotations

from collections.abc import Iterable

from fototeca.collect.catalog.database import Repository


class AppSamples(Repository):
    """Review state that each sample was given last, by the random id of its FiftyOne dataset."""

    def of(self, dataset: str) -> dict[str, str]:
        """Return the encoded state of the samples of a dataset, by image id."""
        rows = self._sql.execute("SELECT image_id, state FROM app_samples WHERE dataset = ? ORDER BY image_id", (dataset,))
        return {row["image_id"]: row["state"] for row in rows}

    def set(self, dataset: str, states: Iterable[tuple[str, str]]) -> None:
        """Store the encoded states of samples, replacing earlier ones."""
        with self._database.transaction():
            self._sql.executemany(
                "INSERT OR REPLACE INTO app_samples (image_id, dataset, state) VALUES (?, ?, ?)",
                [(image_id, dataset, state) for image_id, state in states],
            )

    def remove(self, image_ids: Iterable[str]) -> None:
        """Forget samples, after their deletion was applied."""
        with self._database.transaction():
            self._sql.executemany("DELETE FROM app_samples WHERE image_id = ?", [(image_id,) for image_id in image_ids])
