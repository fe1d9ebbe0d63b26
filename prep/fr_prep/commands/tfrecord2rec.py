"""`fr-prep tfrecord2rec`."""

from pathlib import Path
from typing import Any

import click

from fr_prep.commands.conversion import refuse_source_as_out
from fr_prep.commands.options import dry_run_option, json_option, overwrite_option, quiet_option, workers_option
from fr_prep.commands.wording import count

__all__ = ["tfrecord2rec"]


@click.command(epilog="Example: fr-prep tfrecord2rec shards faces_clean")
@click.argument("shards", type=click.Path(path_type=Path), metavar="SHARDS")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "all"]),
    default="train",
    show_default=True,
    help="Which images to write.",
)
@click.option("--plain", is_flag=True, help="No header and identity records, and keys from 0, as im2rec writes it.")
@workers_option
@overwrite_option
@dry_run_option
@json_option
@quiet_option
def tfrecord2rec(
    shards: Path,
    out: Path,
    split: Any,
    plain: bool,
    workers: int | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Give a data set back as a record set for MXNet.

    Writes OUT/train.rec, train.idx and property in InsightFace's layout: a header record, the images grouped by class and in each
    class in the order of their source keys, and an identity record for each class. Labels are the dense classes of SHARDS, counted
    from the first class of the split. Images are taken over byte for byte.
    """
    import json

    from fr_prep.export.record_export import (
        RecordExportSettings,
        export_records,
        plan_record_export,
        require_free_files,
    )
    from fr_prep.workers.pool import default_workers

    refuse_source_as_out(out, shards)
    settings = RecordExportSettings(
        split=split, plain=plain, num_workers=workers or default_workers(), overwrite=overwrite, quiet=quiet
    )
    if dry_run:
        require_free_files(out, overwrite=overwrite)
        result = plan_record_export(shards, settings)
    else:
        result = export_records(shards, out, settings=settings)
    if not quiet:
        for warning in result.warnings:
            click.echo(f"Warning: {warning}", err=True)
    if as_json:
        content = {
            "dry_run": dry_run,
            "shards": str(shards),
            "out": str(out),
            "split": split,
            "num_images": len(result.labels),
            "num_classes": result.num_classes,
            "height": result.height,
            "width": result.width,
            "num_bytes": result.num_bytes,
            "left_out": result.left_out,
            "warnings": result.warnings,
        }
        click.echo(json.dumps(content, indent=1))
        return
    click.echo(
        f"{'Would write' if dry_run else 'Wrote'} {count(len(result.labels), 'image')} in "
        f"{count(result.num_classes, 'class', 'classes')} to {out}, "
        f"{result.num_bytes / 1e6:,.1f} MB."
    )
    for name, num_images in result.left_out.items():
        click.echo(f"Left out: {count(num_images, 'image')} of the {name} split.")
