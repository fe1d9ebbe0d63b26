"""`fr-prep rec2jpeg`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fr_prep.commands.conversion import refuse_source_as_out
from fr_prep.commands.interruption import say_how_to_go_on
from fr_prep.commands.options import (
    dry_run_option,
    json_option,
    overwrite_option,
    quiet_option,
    record_options,
    record_settings,
    scheduler_option,
    shared_paths,
    workers_option,
)
from fr_prep.commands.wording import count

if TYPE_CHECKING:
    from fr_prep.sources.image_set import ImageSource

__all__ = ["rec2jpeg"]


@click.command(epilog="Example: fr-prep rec2jpeg faces_emore faces_emore_images")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@record_options("say so")
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
    *,
    label_position: int,
    on_error: Literal["fail", "skip"],
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

    from fr_prep.export.class_folders import (
        ExportSettings,
        export_class_folders,
        plan_class_folders,
        require_free_tree,
    )
    from fr_prep.sources.record_sets.record_set import RecordSetSource
    from fr_prep.workers.pool import default_workers
    from fr_prep.write.manifest import MANIFEST_FILE

    source, out = shared_paths(source, out, scheduler=scheduler, workers=workers)
    refuse_source_as_out(out, source)
    is_shards = (source / MANIFEST_FILE).is_file()
    records = record_settings(source, label_position=label_position, on_error=on_error, workers=workers, quiet=quiet)
    images = _shards(source) if is_shards else RecordSetSource(source, records)
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
    with say_how_to_go_on(out):
        if dry_run:
            result = plan_class_folders(images)
            require_free_tree(images, result, out, settings=settings)
        else:
            result = export_class_folders(images, out, settings=settings, check_digests=is_shards)
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
        f"{'Would write' if dry_run else 'Wrote'} {count(len(result.images.keys), 'image')} in "
        f"{count(len(result.folders), 'class folder')} to {out}, {result.num_bytes / 1e6:,.1f} MB."
    )


def _shards(folder: Path) -> ImageSource:
    from fr_prep.sources.shards.shard_folder import ShardFolderSource  # brings pandas along, which takes its time

    return ShardFolderSource(folder)
