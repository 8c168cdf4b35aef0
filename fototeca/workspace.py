"""A workspace with everything that the commands do, as methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fototeca.collecting import CollectingWorkspace
from fototeca.core.settings import Language, Task
from fototeca.core.workspace import create_workspace

if TYPE_CHECKING:
    from fototeca.analysis.report.page import ReportResult
    from fototeca.collect.catalog import Decision
    from fototeca.collect.status import WorkspaceStatus
    from fototeca.core.trust import TrustedThing
    from fototeca.curate.duplicates.listing import MemberRow
    from fototeca.curate.duplicates.results import DedupResult
    from fototeca.curate.erasure.erase import EraseResult
    from fototeca.curate.label_issues.find import LabelIssue
    from fototeca.curate.labels.from_file import LabelFileResult
    from fototeca.curate.quality.checks import QualityIssue
    from fototeca.curate.versions.freeze_result import FreezeResult
    from fototeca.curate.versions.verify import VerifyResult
    from fototeca.manifest import Manifest
    from fototeca.run import Run
    from fototeca.train.config import TrainConfig


class Workspace(CollectingWorkspace):
    """The folder of one classification task: `fototeca.toml`, `data/`, `manifests/` and `report.md`.

    Example:
        >>> ws = ft.Workspace.create("perros", ["beagle", "pug"])
        >>> ws.collect_folder("photos", label_from_folder=True)
        >>> ws.deduplicate()
        >>> ws.freeze()
    """

    @classmethod
    def create(
        cls,
        path: Path | str,
        categories: Sequence[str],
        *,
        task: Task = "single",
        target: int = 150,
        contact: str = "",
        language: Language | None = None,
    ) -> Workspace:
        """Create a workspace. FototecaError if the folder is one already or a name is invalid.

        Args:
            path: the folder; its name becomes the name of the dataset.
            categories: names as they appear in labels.
            task: "single" for one label per image, "multi" for any number.
            target: accepted images wanted per category.
            contact: e-mail address sent in the User-Agent.
            language: of reports and drawings, "en" or "es"; default: that of the environment.
        """
        created = create_workspace(Path(path), categories, task=task, target=target, contact=contact, language=language)
        return cls(created.root)

    @classmethod
    def open(cls, path: Path | str | None = None) -> Workspace:
        """Open the workspace at `path`, else at FOTOTECA_WORKSPACE, else in the nearest parent of the current folder."""
        return cls(cls.find(path).root)

    def trust(self) -> list[TrustedThing]:
        """Trust the links, site files, tables and model sources of this workspace as they are now, and return them.

        Read them first: they reach servers or other folders, or run code. A workspace whose links are not trusted is opened by
        `ft.Workspace(path)`.
        """
        from fototeca.core.trust import list_trusted_things, record_trust

        things = list_trusted_things(self.root)
        record_trust(self.root, things)
        return things

    def status(self) -> WorkspaceStatus:
        """Count the images of each category: collected, accepted, rejected, duplicates, reviewed, target."""
        from fototeca.collect.status import workspace_status

        return workspace_status(self)

    def deduplicate(self, *, threshold: int = 10, similarity: float = 0.8, keep_near: bool = False) -> DedupResult:
        """Group duplicates and near-duplicates and set aside all but the best image of each group.

        Args:
            threshold: largest Hamming distance between perceptual hashes, in bits, 0 to 31.
            similarity: how alike a copy must be at native detail, 0.5 to 1.
            keep_near: set aside exact copies only; near-duplicates share a split.
        """
        from fototeca.curate.duplicates import dedup

        return dedup(self, threshold=threshold, similarity=similarity, keep_near=keep_near)

    def duplicate_groups(self) -> list[MemberRow]:
        """Return the members of every duplicate group, with the reason and distance of each."""
        from fototeca.curate.duplicates.listing import list_groups

        return list_groups(self)

    def quality(self) -> list[QualityIssue]:
        """Measure new images and return those that are dark, blurred, flat or otherwise conspicuous."""
        from fototeca.curate.quality.checks import measure_quality
        from fototeca.curate.quality.thresholds import QualityThresholds

        return measure_quality(self, QualityThresholds())

    def label_issues(self, *, model: str | None = None, weights: str | None = None) -> list[LabelIssue]:
        """Rank likely label errors by out-of-fold predictions over frozen features, the most likely first.

        Args:
            model: backbone; by default the best one with weights on disk.
            weights: a name of torchvision or a path.
        """
        from fototeca.curate.label_issues.find import find_label_issues

        return find_label_issues(self, model=model, weights=weights)

    def label(self, image_ids: Sequence[str], label: str, *, comment: str = "") -> list[Decision]:
        """Label images in the name of the current user; several labels are joined by `|`. Unique prefixes of ids suffice."""
        from fototeca.curate.labels.decisions import label_images

        return label_images(self, image_ids, label, comment=comment)

    def label_from_file(
        self,
        file: Path | str,
        *,
        columns: str = "",
        mapping: Path | str | None = None,
        comment: str = "",
        dry_run: bool = False,
    ) -> LabelFileResult:
        """Apply the labels of a table, or of an export of another program, in the name of the current user.

        Args:
            file: CSV, TSV, JSON Lines; Label Studio, CVAT, COCO, Hugging Face or FiftyOne export.
            columns: the columns of a table, as `path=A,label=B`; by default recognized.
            mapping: TOML file with the category of each class.
            comment: remark of the decisions; by default the name of the file.
            dry_run: write nothing.
        """
        from fototeca.curate.labels.from_file import label_from_file

        chosen = Path(mapping) if mapping is not None else None
        return label_from_file(self, Path(file), columns=columns, mapping=chosen, comment=comment, dry_run=dry_run)

    def reject(self, image_ids: Sequence[str], reason: str, *, comment: str = "") -> list[Decision]:
        """Take images out of the dataset for a reason; their files stay in the store."""
        from fototeca.curate.labels.decisions import reject_images

        return reject_images(self, image_ids, reason, comment=comment)

    def restore(self, image_ids: Sequence[str], *, comment: str = "") -> list[Decision]:
        """Bring back rejected images and images set aside as duplicates.

        An image that was set aside is thereby declared to be no copy of the image that pushed it out, as by `apart`.
        """
        from fototeca.curate.review.apart import restore_images

        return restore_images(self, image_ids, comment=comment)

    def apart(self, image_ids: Sequence[str], *, comment: str = "") -> list[Decision]:
        """Declare images to be no copies of each other, for every search to come; their groups and splits follow at once.

        Unique prefixes of ids suffice. Returns one decision for each pair that was not declared before.
        """
        from fototeca.curate.review.apart import declare_apart

        return declare_apart(self, image_ids, comment=comment)

    def fiftyone_dataset(self) -> Any:  # noqa: ANN401 - FiftyOne ships no types
        """Return the FiftyOne dataset of the review that is running (`fototeca curate review`), for FiftyOne's own API.

        Edits of it are applied when the review ends, as those in the App are.
        """
        from fototeca.curate.review.running import open_dataset

        return open_dataset(self)

    def erase(
        self,
        image_ids: Sequence[str] = (),
        *,
        reason: str,
        urls: Sequence[str] = (),
        sources: Sequence[str] = (),
        file_names: Sequence[str] = (),
    ) -> EraseResult:
        """Erase images on request, for good and without a question: files, thumbnails, caches, reports and predictions.

        A tombstone stays, so that the same bytes are never collected again. The result names versions, runs and exports that
        contain them.

        Args:
            image_ids: ids, or unique beginnings of ids.
            reason: one line, stored with the decision.
            urls: URLs of images or of their pages.
            sources: names of sources, all of whose images go.
            file_names: original file names.
        """
        from fototeca.curate.erasure.erase import Selection, erase_images

        return erase_images(self, Selection(tuple(image_ids), tuple(urls), tuple(sources), tuple(file_names)), reason)

    def freeze(
        self,
        *,
        seed: int | None = None,
        ratios: str | None = None,
        note: str = "",
        leave_out: Sequence[str] = (),
        group_by: Literal["scene", "none"] | None = None,
    ) -> FreezeResult:
        """Write the next version, `manifests/vNNN.csv`; nothing is written if it would equal the last one.

        Args:
            seed: of the split; by default that of the last version, else 0.
            ratios: percentages of train, val and test, such as "70/10/20".
            note: a remark stored with the version.
            leave_out: categories that this version shall not have.
            group_by: "scene" keeps bursts and alike photographs of one place in one split; by default as in the last version.
        """
        from fototeca.curate.versions.freeze import freeze_version

        return freeze_version(self, seed=seed, ratios=ratios, note=note, leave_out=leave_out, group_by=group_by)

    def manifest(self, version: str = "latest") -> Manifest:
        """Read a frozen version: "v001", or "latest"."""
        from fototeca.manifest import open_manifest

        return open_manifest(self, version)

    def versions(self) -> list[str]:
        """Return the names of the frozen versions, the oldest first."""
        from fototeca.curate.manifest import list_versions

        return list_versions(self)

    def verify(self, version: str = "latest") -> VerifyResult:
        """Check a version and its images against the digests, the splits and the rules of freezing."""
        from fototeca.curate.versions.verify import verify_version

        return verify_version(self, version)

    def export(
        self,
        version: str,
        folder: Path | str,
        format: str,
        *,
        copy: bool = False,
        normalise: bool | None = None,
        keep_metadata: bool = False,
        spreadsheet_safe: bool = False,
    ) -> Path:
        """Export a version to the layout of another tool and return the folder.

        Args:
            version: "v001", or "latest".
            folder: new or empty.
            format: "imagefolder", "huggingface", "croissant", "coco" or "webdataset".
            copy: copy all files; by default those without metadata are linked.
            normalise: write images that reading changes as the models saw them; by default for the formats whose readers
                expect it (imagefolder, huggingface, webdataset).
            keep_metadata: keep EXIF, XMP, IPTC, comments and thumbnails.
            spreadsheet_safe: write an apostrophe before texts in CSV files that spreadsheets would take for formulas.
        """
        from fototeca.curate.export.formats import export_version

        return export_version(
            self,
            version,
            Path(folder),
            format,
            copy=copy,
            normalise=normalise,
            keep_metadata=keep_metadata,
            spreadsheet_safe=spreadsheet_safe,
        )

    def train(self, config: TrainConfig, *, resume: bool = True) -> Run:
        """Train a model on `config.manifest`; see `ft.train`."""
        from fototeca.run import train

        return train(self.manifest(config.manifest), config, resume=resume)

    def list_runs(self) -> list[Run]:
        """Return the finished runs."""
        from fototeca.run import open_run
        from fototeca.train.runs.registry import list_runs

        return [open_run(self, run.id) for run in list_runs(self)]

    def report(
        self,
        version: str = "latest",
        *,
        lang: Language | None = None,
        output: Path | str | None = None,
        pdf: bool = False,
        clean: bool = False,
    ) -> ReportResult:
        """Write the report of a version and return the files.

        Args:
            version: "v001", or "latest".
            lang: "es" or "en"; default: the workspace's.
            output: folder; by default `data/reports/VERSION`.
            pdf: write a PDF too, which needs Chromium.
            clean: leave out the list of texts that are still to be written.
        """
        from fototeca.analysis.report.page import write_report

        return write_report(self, version, lang=lang, output=Path(output) if output else None, pdf=pdf, clean=clean)
