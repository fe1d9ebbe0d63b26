"""`fr-prep preview`."""

from pathlib import Path
from typing import Any, Literal

import click

from fr_prep.commands.options import (
    dry_run_option,
    json_option,
    overwrite_option,
    record_options,
    record_settings,
)
from fr_prep.commands.wording import count

__all__ = ["preview"]


@click.command(epilog="Example: fr-prep preview shards look.html --class 17 --class 203 --images 100")
@click.argument("source", type=click.Path(path_type=Path), metavar="SRC")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT")
@record_options("say so")
@click.option("--classes", type=click.IntRange(1, 1000), help="How many classes, chosen at random.  [default: 12]")
@click.option(
    "--class", "named", metavar="CLASS", multiple=True, help="Show this class, by its number or name; repeatable."
)
@click.option("--images", type=click.IntRange(1, 10_000), help="At most so many images of each.  [default: 8]")
@click.option(
    "--found",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Show the pairs of a table that `fr-prep stats --list` wrote, the least alike first.",
)
@click.option("--pairs", type=click.IntRange(1, 10_000), help="How many pairs of a bin, or of a table.  [default: 40]")
@click.option("--only", type=click.Choice(["same", "different"]), help="Pairs of a bin of one kind.")
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), default=0, show_default=True, help="Seed of the choice.")
@overwrite_option
@dry_run_option
@json_option
def preview(
    source: Path,
    out: Path,
    *,
    label_position: int,
    on_error: Literal["fail", "skip"],
    classes: int | None,
    named: tuple[str, ...],
    images: int | None,
    found: Path | None,
    pairs: int | None,
    only: Any,
    seed: int,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Draw a contact sheet of classes, of the pairs of a bin, or of duplicates.

    SRC is a record set, class folders, a folder of shards, or a verification bin (.bin) or its shards. OUT is a .png, or an .html:
    one page that holds the images byte for byte and loads nothing.
    """
    import json

    from fr_data.files import require_output
    from fr_prep.sources.bins.bins import holds_pairs
    from fr_prep.survey.classes import read_classed_images
    from fr_prep.survey.preview.class_sheet import ClassSheetSettings, make_class_sheet
    from fr_prep.survey.preview.found_sheet import make_found_sheet
    from fr_prep.survey.preview.pair_sheet import PairSheetSettings, make_pair_sheet
    from fr_prep.survey.preview.write import write_sheet

    if out.suffix.lower() not in (".png", ".html"):
        raise click.UsageError(f"Expected OUT to end with .png or .html, received {out.name!r}.")
    of_classes, is_bin = bool(classes or named or images), holds_pairs(source)
    if classes and named:
        raise click.UsageError("Expected either --classes or --class, received both.")
    if of_classes and (is_bin or found):
        raise click.UsageError(
            "--classes, --class and --images show classes: they are not for a bin, and not for --found."
        )
    if found and is_bin:
        raise click.UsageError("--found is for the set that the table was made of, not for a bin.")
    if (pairs and not (is_bin or found)) or (only and not is_bin):
        raise click.UsageError("--pairs is for a .bin or --found, --only for a .bin.")
    records = record_settings(source, label_position=label_position, on_error=on_error)
    require_output(out, overwrite=overwrite, sources=[source, *([found] if found else [])])
    num_left_out = 0
    if is_bin:
        sheet = make_pair_sheet(source, PairSheetSettings(num_pairs=pairs or 40, only=only, seed=seed))
    else:
        classed = read_classed_images(source, records)
        num_left_out = len(classed.images.left_out)
        if found:
            sheet = make_found_sheet(classed, found, num_pairs=pairs or 40)
        else:
            settings = ClassSheetSettings(
                classes=tuple(dict.fromkeys(named)), num_classes=classes or 12, num_images=images or 8, seed=seed
            )
            sheet = make_class_sheet(classed, settings)
    num_bytes = write_sheet(sheet, out, dry_run=dry_run)
    if as_json:
        content = {
            "dry_run": dry_run,
            "out": str(out),
            "groups": [
                {"title": group.title, "mark": group.mark, "images": len(group.tiles)} for group in sheet.groups
            ],
            "num_images": sheet.num_images,
            "num_undecodable": sheet.num_undecodable,
            "num_left_out": num_left_out,
            "num_bytes": num_bytes,
        }
        click.echo(json.dumps(content, indent=1))
        return
    groups = count(len(sheet.groups), *(("pair", "pairs") if sheet.is_pairs else ("class", "classes")))
    click.echo(
        f"{'Would write' if dry_run else 'Wrote'} {out}: {count(sheet.num_images, 'image')} of {groups}, "
        f"{num_bytes / 1e6:,.2f} MB"
    )
    if sheet.num_undecodable:
        click.echo(f"  {sheet.num_undecodable:,} images cannot be decoded; they are marked.")
    if num_left_out:
        click.echo(f"  {count(num_left_out, 'damaged image')} left out.")
