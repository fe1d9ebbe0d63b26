"""`fr-prep folder2tfrecord`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fr_prep.commands.conversion import conversion_options, convert
from fr_prep.commands.options import FolderOrUrl, on_error_option, shared_paths

if TYPE_CHECKING:
    from fr_data.locations import Store

__all__ = ["folder2tfrecord"]


@click.command(epilog="Example: fr-prep folder2tfrecord casia/images shards --shards 128 --seed 1")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("out", type=FolderOrUrl(), metavar="OUT")
@on_error_option
@click.option(
    "--decode", is_flag=True, help="Decode each JPEG and PNG to find damaged ones; else only the header is read."
)
@conversion_options
def folder2tfrecord(
    source: Path, out: "Path | Store", *, on_error: Literal["fail", "skip"], decode: bool, **options: Any
) -> None:
    """Convert class folders into shuffled, sharded, verified TFRecords.

    SRC holds a folder for each class, with images at any depth: SRC/<class>/<image>. OUT becomes the data set's folder. JPEG and
    PNG files are taken over byte for byte, other pictures become PNG without loss. The class index keeps the folders' names.
    """
    from fr_prep.sources.class_folders.class_folder_source import ClassFolderSource
    from fr_prep.workers.pool import default_workers

    source, out = shared_paths(source, out, scheduler=options["scheduler"], workers=options["workers"])
    if isinstance(out, Path) and out.resolve().is_relative_to(source.resolve()):
        raise click.UsageError(f"{out}: lies in {source}, and would become a class of it. Choose another folder.")
    num_workers = options["workers"] or default_workers()
    images = ClassFolderSource(
        source,
        on_error=on_error,
        decode=decode,
        for_pairs=decode and bool(options["verification_pairs"]),
        num_workers=num_workers,
        quiet=options["quiet"],
    )
    convert(images, out, **options)
