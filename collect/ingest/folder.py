"""`collect folder`: a folder, an archive or an image, labelled and taken in."""

from __future__ import annotations

from pathlib import Path

from fototeca.collect.files.archives import readable_folder
from fototeca.collect.files.local_files import LabelSource, local_findings
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.ingest.pipeline import collect
from fototeca.collect.ingest.summary import Summary
from fototeca.core.workspace import Workspace


def collect_folder(workspace: Workspace, path: Path, labelling: LabelSource, options: FetchOptions) -> Summary:
    """Take in every image below `path`. FototecaError when there is none, or when a label is unknown."""
    settings = workspace.settings
    with readable_folder(workspace, path) as folder:
        findings = local_findings(folder, labelling, settings, name=path.name)
        return collect(workspace, findings, options, total=len(findings), local=True)
