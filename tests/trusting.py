"""Trust in the workspaces that tests make."""

from __future__ import annotations

from fototeca.core.trust import list_trusted_things, record_trust
from fototeca.core.workspace import Workspace


def trust(workspace: Workspace) -> None:
    """Trust everything in a workspace as it is now, as `fototeca trust` does."""
    record_trust(workspace.root, list_trusted_things(workspace.root))
