"""`fr-prep stats`."""

from pathlib import Path
from typing import Any, Literal

import click

from fr_prep.commands.options import (
    dry_run_option,
    json_option,
    overwrite_option,
    quiet_option,
    record_options,
    record_settings,
    scheduler_option,
    shared_paths,
    workers_option,
)

__all__ = ["stats"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog="Example: fr-prep stats shards --near-duplicates --bins lfw.bin --overlay drop.csv")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@record_options("say so")
@click.option("--table", type=_FILE, help="Write a CSV table of the classes with their images.")
@click.option("--picture", type=_FILE, help="Draw the images per class as a PNG.")
@click.option(
    "--duplicates/--no-duplicates", default=True, show_default=True, help="Read all images, or only count them."
)
@click.option("--near-duplicates", is_flag=True, help="Decode all images, and look for nearly the same pictures.")
@click.option(
    "--bins",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A verification bin, or its shards, that should share nothing; repeatable.",
)
@click.option(
    "--distance",
    type=click.IntRange(0, 16),
    default=6,
    show_default=True,
    help="Bits of the 64-bit pHash that may differ between near-duplicates.",
)
@click.option(
    "--fine-distance",
    type=click.IntRange(0, 256),
    default=40,
    show_default=True,
    help="Bits of the 256-bit pHash that may differ as well.",
)
@click.option("--list", "findings", type=_FILE, help="Write a CSV table of everything that was found.")
@click.option("--overlay", type=_FILE, help="Write a label overlay that drops what was found.")
@click.option(
    "--within-class",
    type=click.Choice(["first", "all"]),
    default="first",
    show_default=True,
    help="Which of the duplicates within a class the overlay keeps: the one with the lowest key, or all.",
)
@click.option(
    "--across-classes",
    type=click.Choice(["none", "all"]),
    default="none",
    show_default=True,
    help="Which of the duplicates across classes the overlay keeps.",
)
@click.option(
    "--overlap",
    type=click.Choice(["class", "images", "nothing"]),
    default="class",
    show_default=True,
    help="What the overlay drops for images that are in a bin: their class, themselves, or nothing.",
)
@workers_option
@scheduler_option
@overwrite_option
@dry_run_option
@json_option
@quiet_option
def stats(
    source: Path,
    *,
    label_position: int,
    on_error: Literal["fail", "skip"],
    table: Path | None,
    picture: Path | None,
    duplicates: bool,
    near_duplicates: bool,
    bins: tuple[Path, ...],
    distance: int,
    fine_distance: int,
    findings: Path | None,
    overlay: Path | None,
    within_class: Any,
    across_classes: Any,
    overlap: Any,
    workers: int | None,
    scheduler: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Count images per class, and find duplicates and overlap with verification bins.

    SRC is a record set, class folders or a folder of shards. Duplicates are found by a digest of the image's bytes,
    near-duplicates by perceptual hashes. Images of a bin are looked for in both ways. An overlay drops images without touching the
    shards: see docs/cleaning.md.
    """
    import json

    from fr_prep.sources.open_source import open_source
    from fr_prep.survey.classes import read_classed_images
    from fr_prep.survey.cleaning import CleaningSettings, choose_drops
    from fr_prep.survey.close_pairs import Closeness
    from fr_prep.survey.outputs import SurveyFiles
    from fr_prep.survey.report import describe_counts, describe_survey
    from fr_prep.survey.survey import SurveySettings, survey_images
    from fr_prep.survey.text import text_lines
    from fr_prep.workers.pool import default_workers

    (source,) = shared_paths(source, scheduler=scheduler, workers=workers)
    if not duplicates and (near_duplicates or bins or findings or overlay):
        raise click.UsageError(
            "--no-duplicates goes with --table and --picture alone: the others must read the images."
        )
    files = SurveyFiles(table=table, picture=picture, findings=findings, overlay=overlay)
    settings = SurveySettings(
        near_duplicates=near_duplicates,
        closeness=Closeness(distance, fine_distance),
        bins=bins,
        num_workers=workers or default_workers(),
        scheduler=scheduler,
        quiet=quiet,
    )
    records = record_settings(source, label_position=label_position, on_error=on_error, workers=workers, quiet=quiet)
    classed = read_classed_images(source, records)
    files.require_writable(classed, overwrite=overwrite, sources=[*open_source(source).files(), *bins])
    found = describe_counts(classed)
    survey = cleaning = None
    if duplicates:
        survey = survey_images(classed, settings)
        found |= describe_survey(survey)
        if overlay:
            choice = CleaningSettings(within=within_class, across=across_classes, overlap=overlap)
            cleaning = choose_drops(survey, choice)
            found["overlay"] = cleaning.to_dict()
    if not quiet:
        for warning in found["warnings"]:
            click.echo(f"Warning: {warning}", err=True)
    if not dry_run:
        files.write(classed, survey=survey, cleaning=cleaning)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **found}, indent=1))
        return
    for line in text_lines(found):
        click.echo(line)
    for path in files.paths():
        click.echo(f"{'Would write' if dry_run else 'Wrote'} {path}")
    if overlay and not dry_run:
        click.echo(f"Train with it: fr-train --shards {source} --overlay {overlay}")
        click.echo(f"Bake it in: fr-prep rewrite {source} clean --overlay {overlay}")
