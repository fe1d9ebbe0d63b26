"""`fr-prep rec2tfrecord`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fr_prep.commands.conversion import conversion_options, convert
from fr_prep.commands.options import FolderOrUrl, record_options, shared_paths

if TYPE_CHECKING:
    from fr_data.locations import Store

__all__ = ["rec2tfrecord"]


@click.command(epilog="Example: fr-prep rec2tfrecord faces_emore shards --shards 128 --seed 1")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("out", type=FolderOrUrl(), metavar="OUT")
@record_options("list them in the manifest")
@click.option(
    "--reader",
    type=click.Choice(["native", "mxnet"]),
    default="native",
    show_default=True,
    help="Our own reader, or MXNet's where it is installed; they give the same shards.",
)
@click.option("--decode", is_flag=True, help="Decode each image to find damaged ones; else only its beginning is read.")
@conversion_options
def rec2tfrecord(
    source: Path,
    out: "Path | Store",
    *,
    label_position: int,
    on_error: Literal["fail", "skip"],
    reader: Literal["native", "mxnet"],
    decode: bool,
    **options: Any,
) -> None:
    """Convert a record set into shuffled, sharded, verified TFRecords.

    SRC is the folder of a set (train.rec, and train.idx and property where they are there), or a .rec. OUT becomes the data set's
    folder: shards, class index, record table, manifest, and what TensorFlow Datasets reads. Images are taken over byte for byte.
    """
    from fr_prep.sources.record_sets.face_records import RecordSettings
    from fr_prep.sources.record_sets.record_set import RecordSetSource
    from fr_prep.workers.pool import default_workers

    source, out = shared_paths(source, out, scheduler=options["scheduler"], workers=options["workers"])
    try:
        settings = RecordSettings(
            label_position=label_position,
            on_error=on_error,
            reader=reader,
            decode=decode,
            for_pairs=bool(options["verification_pairs"]),
            num_workers=options["workers"] or default_workers(),
            quiet=options["quiet"],
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    convert(RecordSetSource(source, settings), out, **options)
