"""Original file names stand beside every image that a person looks at."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates.listing import groups_table, list_groups, write_groups_csv
from fototeca.curate.label_issues.find import LabelIssue, label_issues_table, store_label_issues, write_label_issues_csv
from fototeca.curate.quality.checks import measure_quality, quality_table
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.curate.review.session import ReviewSession
from tests.curate.conftest import AddImages


def read_names(path: Path) -> list[str]:
    """Return the column `file_name` of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row["file_name"] for row in csv.DictReader(file)]


def test_names_in_tables_files_and_the_review_page(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], tmp_path: Path
) -> None:
    """Duplicate groups, label issues, quality and the details of the keyboard page."""
    ids = add_images(workspace, ["cat", "dog", "dog"])
    group_images(workspace, [ids[:2]])
    rows = list_groups(workspace)
    write_groups_csv(rows, tmp_path / "groups.csv")
    assert read_names(tmp_path / "groups.csv") == [
        "0.png",
        "1.png",
    ]
    assert [line.split()[-1] for line in groups_table(rows).splitlines()[1:]] == ["0.png", "1.png"]
    issues = store_label_issues(workspace, [LabelIssue(ids[2], "label-error", "dog", "cat", 0.9, ())], 0)
    write_label_issues_csv(issues, tmp_path / "issues.csv")
    assert read_names(tmp_path / "issues.csv") == ["2.png"]
    assert label_issues_table(issues, 5).splitlines()[0].endswith("  2.png")
    findings = measure_quality(workspace, QualityThresholds())
    assert {finding.file_name for finding in findings} == {"0.png", "1.png", "2.png"}
    assert "  0.png" in quality_table(findings, 5)
    session = ReviewSession(workspace)
    session.overview()
    assert session.image_details(ids[2]).to_json()["file_name"] == "2.png"
