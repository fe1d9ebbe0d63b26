"""The command line `fr-eval`. Everything heavy is imported when a command runs, so that `--help` answers in a blink."""

import click

from fr_eval.job_group import JobGroup

__all__ = ["main"]

EPILOG = """\b
Examples:
  fr-eval --model model.keras lfw.bin cfp_fp.bin agedb_30.bin
  fr-eval --model mobilefacenet.keras --scaling 128 lfw.bin --report lfw.html
  fr-eval --model model.keras lfw.bin --json > lfw.json
"""


@click.command("fr-eval", cls=JobGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--model",
    "model_path",
    required=True,
    metavar="FILE.keras",
    type=click.Path(),
    help="The saved embedding network: one RGB image in, one embedding out.",
)
@click.option(
    "--scaling",
    type=click.Choice(["none", "127.5", "128", "255"]),
    help="Pixel scaling before the network. none: the network scales 0..255 by itself; 127.5: (x-127.5)/127.5; "
    "128: (x-127.5)/128; 255: x/255. Needed only where the network has no Rescaling layer.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Images a batch.")
@click.option("--folds", type=click.IntRange(min=2), default=10, show_default=True, help="Contiguous folds.")
@click.option("--pca", type=click.IntRange(min=1), metavar="N", help="Measure as well after a PCA to N dimensions.")
@click.option("--no-mirror", is_flag=True, help="Leave the mirrored images out: half the time, no mirror-sum figure.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON in place of the table.")
@click.option(
    "--report", metavar="FILE.html", type=click.Path(dir_okay=False), help="Write a page with curves as well."
)
@click.option(
    "--hardest",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="Worst errors of a kind to show in the report; 0 keeps faces out of it.",
)
@click.option("--overwrite", is_flag=True, help="Replace a report that is there.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Threads that decode images.")
@click.option("--quiet", is_flag=True, help="No progress bars.")
@click.argument("bins", nargs=-1, required=True, type=click.Path(), metavar="BIN...")
@click.version_option(package_name="fr-toolkit", prog_name="fr-eval")
def main(
    model_path: str,
    scaling: str | None,
    batch_size: int,
    folds: int,
    pca: int | None,
    no_mirror: bool,
    as_json: bool,
    report: str | None,
    hardest: int,
    overwrite: bool,
    workers: int,
    quiet: bool,
    bins: tuple[str, ...],
) -> None:
    """Measure a face-recognition model on verification bins.

    Prints, for each BIN, the 10-fold accuracy that papers quote, TAR at FAR, AUC, EER, and the original recipe's own figure.
    A BIN is a file, which is read without running anything that its pickle names, or a folder that `fr-prep bin2tfrecord` made
    of one. If one of several fails, the others are still measured, and the exit status is 1.
    """
    import json
    import sys
    from pathlib import Path

    from fr_eval.errors import EvalError
    from fr_eval.job import Job, run_job

    job = Job(
        model_path=Path(model_path),
        bins=tuple(Path(name) for name in bins),
        scaling=scaling,
        batch_size=batch_size,
        num_folds=folds,
        pca=pca,
        mirror=not no_mirror,
        workers=workers,
    )
    if report and Path(report).exists() and not overwrite:
        raise click.UsageError(f"{report} is there already; give --overwrite to replace it")
    if report and not Path(report).parent.is_dir():
        raise click.ClickException(f"{report}: its folder is not there; make it first")
    try:
        outcome = run_job(job, progress=not quiet, on_failure=lambda error: click.echo(f"Error: {error}", err=True))
        if as_json:
            click.echo(json.dumps(outcome.to_dict(), indent=2))
        elif outcome.results:
            from fr_eval.table import format_results

            click.echo(format_results(outcome.results))
        # After the figures: a full disk must not cost them.
        if report and outcome.results:
            from fr_eval.report import write_report

            write_report(report, outcome, num_hardest=hardest)
        elif report:
            click.echo(f"No bin could be measured: {report} was not written.", err=True)
    except EvalError as error:
        raise click.ClickException(str(error)) from error
    if outcome.failures:
        sys.exit(1)
