"""The commands of `fototeca collect` as methods of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fototeca.core.workspace import Workspace as WorkspacePaths

if TYPE_CHECKING:
    from fototeca.collect.http.options import FetchOptions
    from fototeca.collect.ingest.summary import CollectSummary


class CollectingWorkspace(WorkspacePaths):
    """Paths of a workspace, and methods that add images to it."""

    def collect_folder(
        self,
        path: Path | str,
        *,
        label_from_folder: bool = False,
        category: str = "",
        labels: Path | str | None = None,
        columns: str = "",
        exclude: Sequence[str] = (),
        mapping: Path | str | None = None,
        keep_splits: bool = False,
        group_by: str = "",
        source_name: str = "",
        license: str = "",
        author: str = "",
        options: FetchOptions | None = None,
    ) -> CollectSummary:
        """Add the images of a folder, an archive or one file.

        Args:
            path: folder (searched with its subfolders), archive or image.
            label_from_folder: the name of the folder of an image is its category.
            category: the category of all images.
            labels: table with a column of file names and one of labels, or one-hot columns.
            columns: the columns of `labels`, as `path=A,label=B`; by default recognized.
            exclude: patterns of files to pass over, as in a .gitignore file.
            mapping: TOML file with the category of each folder, or of each class of `labels`.
            keep_splits: keep the splits of the folders or of `labels` at the next freeze.
            group_by: what shares a split: a column of `labels`, "folder", a regular expression with one group, or "exif-time".
            source_name: name of the source in manifests.
            license: SPDX id, name or URL of the license.
            author: author of the images.
            options: smallest side, largest file and other limits.
        """
        from fototeca.collect.files.folder_options import FolderOptions
        from fototeca.collect.http.options import FetchOptions
        from fototeca.collect.ingest.folder import collect_folder

        folder_options = FolderOptions(
            category,
            label_from_folder,
            Path(labels) if labels is not None else None,
            Path(mapping) if mapping is not None else None,
            columns=columns,
            exclude=tuple(exclude),
            keep_splits=keep_splits,
            group_by=group_by,
            source_name=source_name,
            license=license,
            author=author,
        )
        return collect_folder(self, Path(path), folder_options, options or FetchOptions())

    def collect_detections(
        self,
        path: Path | str,
        format: Literal["coco", "yolo", "voc"],
        use: Literal["crops", "presence"] = "crops",
        *,
        mapping: Path | str | None = None,
        keep_splits: bool = False,
        margin: float = 0.0,
        take: Sequence[str] = (),
        exclude: Sequence[str] = (),
        source_name: str = "",
        license: str = "",
        author: str = "",
        options: FetchOptions | None = None,
    ) -> CollectSummary:
        """Add an object detection set: each box as an image, or the images labelled with the classes of their boxes.

        Args:
            path: folder or archive with images and annotations.
            format: layout of the annotations.
            use: "crops" or "presence".
            mapping: TOML file with the category of each class.
            keep_splits: keep the splits of the set at the next freeze.
            margin: border around a crop, as a fraction of the box on each side.
            take: "crowd", "difficult" and "truncated" boxes are cut out too if named.
            exclude: patterns of images and annotations to pass over, as in a .gitignore file.
            source_name: name of the source in manifests.
            license: SPDX id, name or URL of the license.
            author: author of the images.
            options: smallest side, largest file and other limits.
        """
        from fototeca.collect.formats.detections import DetectionOptions
        from fototeca.collect.http.options import FetchOptions
        from fototeca.collect.ingest.detections import collect_detections

        file = Path(mapping) if mapping is not None else None
        rights = (source_name, license, author)
        chosen = DetectionOptions(format, use, file, keep_splits, margin, tuple(take), *rights, tuple(exclude))
        return collect_detections(self, Path(path), chosen, options or FetchOptions())

    def collect_video(
        self,
        paths: Sequence[Path | str],
        every: float,
        *,
        category: str = "",
        exclude: Sequence[str] = (),
        source_name: str = "",
        license: str = "",
        author: str = "",
        options: FetchOptions | None = None,
    ) -> CollectSummary:
        """Add the frames that videos show every so many seconds; frames of one video share a split.

        Args:
            paths: videos, and folders of videos.
            every: seconds between two frames.
            category: the category of all frames.
            exclude: patterns of files to pass over, as in a .gitignore file.
            source_name: name of the source in manifests.
            license: SPDX id, name or URL of the license.
            author: author of the videos.
            options: smallest side and other limits.
        """
        from fototeca.collect.formats.video import VideoOptions
        from fototeca.collect.http.options import FetchOptions
        from fototeca.collect.ingest.video import collect_video

        chosen = VideoOptions(every, category, source_name, license, author, tuple(exclude))
        return collect_video(self, [Path(path) for path in paths], chosen, options or FetchOptions())

    def collect_urls(
        self,
        file: Path | str,
        *,
        category: str = "",
        keep_splits: bool = False,
        group_by: str = "",
        source_name: str = "",
        license: str = "",
        author: str = "",
        options: FetchOptions | None = None,
    ) -> CollectSummary:
        """Download the images of a list: CSV with `url[,category,page_url,author,license]`, or one URL per line.

        Args:
            file: the list.
            category: the category of rows that name none.
            keep_splits: keep the splits of the column `split` at the next freeze.
            group_by: what shares a split: a column, "folder" (of the URL) or a regular expression (of the URL) with one group.
            source_name: name of the source in manifests.
            license: SPDX id, name or URL of the license of rows that state none.
            author: author of rows that name none.
            options: limits and concurrency.
        """
        from fototeca.collect.http.options import FetchOptions
        from fototeca.collect.ingest.url_list import collect_urls

        rights = {"source_name": source_name, "license": license, "author": author}
        fetch = options or FetchOptions()
        return collect_urls(self, Path(file), category, fetch, keep_splits=keep_splits, group_by=group_by, **rights)

    def search(
        self,
        sources: Sequence[str],
        *,
        categories: Sequence[str] = (),
        limit: int | None = None,
        license: Literal["any", "commercial", "claimed"] = "any",
        url: str = "",
        options: FetchOptions | None = None,
    ) -> CollectSummary:
        """Search sources until every category has its target of accepted images or the sources are exhausted.

        Args:
            sources: names, in the order of use; `fototeca collect sources` lists them.
            categories: by default all.
            limit: candidates per source, category and query.
            license: "commercial" takes only what permits commercial use; "claimed" also what an engine says does.
            url: for "gallery": the page, with `{query}` in the place of the query.
            options: limits and concurrency.
        """
        from fototeca.collect.http.options import FetchOptions
        from fototeca.collect.search import SearchOptions, search_sources

        chosen = SearchOptions(tuple(sources), tuple(categories), limit, license, False, url)
        return search_sources(self, chosen, options or FetchOptions())
