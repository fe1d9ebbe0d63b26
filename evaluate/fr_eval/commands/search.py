"""`fr-eval search`."""

import click

from fr_eval.commands.options import json_option, model_options, quiet_option

__all__ = ["search"]

EPILOG = """\b
Examples:
  fr-eval search faces.npz who.jpg --model best.keras
  fr-eval search faces.npz *.jpg --model best.keras --top 3 --threshold 0.35 --json
"""


@click.command(epilog=EPILOG)
@click.argument("embeddings", type=click.Path(), metavar="EMBEDDINGS")
@click.argument("queries", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...")
@model_options
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Results an image.")
@click.option(
    "--threshold", type=click.FloatRange(-1, 1), metavar="COSINE", help="Leave out what has a smaller cosine than this."
)
@click.option(
    "--index",
    "index_path",
    type=click.Path(),
    metavar="FILE",
    help="Search by an index of faiss, which is built where it is missing or of other embeddings: no longer exact, but "
    "little is read. Only an index that this command wrote is replaced.",
)
@json_option
@quiet_option
def search(
    embeddings: str,
    queries: tuple[str, ...],
    model_path: str,
    scaling: str | None,
    layout: str | None,
    batch_size: int,
    workers: int | None,
    top: int,
    threshold: float | None,
    index_path: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the images that are most alike among EMBEDDINGS, a file of `fr-eval embed`.

    Every embedding is compared, in blocks of matrix products, so the results are exact.
    """
    import json
    from pathlib import Path

    from fr_eval.models.load import load_model
    from fr_eval.search.embedding_file import read_origin
    from fr_eval.search.image_files import embed_files
    from fr_eval.search.lookup import look_up

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    source, index = Path(embeddings), Path(index_path) if index_path is not None else None
    if index is not None:
        from fr_eval.search.index import require_index

        require_index(index, sources=(embeddings, *queries, model_path))
    origin = read_origin(source)
    embedder = load_model(model_path, scaling=scaling, layout=layout)
    if embedder.digest != origin.model_sha256:
        say(
            f"Warning: {source} was made by {origin.model} (SHA-256 {origin.model_sha256[:12]}…) and not by {model_path}: "
            "cosines mean something only where both are exports of one network"
        )
    found = embed_files(
        *(embedder, [Path(query) for query in queries]), mirror=origin.mirror, batch_size=batch_size, workers=workers
    )
    for query, remark in zip(queries, found.describe_sizes(), strict=True):
        if remark:
            say(f"Warning: {query}: {remark}; unless it is an aligned face, its cosines mean little")
    cosines, rows = look_up(
        *(source, found.embeddings),
        count=top,
        num_rows=len(origin.names),
        index=index,
        say=say,
    )
    results = [
        [
            {"name": origin.names[row], "cosine": round(float(cosine), 6)}
            for cosine, row in zip(near, numbers, strict=True)
            if row >= 0 and (threshold is None or cosine >= threshold)
        ]
        for near, numbers in zip(cosines, rows, strict=True)
    ]
    if as_json:
        listed = [{"query": query, "nearest": near} for query, near in zip(queries, results, strict=True)]
        click.echo(json.dumps({"embeddings": embeddings, "results": listed}, indent=2))
        return
    for query, near in zip(queries, results, strict=True):
        click.echo(query)
        for hit in near:
            click.echo(f"  {hit['cosine']:7.4f}  {hit['name']}")
        if not near:
            click.echo("  nothing")
