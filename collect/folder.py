"""`collect folder`: a folder, an archive or a picture, labelled and taken in."""

from __future__ import annotations

from pathlib import Path

from collect.archives import readable_folder
from collect.download import FetchOptions
from collect.engine import Summary, collect
from collect.local import Labelling, local_findings
from workspace import Workspace


def collect_folder(workspace: Workspace, path: Path, labelling: Labelling, options: FetchOptions) -> Summary:
    """Take in every picture below `path`. FototecaError when there is none, or when a label is unknown."""
    settings = workspace.settings
    with readable_folder(workspace, path) as folder:
        findings = local_findings(folder, labelling, settings, name=path.name)
        unpacked = folder != path  # gone by the time of a retry: the archive given again, with other limits perhaps, is one
        return collect(workspace, findings, options, total=len(findings), local=True, anew=unpacked)
