"""What Ctrl-C says of a run that can be gone on with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fr_data.locations import Store

__all__ = ["INTERRUPTED", "say_how_to_go_on"]

INTERRUPTED = 130  # the exit code: 128 and the number of the signal


@contextmanager
def say_how_to_go_on(out: "Path | Store") -> Iterator[None]:
    """Has Ctrl-C name `--resume` where there is something to go on with; elsewhere the command line says what it says of all."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        from fr_prep.write.output_folder import STAGING_FOLDER

        if isinstance(out, Path) and not (out / STAGING_FOLDER).is_dir():
            raise
        click.echo(f"Interrupted. What was finished is kept: go on with --resume ({out}).", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from interrupt
