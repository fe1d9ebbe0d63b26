"""`fr-prep bin2jpeg`."""

from pathlib import Path

import click

from fr_prep.commands.options import dry_run_option, json_option, overwrite_option
from fr_prep.commands.wording import count

__all__ = ["bin2jpeg"]


@click.command(epilog="Example: fr-prep bin2jpeg lfw.bin --output lfw_jpeg.bin")
@click.argument("source", type=click.Path(path_type=Path), metavar="BIN")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The new bin.")
@click.option("--in-place", is_flag=True, help="Replace the bin; the old file is kept as BIN.backup.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Write the images, byte for byte, and pairs.csv there instead."
)
@click.option("--reencode", is_flag=True, help="Encode JPEG entries anew as well; scores of models will change.")
@click.option(
    "--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="JPEG quality of what is encoded."
)
@overwrite_option
@dry_run_option
@json_option
def bin2jpeg(
    source: Path,
    output: Path | None,
    in_place: bool,
    folder: Path | None,
    reencode: bool,
    quality: int,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a verification bin readable everywhere.

    Reads BIN, of any dialect, without running anything of its pickle, and writes a bin of plain JPEG bytes. JPEG entries
    stay as they are, byte for byte; PNG and others are encoded.
    """
    import json

    from fr_data.files import require_output
    from fr_prep.export.bin_rewrite import export_bin, rewrite_bin

    if [output is not None, in_place, folder is not None].count(True) != 1:
        raise click.UsageError("Expected one of --output FILE, --in-place and --folder FOLDER.")
    if output is not None:
        require_output(output, overwrite=overwrite, sources=[source])
    if folder is not None:
        if reencode:
            raise click.UsageError("--folder writes the images byte for byte; --reencode does not go with it.")
        result = export_bin(source, folder, overwrite=overwrite, dry_run=dry_run)
    else:
        result = rewrite_bin(
            source, output or source, reencode=reencode, quality=quality, overwrite=overwrite, dry_run=dry_run
        )
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **result.to_dict()}, indent=1))
        return
    entries = ", ".join(f"{count:,} {kind}" for kind, count in result.entries_before.items())
    click.echo(f"{source}: {count(result.num_pairs, 'pair')}; entries: {entries}")
    click.echo(
        f"{'Would write' if dry_run else 'Wrote'} {result.output}: {count(result.num_unchanged, 'image')} unchanged",
        nl=False,
    )
    if result.num_encoded:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in result.encoded_from.items())
        click.echo(f", {result.num_encoded:,} encoded as JPEG of quality {result.quality} ({kinds})", nl=False)
    click.echo(".")
    if result.backup:
        click.echo(f"The old file is kept as {result.backup}.")
