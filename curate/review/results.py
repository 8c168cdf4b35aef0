"""Result of a review, in the App or on the keyboard page."""

from __future__ import annotations

from dataclasses import dataclass

from fototeca.core.results import Result


@dataclass(frozen=True)
class EditConflict(Result):
    """An edit in the App of an image that was decided on after it was pushed. The states are encoded review states."""

    image_id: str
    app: str
    pushed: str
    catalog: str


@dataclass(frozen=True)
class EditProblem(Result):
    """An edit or a tag in the App that cannot be applied. `file_name`: original name of the image."""

    image_id: str
    problem: str
    file_name: str = ""


@dataclass(frozen=True)
class ReviewResult(Result):
    """Number of decisions written, and the edits that were not applied."""

    decisions: int
    conflicts: tuple[EditConflict, ...] = ()
    problems: tuple[EditProblem, ...] = ()
