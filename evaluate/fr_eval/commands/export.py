"""`fr-eval export`."""

import click

from fr_eval.commands.options import json_option, scaling_option
from fr_eval.errors import ExportError

__all__ = ["export"]

EPILOG = """\b
Examples:
  fr-eval export best.keras --format onnx --output best.onnx
  fr-eval export mobilefacenet.keras --scaling 128 --format tflite --precision int8 --shards shards --output m.tflite
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=click.Path(), metavar="MODEL.keras")
@click.option(
    "--format",
    "format_",
    required=True,
    type=click.Choice(["onnx", "tflite", "saved_model"]),
    help="onnx: InsightFace's contract, pixels scaled to (x-127.5)/127.5 outside, NCHW. tflite and saved_model: uint8 images, "
    "NHWC, scaled inside.",
)
@click.option(
    "--output", required=True, type=click.Path(), metavar="PATH", help="The file, or the SavedModel's folder."
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="float16 and int8 are for tflite; int8 needs --shards.",
)
@scaling_option
@click.option(
    "--shards",
    type=click.Path(),
    metavar="DIR",
    help="Data set of fr-prep: its images calibrate int8 and check the export. Without it, drawn images check.",
)
@click.option(
    "--calibration-images",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Images to take from there.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file, or an older export as a folder, that is there.")
@json_option
def export(
    model: str,
    format_: str,
    output: str,
    precision: str,
    scaling: str | None,
    shards: str | None,
    calibration_images: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a network in a format that other programs run.

    The export is held against the Keras model before it is called done: where the embeddings differ, nothing is written, and
    the exit status is 1.
    """
    import json
    from pathlib import Path

    from fr_eval.export.export import ExportJob, run_export

    try:
        job = ExportJob(
            model=Path(model),
            output=Path(output),
            format=format_,
            precision=precision,
            scaling=scaling,
            shards=Path(shards) if shards else None,
            num_images=calibration_images,
            overwrite=overwrite,
        )
    except ExportError as error:
        raise click.UsageError(str(error)) from error
    result = run_export(job)
    for warning in result.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
        return
    click.echo(
        f"{result.path}: {result.format}, {result.precision}, {result.num_bytes:,} bytes, SHA-256 {result.sha256}"
    )
    click.echo(
        f"cosine with the Keras model on {result.num_images} {result.kind} images: "
        f"least {result.min_cosine:.6f}, mean {result.mean_cosine:.6f}"
    )
