"""`fr-prep merge`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fr_prep.commands.conversion import conversion_options, convert, refuse_source_as_out, split_option
from fr_prep.commands.options import FolderOrUrl, shared_paths

if TYPE_CHECKING:
    from fr_data.locations import Store

__all__ = ["merge"]


@click.command(epilog="Example: fr-prep merge casia_shards vgg_shards both --by-name --seed 1")
@click.argument("sets", type=click.Path(path_type=Path), metavar="SHARDS SHARDS...", nargs=-1, required=True)
@click.argument("out", type=FolderOrUrl(), metavar="OUT")
@click.option("--by-name", is_flag=True, help="Classes with the same name in the class index are one person.")
@click.option("--by-source-label", is_flag=True, help="Classes with the same source label are one person.")
@split_option
@conversion_options
def merge(
    sets: tuple[Path, ...], out: "Path | Store", by_name: bool, by_source_label: bool, split: Any, **options: Any
) -> None:
    """Put several data sets together into one.

    Each SHARDS is the folder of a data set. People of different sets are different, unless an option says which are the same; the
    classes of the first set come first. Source keys stay unique: the manifest says from which number on those of each set
    are counted. Their verification bins are left out, since people in them may be in another set.
    """
    from fr_prep.sources.shards.merged import MergedSource, SamePerson

    if len(sets) < 2:
        raise click.UsageError("Expected at least two sets and the folder to write to.")
    if by_name and by_source_label:
        raise click.UsageError("Expected either --by-name or --by-source-label, received both.")
    same_person: SamePerson = "by name" if by_name else "by source label" if by_source_label else "never"
    *folders, out = shared_paths(*sets, out, scheduler=options["scheduler"], workers=options["workers"])
    refuse_source_as_out(out, *folders)
    convert(MergedSource(tuple(folders), same_person, split), out, **options)
