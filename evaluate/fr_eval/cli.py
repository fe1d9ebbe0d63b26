"""The command line `fr-eval`. Everything heavy is imported when a command runs, so that `--help` answers in a blink."""

from typing import Any

import click

from fr_data.errors import OutputExistsError, ToolkitError
from fr_eval.commands.compare import compare
from fr_eval.commands.embed import embed
from fr_eval.commands.export import export
from fr_eval.commands.identify import identify
from fr_eval.commands.job_group import JobGroup
from fr_eval.commands.options import SCALINGS
from fr_eval.commands.search import search
from fr_eval.commands.templates import templates

__all__ = ["main"]

AUTO = "auto"

EPILOG = """\b
Examples:
  fr-eval --model model.keras lfw.bin cfp_fp.bin agedb_30.bin
  fr-eval --model mobilefacenet.keras --scaling 128 lfw.bin --report lfw.html
  fr-eval --model a.keras --model b.onnx lfw.bin cfp_fp.bin --csv figures.csv
  fr-eval --embeddings lfw.npz lfw.bin --json > lfw.json
"""


class _OutputExists(click.ClickException):
    exit_code = 2  # as wrong usage: `--overwrite` is missing


class _EvalGroup(JobGroup):
    """Turns what evaluation reports into one line and an exit code; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OutputExistsError as error:
            raise _OutputExists(str(error)) from error
        except ToolkitError as error:
            raise click.ClickException(str(error)) from error


@click.command("fr-eval", cls=_EvalGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    type=click.Path(),
    help="An embedding network, one RGB image in, one embedding out: .keras, .h5, .onnx, .tflite, or a SavedModel folder. "
    "May be given several times.",
)
@click.option(
    "--embeddings",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="In place of a network: .npy or .npz, a row an image in the order of the bin. May be given several times.",
)
@click.option(
    "--scaling",
    "scalings",
    multiple=True,
    type=click.Choice([AUTO, *SCALINGS]),
    help="Pixel scaling before the network. none: the network scales 0..255 by itself; 127.5: (x-127.5)/127.5; "
    "128: (x-127.5)/128; 255: x/255; auto: the network says it, which is the default. Once for all models, or once for each.",
)
@click.option(
    "--layout",
    "layouts",
    multiple=True,
    type=click.Choice([AUTO, "nhwc", "nchw"]),
    help="Where the network's input has its channels, if its shape does not say it. Once for all models, or once for each.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Images a batch.")
@click.option("--folds", type=click.IntRange(min=2), default=10, show_default=True, help="Contiguous folds.")
@click.option("--pca", type=click.IntRange(min=1), metavar="N", help="Measure as well after a PCA to N dimensions.")
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0),
    metavar="N",
    default=2000,
    show_default=True,
    help="Sets of pairs to draw for intervals of 95 %, and to compare models; 0 leaves these out.",
)
@click.option("--no-mirror", is_flag=True, help="Leave the mirrored images out: half the time, no mirror-sum figure.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON in place of the table.")
@click.option("--csv", metavar="FILE.csv", type=click.Path(), help="Write a line a model and bin as well.")
@click.option("--markdown", metavar="FILE.md", type=click.Path(), help="Write the tables as Markdown as well.")
@click.option("--report", metavar="FILE.html", type=click.Path(), help="Write a page with curves as well.")
@click.option(
    "--hardest",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="Worst errors of a kind to show in the report; 0 keeps faces out of it.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--workers", type=click.IntRange(min=1), show_default="one a core", help="Threads that decode images.")
@click.option("--quiet", is_flag=True, help="No progress bars.")
@click.argument("bins", nargs=-1, required=True, type=click.Path(), metavar="BIN...")
@click.version_option(package_name="fr-toolkit", prog_name="fr-eval")
def main(
    models: tuple[str, ...],
    embeddings: tuple[str, ...],
    scalings: tuple[str, ...],
    layouts: tuple[str, ...],
    batch_size: int,
    folds: int,
    pca: int | None,
    bootstrap: int,
    no_mirror: bool,
    as_json: bool,
    csv: str | None,
    markdown: str | None,
    report: str | None,
    hardest: int,
    overwrite: bool,
    workers: int | None,
    quiet: bool,
    bins: tuple[str, ...],
) -> None:
    """Measure face-recognition models on verification bins.

    Prints, for each model and BIN, the 10-fold accuracy that papers quote, TAR at FAR, AUC, EER, and the original recipe's own
    figure; of several models, first a table of models × bins. A BIN is a file, which is read without running anything that its
    pickle names, or a folder that `fr-prep bin2tfrecord` made of one. If one of several models or bins fails, the others are
    still measured, and the exit status is 1.
    """
    import json
    import sys
    from pathlib import Path

    from fr_data.files import require_outputs, write_whole
    from fr_eval.jobs.job import Job, ModelFile, run_job

    if not models and not embeddings:
        raise click.UsageError("Missing option '--model' or '--embeddings'.")
    ways = zip(models, _spread("--scaling", scalings, models), _spread("--layout", layouts, models), strict=True)
    job = Job(
        models=tuple(ModelFile(Path(path), scaling, layout) for path, scaling, layout in ways),
        bins=tuple(map(Path, bins)),
        embeddings=tuple(map(Path, embeddings)),
        batch_size=batch_size,
        num_folds=folds,
        pca=pca,
        mirror=not no_mirror,
        workers=workers,
        num_resamples=bootstrap,
    )
    outputs = require_outputs(
        {"--csv": csv, "--markdown": markdown, "--report": report},
        overwrite=overwrite,
        sources=(*models, *embeddings, *bins),
    )
    outcome = run_job(job, progress=not quiet, on_failure=lambda failure: click.echo(f"Error: {failure}", err=True))
    if as_json:
        click.echo(json.dumps(outcome.to_dict(), indent=2, allow_nan=False))
    if outcome.results:
        from fr_eval.report.result_tables import format_csv, format_markdown, format_text

        if not as_json:
            click.echo(format_text(outcome))
        # After the figures: a full disk must not cost them.
        if "--csv" in outputs:
            write_whole(outputs["--csv"], format_csv(outcome))
        if "--markdown" in outputs:
            write_whole(outputs["--markdown"], format_markdown(outcome))
        if "--report" in outputs:
            from fr_eval.report.page import write_report

            write_report(outputs["--report"], outcome, num_hardest=hardest)
    elif outputs:
        click.echo(f"Nothing could be measured: {', '.join(map(str, outputs.values()))} not written.", err=True)
    if outcome.failures:
        sys.exit(1)


def _spread(option: str, values: tuple[str, ...], models: tuple[str, ...]) -> list[str | None]:
    """Gives each model its value of an option that stands once for all of them, or once for each."""
    if len(values) not in {0, 1, len(models)}:
        raise click.UsageError(
            f"{option} stands once for all models or once for each: expected it {len(models)} times, received {len(values)}"
        )
    given = [None if value == AUTO else value for value in values]
    return given if len(given) == len(models) else [given[0] if given else None] * len(models)


for command in (compare, embed, export, identify, search, templates):
    main.add_command(command)
