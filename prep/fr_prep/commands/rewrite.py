"""`fr-prep rewrite`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fr_prep.commands.conversion import conversion_options, convert, refuse_source_as_out, split_option
from fr_prep.commands.options import FolderOrUrl, shared_paths

if TYPE_CHECKING:
    from fr_data.locations import Store

__all__ = ["rewrite"]


@click.command(epilog="Example: fr-prep rewrite shards clean --overlay labels.csv --seed 1")
@click.argument("source", type=click.Path(path_type=Path), metavar="SHARDS")
@click.argument("out", type=FolderOrUrl(), metavar="OUT")
@click.option(
    "--overlay",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Table of classes and records to move or to drop.",
)
@split_option
@conversion_options
def rewrite(source: Path, out: "Path | Store", overlay: Path | None, split: Any, **options: Any) -> None:
    """Write a data set anew: with other labels, another order, or other shards.

    SHARDS is the folder of a data set. The overlay is a CSV file with the columns new_class and class or source_key. A row moves a
    class of the set, or a record, to the number of another class, to a new number, or drops it (`drop`, or nothing). The manifest
    counts what was moved and dropped. To try an overlay without rewriting, use `fr-train --overlay`.

    A verification bin of the set goes along, unless --split lets people in it be trained on, or the overlay moves or drops images
    of the validation split, which it was drawn from.
    """
    from fr_prep.sources.shards.rewritten import RewrittenSource

    source, out = shared_paths(source, out, scheduler=options["scheduler"], workers=options["workers"])
    refuse_source_as_out(out, source)
    convert(RewrittenSource(source, overlay, split), out, **options)
