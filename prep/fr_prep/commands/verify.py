"""`fr-prep verify`."""

from pathlib import Path

import click

from fr_prep.commands.options import json_option, quiet_option, workers_option

__all__ = ["verify"]


@click.command(epilog="Example: fr-prep verify shards")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@workers_option
@json_option
@quiet_option
def verify(out: Path, workers: int | None, as_json: bool, quiet: bool) -> None:
    """Check a data set against its manifest.

    Checks the CRCs of each record, the SHA-256 and size of each shard, counts, class ranges and the class index. Says in which
    shard, at which record and byte the first damage of each shard is, and then ends with exit code 1.
    """
    import json
    from dataclasses import asdict

    from fr_prep.pool import default_workers
    from fr_prep.verify import verify_dataset

    found = verify_dataset(out, num_workers=workers or default_workers(), quiet=quiet)
    if as_json:
        click.echo(json.dumps({"path": str(out), "sound": True, **asdict(found)}, indent=1))
        return
    click.echo(
        f"{out}: sound. {found.num_records:,} records in {found.num_shards} shards, {found.num_classes:,} classes, "
        f"{found.num_bytes / 1e6:,.1f} MB."
    )
