"""The catalog: candidates, images, provenance, decisions and computed results in one SQLite file.

All SQL is in this package. Other stages import `Catalog` and the row types listed in `__all__`.
"""

from fototeca.collect.catalog.catalog import Catalog
from fototeca.collect.catalog.erasures import REASON as ERASED
from fototeca.collect.catalog.events import Action, Actor, ActorKind, Decision, Edit, ReviewState, describe_state, rename_in_label
from fototeca.collect.catalog.legacy import LEGACY_COLUMNS, parse_legacy_decision
from fototeca.collect.catalog.local_urls import LOCAL_SCHEME, local_path
from fototeca.collect.catalog.metadata import EXPORT_RECORD
from fototeca.collect.catalog.models import (
    Candidate,
    CandidateOutcome,
    CandidateState,
    Erasure,
    FetchAttempt,
    FrozenGroup,
    GroupRow,
    ImageProvenance,
    ImageRow,
    ImageStatus,
    LabelIssueRow,
    MatchRow,
    Provenance,
    TieRow,
    now,
    replace_surrogates,
    user_name,
)

__all__ = [
    "ERASED",
    "EXPORT_RECORD",
    "LEGACY_COLUMNS",
    "LOCAL_SCHEME",
    "Action",
    "Actor",
    "ActorKind",
    "Candidate",
    "CandidateOutcome",
    "CandidateState",
    "Catalog",
    "Decision",
    "Edit",
    "Erasure",
    "FetchAttempt",
    "FrozenGroup",
    "GroupRow",
    "ImageProvenance",
    "ImageRow",
    "ImageStatus",
    "LabelIssueRow",
    "MatchRow",
    "Provenance",
    "ReviewState",
    "TieRow",
    "describe_state",
    "local_path",
    "now",
    "parse_legacy_decision",
    "rename_in_label",
    "replace_surrogates",
    "user_name",
]
