"""`fr-eval embed`."""

from typing import TYPE_CHECKING

import click

from fr_eval.commands.options import model_options, no_mirror_option, quiet_option

if TYPE_CHECKING:
    from fr_eval.search.image_files import OnError

__all__ = ["embed"]

MAX_NAMED = 5  # files that a warning names


@click.command(epilog="Example: fr-eval embed faces --model best.keras --output faces.npz")
@click.argument("folder", type=click.Path(), metavar="FOLDER")
@model_options
@click.option(
    "--output",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help=".npz, or .parquet, which needs pyarrow.",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do about images that cannot be read: end, or leave them out and say which.",
)
@no_mirror_option
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@quiet_option
def embed(
    folder: str,
    model_path: str,
    scaling: str | None,
    layout: str | None,
    batch_size: int,
    workers: int | None,
    output: str,
    on_error: "OnError",
    no_mirror: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Embed all images in FOLDER, at any depth.

    Writes names and embeddings in the order of the names. Images should be aligned faces of the network's size, as the
    training set's are; others are resized, and named.
    """
    from pathlib import Path

    from fr_data.files import require_output
    from fr_eval.models.load import load_model
    from fr_eval.search.embedding_file import SUFFIXES, Origin, write_embeddings
    from fr_eval.search.image_files import embed_files, list_images

    source, target = Path(folder), Path(output)
    if target.suffix not in SUFFIXES:
        raise click.UsageError(f"{target}: expected the ending {' or '.join(SUFFIXES)}")
    require_output(target, overwrite=overwrite, sources=(source, model_path))

    def warn(what: str, lines: list[str]) -> None:
        if lines and not quiet:
            more = f"; and {len(lines) - MAX_NAMED:,} more" if len(lines) > MAX_NAMED else ""
            click.echo(f"Warning: {what} ({len(lines):,}): {'; '.join(lines[:MAX_NAMED])}{more}", err=True)

    paths, others = list_images(source)
    warn("passed over, since they are no images", [str(path) for path in others])
    embedder = load_model(model_path, scaling=scaling, layout=layout)
    found = embed_files(
        *(embedder, paths),
        mirror=not no_mirror,
        batch_size=batch_size,
        workers=workers,
        on_error=on_error,
        progress=not quiet,
    )
    remarks = zip(found.paths, found.describe_sizes(), strict=True)
    warn(
        "of another size than aligned faces for this network",
        [f"{path} ({remark})" for path, remark in remarks if remark],
    )
    names = [path.relative_to(source).as_posix() for path in found.paths]
    write_embeddings(target, Origin(names, embedder.name, embedder.digest, not no_mirror), found.embeddings)
    for path, reason in found.failures.items():
        click.echo(f"left out: {path}: {reason}", err=True)
    left_out = f", {len(found.failures):,} left out" if found.failures else ""
    click.echo(f"{target}: {len(names):,} embeddings of {embedder.embedding_size} values{left_out}")
