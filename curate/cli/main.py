"""`fototeca curate …`: from candidates to a frozen dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from fototeca.core.console import echo, notify
from fototeca.core.counting import count_of
from fototeca.core.errors import EXIT_USAGE, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.cli import duplicates as cli_duplicates
from fototeca.curate.cli import erase as cli_erase
from fototeca.curate.cli import review as cli_review

app = typer.Typer(
    no_args_is_help=True,
    help="Group duplicates, check quality, review labels, freeze versions.\n\nExample: fototeca curate freeze",
)
cli_duplicates.register(app)
cli_review.register(app)
cli_erase.register(app)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def label(
    image_id: Annotated[list[str] | None, typer.Argument(help="Image ids, or unique beginnings of ids.")] = None,
    category: Annotated[str | None, typer.Option("--from", help="Instead of ids: rename this category to --label.")] = None,
    label: Annotated[str | None, typer.Option(help="The label; for multi-label tasks, categories joined by |.")] = None,
    reject: Annotated[str | None, typer.Option(help="Reject the images, for this reason (a short word).")] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Bring rejected or set-aside images back.")] = False,
    comment: Annotated[str, typer.Option(help="A remark to store with the decision.")] = "",
    from_file: Annotated[
        Path | None, typer.Option("--from-file", help="Apply the labels of a table or of another program's export.")
    ] = None,
    columns: Annotated[str, typer.Option(help="Columns of --from-file, as path=A,label=B. Default: recognized.")] = "",
    map_file: Annotated[Path | None, typer.Option("--map", help="Mapping of the classes of --from-file.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --from-file: write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --from-file: print JSON.")] = False,
) -> None:
    """Set the label of images, reject them or restore them. The decision records the person and the time.

    A category may be spelled in any case, with or without accents. Restoring an image that was set aside declares it to be no
    copy of the image that pushed it out, as `curate apart` does.

    With --from, a whole category is renamed, as after an edit of fototeca.toml; its images do not count as reviewed.

    With --from-file, every row of a file is a decision on the image that it names by id, path or original file name. A row that
    repeats an image's label counts as a review; a rejected image stays rejected.

    Example: fototeca curate label 3fa2b7 --label beagle
    """
    from fototeca.curate.labels.decisions import decide_images, describe_decision, make_edit
    from fototeca.curate.review.apart import restore_images
    from fototeca.curate.review.rename import rename_category

    if bool(category) + bool(image_id) + (from_file is not None) != 1:
        raise FototecaError("no images given", "give image ids, --from CATEGORY or --from-file FILE, one of them")
    workspace = Workspace.find()
    if from_file is not None:
        from fototeca.curate.labels.from_file import label_from_file

        if label is not None or reject is not None or restore:
            raise FototecaError("--from-file takes the labels from the file", "leave out --label, --reject and --restore")
        result = label_from_file(workspace, from_file, columns=columns, mapping=map_file, comment=comment, dry_run=dry_run)
        echo(json.dumps(result.to_json(), ensure_ascii=False, indent=2) if as_json else result.text())
        return
    if not category:
        edit = make_edit(workspace.settings, label=label, reject=reject, restore=restore)
        ids = image_id or []
        restores = edit.action == "restore"
        decisions = (
            restore_images(workspace, ids, comment=comment) if restores else decide_images(workspace, ids, edit, comment=comment)
        )
        for decision in decisions:
            echo(f"{decision.image_id[:12]}  {describe_decision(decision)}")
        return
    if label is None or reject is not None or restore or comment:
        raise FototecaError("--from works with --label only", f"give: --from {category} --label CATEGORY")
    changes = rename_category(workspace, category, label)
    for change in changes:
        echo(f"{change.image_id[:12]}  {change.old_label or '(none)'} -> {change.new_label or '(none)'}")
    if not changes:
        notify(f"no current label was changed; images collected or labeled as {category} before now count as {label}")


@app.command()
def history(
    image_id: Annotated[str | None, typer.Argument(help="One image's id, or its beginning; else all images.")] = None,
    people: Annotated[bool, typer.Option("--people", help="Only decisions made by people.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show label decisions: time, author, image, change, remark.

    Example: fototeca curate history 3fa2b7
    """
    from fototeca.curate.labels.decisions import history_table, list_decisions

    decisions = list_decisions(Workspace.find(), image_id)
    if people:
        decisions = [decision for decision in decisions if decision.actor_kind == "person"]
    if as_json:
        echo(json.dumps([decision.to_json() for decision in decisions], ensure_ascii=False, indent=2))
    else:
        echo(history_table(decisions))


@app.command()
def freeze(
    seed: Annotated[int | None, typer.Option(help="Seed of the split. Default: the last version's, or 0.")] = None,
    ratios: Annotated[
        str | None, typer.Option(help="Percentages of train, val and test. Default: the last version's, or 70/10/20.")
    ] = None,
    note: Annotated[str, typer.Option(help="A remark to store with the version.")] = "",
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Category that this version does not have; can be repeated.")
    ] = None,
    group_by: Annotated[
        Literal["scene", "none"] | None,
        typer.Option(help="scene: bursts and alike photographs of one place share a split; none. Default: the last version's."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Freeze the accepted images as the next version, split into train, val and test.

    Images keep the split they had in earlier versions, new ones that of their source where it was collected with --keep-splits;
    near-duplicates never cross splits, and scenes do not with --group-by scene.

    Example: fototeca curate freeze --group-by scene --note "after the first review"
    """
    from fototeca.curate.versions.freeze import freeze_version
    from fototeca.curate.versions.freeze_result import freeze_table

    result = freeze_version(Workspace.find(), seed=seed, ratios=ratios, note=note, leave_out=leave_out or (), group_by=group_by)
    echo(json.dumps(result.to_json(), ensure_ascii=False, indent=2) if as_json else freeze_table(result))


@app.command()
def versions(as_json: AsJson = False) -> None:
    """List the frozen versions.

    Example: fototeca curate versions
    """
    from fototeca.curate.versions.diff import describe_versions, versions_table

    summaries = describe_versions(Workspace.find())
    rows = [summary.to_json() for summary in summaries]
    echo(json.dumps(rows, ensure_ascii=False, indent=2) if as_json else versions_table(summaries))


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="A version, such as v001.")],
    new: Annotated[str, typer.Argument(help="Another, or latest.")],
    as_json: AsJson = False,
) -> None:
    """Show the changes between two versions: images added, removed, relabeled, moved, regrouped.

    Example: fototeca curate diff v001 latest
    """
    from fototeca.curate.versions.diff import diff_table, diff_versions

    result = diff_versions(Workspace.find(), old, new)
    echo(json.dumps(result.to_json(), ensure_ascii=False, indent=2) if as_json else diff_table(result))


@app.command()
def verify(version: Annotated[str, typer.Argument(help="A version, such as v001, or latest.")], as_json: AsJson = False) -> None:
    """Check a version: read every image and compare its digest, and check the manifest and its decisions.

    Example: fototeca curate verify v001
    """
    from fototeca.curate.versions.verify import verify_version

    result = verify_version(Workspace.find(), version)
    if as_json:
        echo(json.dumps(result.to_json(), ensure_ascii=False, indent=2))
    else:
        erased = [f"{result.erased} images were erased; their bytes cannot be checked"] if result.erased else []
        echo("\n".join([*result.problems, *erased, f"{result.version}: {'ok' if result.ok else 'NOT ok'}"]))
    if not result.ok:
        raise typer.Exit(EXIT_USAGE)


@app.command()
def rebuild(
    version: Annotated[str, typer.Argument(help="A version, such as v001, or latest.")],
    output: Annotated[Path | None, typer.Option(help="Write the rebuilt CSV here.")] = None,
) -> None:
    """Rebuild a version's CSV from the catalog and the version's splits, and compare it with the frozen digest.

    Example: fototeca curate rebuild v001 --output v001-again.csv
    """
    from fototeca.curate.versions.rebuild import rebuild_version

    same = rebuild_version(Workspace.find(), version, output)
    echo(f"{version}: {'identical' if same else 'NOT identical'}")
    if not same:
        raise typer.Exit(EXIT_USAGE)


@app.command()
def recover(as_json: AsJson = False) -> None:
    """Recreate a lost catalog from the stored images and the frozen versions: provenance, licenses, labels, decisions.

    Example: fototeca curate recover
    """
    from fototeca.curate.versions.recover import recover_catalog

    result = recover_catalog(Workspace.find())
    if as_json:
        echo(json.dumps(result.to_json()))
    else:
        echo(f"{count_of(result.images, 'image')} and {count_of(result.decisions, 'decision')} recovered")
        if result.broken:
            notify(
                count_of(
                    result.broken, "file does not match the digest in its name", "files do not match the digest in their name"
                )
            )
        if result.erased:
            erased = count_of(result.erased, "file is an image that was erased", "files are images that were erased")
            notify(f"{erased}; delete them again: fototeca curate erase IMAGE_ID")
        if result.unknown:
            notify(count_of(result.unknown, "decision refers to a missing file", "decisions refer to missing files"))
    if result.images:
        notify("search for near-duplicates again: fototeca curate dedup")


@app.command()
def export(
    version: Annotated[str, typer.Argument(help="A version, such as v001, or latest.")],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    format: Annotated[str, typer.Option(help="imagefolder, huggingface, croissant, coco or webdataset.")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy all images; by default those without metadata are linked.")] = False,
    normalise: Annotated[
        bool | None,
        typer.Option(
            "--normalise/--no-normalise",
            help="Write images that are rotated, 16-bit, transparent, CMYK, animated or have a color profile as the models saw"
            " them: upright 8-bit sRGB PNG. Default: yes, except for croissant and coco.",
            show_default=False,
        ),
    ] = None,
    keep_metadata: Annotated[
        bool,
        typer.Option("--keep-metadata", help="Keep EXIF (places, cameras), XMP, IPTC, comments and thumbnails of the images."),
    ] = False,
    spreadsheet_safe: Annotated[
        bool,
        typer.Option("--spreadsheet-safe", help="In CSV files, write an apostrophe before texts that begin as formulas do."),
    ] = False,
) -> None:
    """Export a version in a format of other tools, with a datasheet. Images carry no metadata.

    Example: fototeca curate export v001 out --format huggingface
    """
    from fototeca.curate.export.formats import export_version

    path = export_version(
        Workspace.find(),
        version,
        folder,
        format,
        copy=copy,
        normalise=normalise,
        keep_metadata=keep_metadata,
        spreadsheet_safe=spreadsheet_safe,
    )
    echo(f"written: {path}")


@app.command("label-issues")
def label_issues(
    csv: Annotated[Path | None, typer.Option(help="Write the issues to this CSV file.")] = None,
    model: Annotated[
        str | None, typer.Option(help="torchvision model for features. Default: the best on disk, or mobilenet_v3_small.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Its weights: a torchvision name or a file. Default: DEFAULT.")] = None,
    limit: Annotated[int, typer.Option(help="Rows to print; --csv and --json contain all.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Rank likely label errors, outliers and near-boundary images, worst first, each with its evidence. Changes no label.

    Example: fototeca curate label-issues --csv issues.csv
    """
    from fototeca.curate.label_issues.find import find_label_issues, label_issues_table, write_label_issues_csv

    issues = find_label_issues(Workspace.find(), model=model, weights=weights)
    if csv is not None:
        write_label_issues_csv(issues, csv)
        notify(f"written: {csv}")
    if as_json:
        echo(json.dumps([issue.to_json() for issue in issues], ensure_ascii=False, indent=2))
    else:
        echo(label_issues_table(issues, limit))
