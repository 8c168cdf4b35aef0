"""Results per image that are computed from its pixels: quality scores and label issues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from fototeca.collect.catalog.database import Repository
from fototeca.collect.catalog.models import LabelIssueRow


class QualityScores(Repository):
    """Continuous quality scores by image and measure."""

    def all(self) -> dict[str, dict[str, float]]:
        """Return every score by image id and measure."""
        scores: dict[str, dict[str, float]] = defaultdict(dict)
        for row in self._sql.execute("SELECT image_id, measure, value FROM quality"):
            scores[row["image_id"]][row["measure"]] = row["value"]
        return dict(scores)

    def replace(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Replace the scores of these images."""
        rows = [(image_id, measure, value) for image_id, values in scores.items() for measure, value in values.items()]
        with self._database.transaction():
            self.delete(scores)
            self._sql.executemany("INSERT INTO quality (image_id, measure, value) VALUES (?, ?, ?)", rows)

    def delete(self, image_ids: Iterable[str]) -> None:
        """Delete the scores of these images."""
        with self._database.transaction():
            self._sql.executemany("DELETE FROM quality WHERE image_id = ?", [(image_id,) for image_id in image_ids])


class LabelIssues(Repository):
    """Results of the last search for label issues."""

    def all(self) -> list[LabelIssueRow]:
        """Return every issue."""
        rows = self._sql.execute("SELECT image_id, label, suggested, score, kind, neighbors FROM label_issues")
        return [LabelIssueRow(**{**row, "neighbors": tuple(row["neighbors"].split())}) for row in rows]

    def get(self, image_id: str) -> LabelIssueRow | None:
        """Return the issue of one image, or None."""
        row = self._sql.execute(
            "SELECT image_id, label, suggested, score, kind, neighbors FROM label_issues WHERE image_id = ?", (image_id,)
        ).fetchone()
        return LabelIssueRow(**{**row, "neighbors": tuple(row["neighbors"].split())}) if row else None

    def replace(self, issues: Iterable[LabelIssueRow]) -> None:
        """Replace all issues."""
        with self._database.transaction():
            self._sql.execute("DELETE FROM label_issues")
            self._sql.executemany(
                "INSERT INTO label_issues (image_id, label, suggested, score, kind, neighbors) VALUES (?,?,?,?,?,?)",
                [(i.image_id, i.label, i.suggested, i.score, i.kind, " ".join(i.neighbors)) for i in issues],
            )
