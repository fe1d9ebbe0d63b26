"""`fr-prep verify`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fr_prep.commands.options import (
    FolderOrUrl,
    json_option,
    quiet_option,
    scheduler_option,
    shared_paths,
    workers_option,
)
from fr_prep.commands.wording import count

if TYPE_CHECKING:
    from fr_data.locations import Store

__all__ = ["verify"]


@click.command(epilog="Example: fr-prep verify shards --decode --source faces_emore")
@click.argument("out", type=FolderOrUrl(), metavar="OUT")
@click.option("--decode", is_flag=True, help="Decode every image, and compare its encoding and size with the manifest.")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    metavar="SRC",
    help="Compare image, key and label of every record with the set that OUT was made from.",
)
@workers_option
@scheduler_option
@json_option
@quiet_option
def verify(
    out: "Path | Store",
    decode: bool,
    source: Path | None,
    workers: int | None,
    scheduler: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check a data set: every byte, every record, every count.

    Checks size, SHA-256 and number of records of each shard; both CRCs, the form, the class and the row in the record table of
    each record; the counts of the class index; the digests of all other files. Lists what is wrong, with file, record, byte and
    key, and then ends with exit code 1. All of it is checked, whatever is found.
    """
    import json
    from dataclasses import asdict

    from fr_prep.errors import ShardError
    from fr_prep.verify.verify import Verification, check_dataset
    from fr_prep.workers.pool import default_workers

    if source and not isinstance(out, Path):
        raise click.UsageError(f"Expected a folder of this machine with --source, received {out}. Copy the set first.")
    out, *sources = shared_paths(out, *([source] if source else []), scheduler=scheduler, workers=workers)
    try:
        found = check_dataset(
            out,
            num_workers=workers or default_workers(),
            scheduler=scheduler,
            decode=decode,
            source=sources[0] if sources else None,
            quiet=quiet,
        )
    except ShardError as error:
        if not as_json:
            raise
        found = Verification.without_manifest(error)
    for warning in [] if quiet else found.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps({"path": str(out), "sound": not found.problems, **asdict(found)}, indent=1))
        raise click.exceptions.Exit(1 if found.problems else 0)
    found.require_sound(out)
    classes = "" if found.num_classes is None else f", {count(found.num_classes, 'class', 'classes')}"
    click.echo(
        f"{out}: sound. {count(found.num_records, 'record')} in {count(found.num_shards, 'shard')}{classes}, "
        f"{found.num_bytes / 1e6:,.1f} MB"
        + (", every image decoded" if decode else "")
        + (f", equal to {source}" if source else "")
        + "."
    )
