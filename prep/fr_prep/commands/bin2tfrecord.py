"""`fr-prep bin2tfrecord`."""

from pathlib import Path

import click

from fr_prep.commands.interruption import say_how_to_go_on
from fr_prep.commands.options import (
    ByteSize,
    dry_run_option,
    json_option,
    overwrite_option,
    quiet_option,
    workers_option,
)
from fr_prep.commands.wording import count

__all__ = ["bin2tfrecord"]


@click.command(epilog="Example: fr-prep bin2tfrecord lfw.bin lfw")
@click.argument("source", type=click.Path(path_type=Path), metavar="BIN")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option("--name", help="Name of the set, with which its files begin.  [default: that of the bin]")
@click.option("--shards", type=click.IntRange(1, 99_999), help="Number of shards.  [default: from --shard-size]")
@click.option("--shard-size", type=ByteSize(), help="About how large a shard is at most.  [default: 128MiB]")
@workers_option
@click.option("--resume", is_flag=True, help="Go on with an interrupted conversion.")
@overwrite_option
@dry_run_option
@json_option
@quiet_option
def bin2tfrecord(
    source: Path,
    out: Path,
    name: str | None,
    shards: int | None,
    shard_size: int | None,
    workers: int | None,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Convert a verification bin into TFRecord shards.

    OUT becomes a folder that fr-eval and fr-train --bins take in place of BIN, and that TensorFlow Datasets reads. Pairs keep their
    order. JPEG and PNG images stay as they are, byte for byte; others become PNG. Nothing of the bin's pickle is run.
    """
    import json

    from fr_prep.plan.plan import DEFAULT_SHARD_BYTES, PlanSettings
    from fr_prep.workers.pool import default_workers
    from fr_prep.write.build import BuildSettings
    from fr_prep.write.verification_shards import convert_bin, name_of_bin, plan_bin, require_free_folder

    if shards is not None and shard_size is not None:
        raise click.UsageError("Expected either --shards or --shard-size, received both.")
    try:
        settings = BuildSettings(
            name=name_of_bin(source) if name is None else name,
            plan=PlanSettings(num_shards=shards, shard_bytes=shard_size or DEFAULT_SHARD_BYTES),
            num_workers=workers or default_workers(),
            overwrite=overwrite,
            resume=resume,
            quiet=quiet,
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    if dry_run:
        plan = plan_bin(source, settings)
        require_free_folder(plan, out, settings)
        num_pairs, num_shards = plan.bin.num_pairs, len(plan.shards)
        if as_json:
            counts = {"num_pairs": num_pairs, "num_shards": num_shards, "num_encoded": plan.num_encoded}
            click.echo(json.dumps({"dry_run": True, "out": str(out), "name": settings.name, **counts}, indent=1))
        else:
            click.echo(f"Would write {count(num_pairs, 'pair')} in {count(num_shards, 'shard')} to {out}.")
        return
    with say_how_to_go_on(out):
        manifest = convert_bin(source, out, settings=settings)
    content, num_shards = manifest.content, len(manifest.shards())
    if not quiet:
        for warning in content["warnings"]:
            click.echo(f"Warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps({"out": str(out), **content}, indent=1))
        return
    pairs = f"{count(content['num_pairs'], 'pair')}, {content['num_same']:,} of one person"
    click.echo(f"{out}: {pairs}, in {count(num_shards, 'shard')}")
    click.echo(f"Measure on it with: fr-eval --model MODEL.keras {out}")
