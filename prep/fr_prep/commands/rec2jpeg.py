"""`fr-prep rec2jpeg`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fr_prep.commands.conversion import refuse_source_as_out
from fr_prep.commands.options import (
    dry_run_option,
    json_option,
    overwrite_option,
    quiet_option,
    scheduler_option,
    shared_paths,
    workers_option,
)

if TYPE_CHECKING:
    from fr_prep.sources.image_set import ImageSource

__all__ = ["rec2jpeg"]


@click.command(epilog="Example: fr-prep rec2jpeg faces_emore faces_emore_images")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@workers_option
@scheduler_option
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
@click.option(
    "--sync",
    "durable",
    is_flag=True,
    help="Wait until all is on the disk, so that it survives a power failure as well.",
)
@overwrite_option
@dry_run_option
@json_option
@quiet_option
def rec2jpeg(
    source: Path,
    out: Path,
    workers: int | None,
    scheduler: str | None,
    resume: bool,
    durable: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the images of a set to class folders: OUT/<class>/<key>.jpg, or .png where it is one.

    SRC is a record set (its folder, or the .rec) or a folder of shards, of which all splits are written. Images are taken over
    byte for byte. Class folders have the names of the classes; or all have the source's labels, where there are no names or one of
    them can be no folder's name. OUT/images.csv comes last and marks a finished tree: file, key, label, name and num_bytes of each
    image.
    """
    import json

    from fr_prep.export.class_folders import ExportSettings, export_class_folders, plan_class_folders
    from fr_prep.manifest import MANIFEST_FILE
    from fr_prep.pool import default_workers
    from fr_prep.sources.record_set import RecordSetSource

    source, out = shared_paths(source, out, scheduler=scheduler, workers=workers)
    refuse_source_as_out(out, source)
    is_shards = (source / MANIFEST_FILE).is_file()
    images = _shards(source) if is_shards else RecordSetSource(source)
    try:
        settings = ExportSettings(
            num_workers=workers or default_workers(),
            scheduler=scheduler,
            overwrite=overwrite,
            resume=resume,
            durable=durable,
            quiet=quiet,
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    try:
        if dry_run:
            result = plan_class_folders(images)
        else:
            result = export_class_folders(images, out, settings=settings, check_digests=is_shards)
    except KeyboardInterrupt as interrupt:
        click.echo(f"Interrupted. What was finished is kept: go on with --resume ({out}).", err=True)
        raise click.exceptions.Exit(130) from interrupt
    if not quiet:
        for warning in result.warnings:
            click.echo(f"Warning: {warning}", err=True)
    content = {
        "dry_run": dry_run,
        "source": str(result.images.path),
        "dialect": result.images.dialect,
        "out": str(out),
        "num_images": len(result.images.keys),
        "num_classes": len(result.folders),
        "num_bytes": result.num_bytes,
        "warnings": result.warnings,
    }
    if as_json:
        click.echo(json.dumps(content, indent=1))
        return
    click.echo(
        f"{'Would write' if dry_run else 'Wrote'} {content['num_images']:,} images in {content['num_classes']:,} class folders "
        f"to {out}, {result.num_bytes / 1e6:,.1f} MB."
    )


def _shards(folder: Path) -> ImageSource:
    from fr_prep.sources.shard_folder import ShardFolderSource  # brings pandas along, which takes its time

    return ShardFolderSource(folder)
