"""`fr-prep folder2bin`."""

from pathlib import Path
from typing import Literal

import click
from click.core import ParameterSource

from fr_prep.commands.options import (
    dry_run_option,
    json_option,
    on_error_option,
    overwrite_option,
    quiet_option,
    workers_option,
)
from fr_prep.commands.wording import count

__all__ = ["folder2bin"]


@click.command(epilog="Example: fr-prep folder2bin lfw lfw.bin --pairs pairs.txt")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("output", type=click.Path(path_type=Path), metavar="OUT.bin")
@click.option(
    "--pairs",
    type=click.Path(path_type=Path),
    help="Take these pairs: pairs.csv of `bin2jpeg --folder`, LFW's pairs.txt, or lines of two paths and 0 or 1.",
)
@click.option(
    "--num-pairs",
    type=click.IntRange(2),
    default=6000,
    show_default=True,
    help="Draw as many pairs, a multiple of twice the folds.",
)
@click.option("--folds", type=click.IntRange(1), default=10, show_default=True, help="Draw them in as many folds.")
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), default=0, show_default=True, help="Seed of the draw.")
@on_error_option
@workers_option
@overwrite_option
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def folder2bin(
    context: click.Context,
    source: Path,
    output: Path,
    *,
    pairs: Path | None,
    num_pairs: int,
    folds: int,
    seed: int,
    on_error: Literal["fail", "skip"],
    workers: int | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a verification bin of a folder of images.

    SRC holds a folder for each person. Pairs are drawn, half of them of one person, in folds that share nobody where there are
    enough people; or they are those of a list (--pairs), whose paths are relative to SRC. OUT.bin is what InsightFace and fr-eval
    read. JPEG and PNG files are taken over byte for byte, other pictures become PNG.
    """
    import json

    from fr_prep.sources.class_folders.class_folder_source import ClassFolderSource
    from fr_prep.workers.pool import default_workers
    from fr_prep.write.pair_bins import draw_bin, list_bin

    if pairs is not None:
        for_a_draw = map(context.get_parameter_source, ("num_pairs", "folds", "seed", "on_error"))
        if any(origin is not ParameterSource.DEFAULT for origin in for_a_draw):
            raise click.UsageError(
                "--pairs names the pairs; --num-pairs, --folds, --seed and --on-error are for a draw."
            )
        result = list_bin(source, pairs, output, overwrite=overwrite, dry_run=dry_run)
    else:
        if num_pairs % (2 * folds):
            raise click.UsageError(f"--num-pairs: expected a multiple of {2 * folds}, twice the folds.")
        images = ClassFolderSource(
            source,
            on_error=on_error,
            for_pairs=on_error == "skip",  # what is left out must be known before the draw
            num_workers=workers or default_workers(),
            quiet=quiet,
        )
        result = draw_bin(
            images,
            output,
            num_pairs=num_pairs,
            num_folds=folds,
            seed=seed,
            overwrite=overwrite,
            dry_run=dry_run,
        )
    if not quiet:
        for warning in result.warnings:
            click.echo(f"Warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **result.to_dict()}, indent=1))
        return
    in_folds = f" in {count(result.num_folds, 'fold')}" if result.num_folds else ""
    counts = (
        f"{count(result.num_pairs, 'pair')}{in_folds}, {result.num_same:,} of one person, "
        f"of {count(result.num_images, 'image')}"
    )
    click.echo(f"{'Would write' if dry_run else 'Wrote'} {output}: {counts}; {result.pairs}")
