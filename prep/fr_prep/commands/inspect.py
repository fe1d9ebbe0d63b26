"""`fr-prep inspect`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click

from fr_prep.commands.options import json_option, record_options, record_settings

__all__ = ["inspect"]


@click.command(epilog="Example: fr-prep inspect faces_emore/lfw.bin")
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@record_options("say so")
@json_option
def inspect(path: Path, *, label_position: int, on_error: Literal["fail", "skip"], as_json: bool) -> None:
    """Say what a path is, and what it holds.

    PATH is a record set, class folders, a verification bin, or a folder of shards: of a data set, or of a bin. Shows counts, images
    per class, sizes, encodings and warnings. Nothing of a bin's pickle is run.
    """
    import json

    from fr_prep.survey.describe import describe

    description = describe(path, record_settings(path, label_position=label_position, on_error=on_error))
    if as_json:
        click.echo(json.dumps(description.to_dict(), indent=1))
        return
    click.echo(f"{path}: {description.kind}")
    for name, value in description.facts.items():
        if name != "path":
            click.echo(f"  {name.replace('_', ' '):<20}{_format(value)}")
    for warning in description.warnings:
        click.echo(f"Warning: {warning}")


def _format(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_format(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(_format, value)) or "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)
    return f"{value:,}"
