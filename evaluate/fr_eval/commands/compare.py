"""`fr-eval compare`."""

import click

from fr_eval.commands.options import json_option, model_options, no_mirror_option, quiet_option

__all__ = ["compare"]

EPILOG = """\b
Examples:
  fr-eval compare a.jpg b.jpg --model best.keras --threshold 0.35
  fr-eval compare a.jpg b.jpg c.jpg --model best.keras --bin lfw.bin --far 1e-3
"""


@click.command(epilog=EPILOG)
@click.argument("images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE IMAGE...")
@model_options
@click.option(
    "--threshold",
    type=click.FloatRange(-1, 1),
    metavar="COSINE",
    help="One person where the cosine is at least this. Without it or --bin, nothing is decided.",
)
@click.option("--bin", "bin_path", type=click.Path(), metavar="BIN", help="Find the threshold on a verification bin.")
@click.option(
    "--far",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=1e-3,
    show_default=True,
    help="Share of that bin's different pairs that may be taken for one person.",
)
@no_mirror_option
@json_option
@quiet_option
def compare(
    images: tuple[str, ...],
    model_path: str,
    scaling: str | None,
    layout: str | None,
    batch_size: int,
    workers: int | None,
    threshold: float | None,
    bin_path: str | None,
    far: float,
    no_mirror: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say how alike images are: the cosine of their embeddings.

    The cosine that tells one person from two depends on the network, so there is no default: give --threshold, or a --bin of
    people like those in question, on which it is found.
    """
    import json
    from pathlib import Path

    import numpy as np

    from fr_eval.faces.verification_shards import read_pairs
    from fr_eval.models.load import load_model
    from fr_eval.protocols.distances import normalise_rows
    from fr_eval.search.image_files import embed_files
    from fr_eval.search.tables import format_matrix, format_pair
    from fr_eval.search.threshold import find_threshold

    if len(images) < 2:
        raise click.UsageError("Missing argument 'IMAGE': at least two images are compared.")
    if threshold is not None and bin_path:
        raise click.UsageError("--threshold and --bin exclude each other: give the cosine, or where to find it")
    pairs = read_pairs(bin_path) if bin_path else None
    embedder = load_model(model_path, scaling=scaling, layout=layout)
    found = embed_files(embedder, [Path(image) for image in images], mirror=not no_mirror, workers=workers)
    measured = None
    if pairs is not None:
        measured = find_threshold(
            *(embedder, pairs),
            far=far,
            mirror=not no_mirror,
            batch_size=batch_size,
            workers=workers,
            progress=not quiet,
        )
        threshold = measured.cosine
    directions = normalise_rows(found.embeddings)
    cosines = directions @ directions.T
    remarks = found.describe_sizes()
    if measured is not None and pairs is not None:
        short = f"its embedding is shorter than 99 % of those of {pairs.name}"
        lengths = np.linalg.norm(found.embeddings, axis=1)
        remarks = [
            "; ".join(filter(None, (remark, short if length < measured.short_length else "")))
            for remark, length in zip(remarks, lengths, strict=True)
        ]
    for image, remark in zip(images, remarks, strict=True):
        if remark and not quiet:
            click.echo(f"Warning: {image}: {remark}; unless it is an aligned face, its cosines mean little", err=True)
    if as_json:
        listed = [{"path": image, "remark": remark or None} for image, remark in zip(images, remarks, strict=True)]
        decided = None if threshold is None else (cosines >= threshold).tolist()
        click.echo(
            json.dumps(
                {
                    "model": {"path": model_path, "sha256": embedder.digest, "scaling": embedder.scaling},
                    "images": listed,
                    "cosines": cosines.round(6).tolist(),
                    "threshold": threshold,
                    "far": measured and measured.far,
                    "tar": measured and measured.tar,
                    "same": decided,
                },
                indent=2,
            )
        )
        return
    if measured is not None and pairs is not None:
        click.echo(f"threshold {measured.cosine:.4f}: FAR {measured.far:.1e}, TAR {measured.tar:.4f} on {pairs.name}\n")
    show = format_pair if len(images) == 2 else format_matrix
    click.echo(show(images, cosines, threshold))
