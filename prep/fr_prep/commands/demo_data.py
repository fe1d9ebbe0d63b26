"""`fr-prep demo-data`."""

from pathlib import Path

import click

from fr_prep.commands.options import json_option, overwrite_option, quiet_option, workers_option

__all__ = ["demo_data"]


@click.command("demo-data", epilog="Example: fr-prep demo-data demo/faces --identities 240 --images 18")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--identities", type=click.IntRange(2), default=240, show_default=True, help="People in the training set."
)
@click.option("--images", type=click.IntRange(2), default=18, show_default=True, help="Images of each.")
@click.option(
    "--pairs",
    type=click.IntRange(20),
    default=600,
    show_default=True,
    help="Pairs in the bin, of unseen people; a multiple of 20.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is drawn.")
@workers_option
@overwrite_option
@json_option
@quiet_option
def demo_data(
    out: Path,
    identities: int,
    images: int,
    pairs: int,
    seed: int,
    workers: int | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw a small face set to try things with.

    Writes train.rec, train.idx and property as InsightFace does, and unseen.bin: pairs of people who are not in the
    training set. The faces are drawn by a program; nobody real is shown.
    """
    import json

    from fr_prep.demo.dataset import DemoSettings, write_demo_set
    from fr_prep.workers.pool import default_workers

    try:
        settings = DemoSettings(num_identities=identities, images_per_identity=images, num_pairs=pairs, seed=seed)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    files = write_demo_set(out, settings, num_workers=workers or default_workers(), overwrite=overwrite, quiet=quiet)
    if as_json:
        click.echo(json.dumps({"out": str(out), "files": [path.name for path in files]}, indent=1))
        return
    click.echo(
        f"{out}: {identities * images:,} drawn faces of {identities:,} people, and {pairs:,} pairs of unseen people"
    )
    for path in files:
        click.echo(f"  {path.name:<11}{path.stat().st_size / 1e6:>10,.2f} MB")
