"""`fr-prep rec2tfrecord`."""

from pathlib import Path
from typing import Any

import click

from fr_prep.commands.conversion import conversion_options, convert

__all__ = ["rec2tfrecord"]


@click.command(epilog="Example: fr-prep rec2tfrecord faces_emore shards --shards 128 --seed 1")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@conversion_options
def rec2tfrecord(source: Path, out: Path, **options: Any) -> None:
    """Convert a record set into shuffled, sharded, verified TFRecords.

    SRC is the folder of a set (train.rec, and train.idx and property where they are there), or a .rec. OUT becomes the data set's
    folder: shards, class index, record table, manifest, and what TensorFlow Datasets reads. Images are taken over byte for byte.
    """
    from fr_prep.sources.record_set import RecordSetSource

    convert(RecordSetSource(source), out, **options)
