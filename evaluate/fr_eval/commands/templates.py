"""`fr-eval templates`."""

import click

from fr_eval.commands.options import json_option, model_options, no_mirror_option, quiet_option

__all__ = ["templates"]


@click.command(epilog="Example: fr-eval templates IJBC --model model.keras")
@click.argument("folder", type=click.Path(), metavar="FOLDER")
@model_options
@no_mirror_option
@json_option
@quiet_option
def templates(
    folder: str,
    model_path: str,
    scaling: str | None,
    layout: str | None,
    batch_size: int,
    workers: int | None,
    no_mirror: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure a model on templates, 1:1, as IJB-B and IJB-C.

    FOLDER is as InsightFace distributes them: `meta/` with the lists <name>_face_tid_mid.txt, <name>_template_pair_label.txt and
    <name>_name_5pts_score.txt, and `loose_crop/` with the images, which are aligned by their five points. Prints TAR at FAR
    over all pairs of templates.
    """
    import json

    from fr_eval.faces.template_lists import read_template_set
    from fr_eval.models.load import load_model
    from fr_eval.protocols.template_verification import verify_templates
    from fr_eval.report.table import format_rate, format_table

    found = read_template_set(folder)
    embedder = load_model(model_path, scaling=scaling, layout=layout)
    figures = verify_templates(
        embedder, found, mirror=not no_mirror, batch_size=batch_size, workers=workers, progress=not quiet
    )
    if as_json:
        model = {"path": model_path, "sha256": embedder.digest, "scaling": embedder.scaling}
        click.echo(json.dumps({"model": model, "path": folder, **figures.to_dict()}, indent=2))
        return
    header = ["set", "images", "templates", "pairs", *(f"TAR@{far:.0e}".replace("e-0", "e-") for far in figures.tars)]
    counts = (figures.num_images, figures.num_templates, figures.num_pairs)
    row = [figures.name, *(f"{count:,}" for count in counts), *map(format_rate, figures.tars.values())]
    click.echo(format_table(header, [row]))
