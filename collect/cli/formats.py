"""`fototeca collect detections` and `video`: images cut out of annotated images and of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fototeca.collect.cli.options import Author, Exclude, KeepSplits, License, MaxBytes, MaxPixels, MinSide, SourceName, finish
from fototeca.collect.http.options import FetchOptions
from fototeca.core.workspace import Workspace

app = typer.Typer()


@app.command()
def detections(
    path: Annotated[Path, typer.Argument(help="A folder, zip or tar file with images and annotations.")],
    format_: Annotated[str, typer.Option("--format", help="coco, yolo or voc.")],
    use: Annotated[str, typer.Option("--as", help="crops: each box becomes an image; presence: images labelled by their boxes.")],
    map_file: Annotated[Path | None, typer.Option("--map", help="TOML file with a table [map] of classes to categories.")] = None,
    keep_splits: KeepSplits = False,
    margin: Annotated[float, typer.Option(help="Border around a crop, as a fraction of the box on each side.")] = 0.0,
    take: Annotated[
        list[str] | None, typer.Option(help="Cut out these boxes too: crowd, difficult or truncated; can be repeated.")
    ] = None,
    exclude: Exclude = None,
    source_name: SourceName = "",
    license_: License = "",
    author: Author = "",
    min_side: MinSide = FetchOptions.min_side,
    max_bytes: MaxBytes = FetchOptions.max_bytes,
    max_pixels: MaxPixels = FetchOptions.max_pixels,
) -> None:
    """Collect an object detection set: COCO, YOLO or Pascal VOC.

    Example: fototeca collect detections ~/coco --format coco --as crops --keep-splits
    """
    from fototeca.collect.formats.detections import DetectionOptions
    from fototeca.collect.ingest.detections import collect_detections

    workspace = Workspace.find()
    options = DetectionOptions(
        format_,
        use,
        map_file,
        keep_splits,
        margin,
        tuple(take or ()),
        source_name,
        license_,
        author,
        tuple(exclude or ()),
    )
    fetch = FetchOptions(min_side=min_side, max_bytes=max_bytes, max_pixels=max_pixels)
    finish(workspace, collect_detections(workspace, path, options, fetch))


@app.command()
def video(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Videos, or folders of videos.")],
    every: Annotated[float, typer.Option(help="Seconds between two frames.")],
    category: Annotated[str, typer.Option(help="Category of every frame.")] = "",
    exclude: Exclude = None,
    source_name: SourceName = "",
    license_: License = "",
    author: Author = "",
    min_side: MinSide = FetchOptions.min_side,
) -> None:
    """Collect frames of videos; all frames of one video share a split. Needs: pip install 'fototeca[video]'.

    Example: fototeca collect video holiday.mp4 --every 2 --category beach
    """
    from fototeca.collect.formats.video import VideoOptions
    from fototeca.collect.ingest.video import collect_video

    workspace = Workspace.find()
    options = VideoOptions(every, category, source_name, license_, author, tuple(exclude or ()))
    finish(workspace, collect_video(workspace, paths, options, FetchOptions(min_side=min_side)))
