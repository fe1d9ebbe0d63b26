"""`fr-eval identify`."""

from typing import TYPE_CHECKING

import click

from fr_eval.commands.options import json_option, model_options, no_mirror_option, quiet_option

if TYPE_CHECKING:
    from fr_eval.protocols.identification import Template

__all__ = ["identify"]


@click.command(epilog="Example: fr-eval identify gallery probes --model model.keras")
@click.argument("gallery", type=click.Path())
@click.argument("probes", type=click.Path())
@model_options
@click.option(
    "--template",
    type=click.Choice(["max", "mean"]),
    default="max",
    show_default=True,
    help="Several gallery images of a person: the most similar one counts, or the mean of their embeddings.",
)
@click.option("--rank", type=click.IntRange(min=1), default=20, show_default=True, help="Longest list of people.")
@no_mirror_option
@json_option
@quiet_option
def identify(
    gallery: str,
    probes: str,
    model_path: str,
    scaling: str | None,
    layout: str | None,
    batch_size: int,
    workers: int | None,
    template: "Template",
    rank: int,
    no_mirror: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the people of PROBES in GALLERY, 1:N.

    Each is a folder with a folder a person, or a data set of `fr-prep`. People of equal names are the same. Prints how often
    the right person is the first, and among the first 5, 10, 20. Probes of people who are not in the gallery are counted
    apart: they give TPIR at FPIR.
    """
    import json

    from fr_eval.faces.identity_sets import embed_identities
    from fr_eval.faces.open_identities import read_identities
    from fr_eval.models.load import load_model
    from fr_eval.protocols.identification import identify as measure
    from fr_eval.report.table import format_rate, format_table

    sets = [read_identities(path) for path in (gallery, probes)]
    embedder = load_model(model_path, scaling=scaling, layout=layout)
    known, asked = (
        embed_identities(
            embedder, faces, mirror=not no_mirror, batch_size=batch_size, workers=workers, progress=not quiet
        )
        for faces in sets
    )
    found = measure(known, asked, template=template, max_rank=rank)
    warnings = [warning for faces in sets for warning in faces.warnings]
    if found.num_shared:
        warnings.append(f"{found.num_shared} probes are byte for byte in the gallery as well, and so are no test")
    for warning in [] if quiet else warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        model = {"path": model_path, "sha256": embedder.digest, "scaling": embedder.scaling}
        click.echo(json.dumps({"model": model, "gallery": gallery, "probes": probes, **found.to_dict()}, indent=2))
        return
    ranks = sorted({place for place in (1, 5, 10, 20, rank) if place <= len(found.cmc)})
    rows = [(f"rank {place}", format_rate(found.cmc[place - 1])) for place in ranks]
    if found.num_unmated:
        rows += [
            (f"TPIR@FPIR {fpir:.0e}".replace("e-0", "e-"), format_rate(tpir)) for fpir, tpir in found.tpirs.items()
        ]
    click.echo(format_table(("figure", f"of {found.num_mated:,} probes"), rows))
    others = f"; {found.num_unmated:,} more probes are of nobody in it" if found.num_unmated else ""
    people = f"{found.num_gallery_images:,} images of {found.num_people:,} people, template {template}"
    click.echo(f"\ngallery: {people}{others}")
