"""The command line `fr-prep`."""

from typing import Any

import click

from fr_data.errors import ToolkitError
from fr_prep.commands.bin2jpeg import bin2jpeg
from fr_prep.commands.bin2tfrecord import bin2tfrecord
from fr_prep.commands.demo_data import demo_data
from fr_prep.commands.folder2bin import folder2bin
from fr_prep.commands.folder2tfrecord import folder2tfrecord
from fr_prep.commands.inspect import inspect
from fr_prep.commands.interruption import INTERRUPTED
from fr_prep.commands.merge import merge
from fr_prep.commands.preview import preview
from fr_prep.commands.rec2jpeg import rec2jpeg
from fr_prep.commands.rec2tfrecord import rec2tfrecord
from fr_prep.commands.rewrite import rewrite
from fr_prep.commands.stats import stats
from fr_prep.commands.tfrecord2rec import tfrecord2rec
from fr_prep.commands.verify import verify

__all__ = ["main"]


class _PrepGroup(click.Group):
    """Turns what data preparation reports into one line and exit code 1, and Ctrl-C into 130; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ToolkitError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}. Check the path.") from error
        except KeyboardInterrupt as interrupt:
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from interrupt


@click.group(
    cls=_PrepGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example: fr-prep rec2tfrecord faces_emore shards --shards 128 --seed 1",
)
@click.version_option(package_name="fr-toolkit", prog_name="fr-prep")
def main() -> None:
    """Prepare face-recognition data: from MXNet record sets and verification bins to verified TFRecord shards."""


for command in (
    rec2tfrecord,
    folder2tfrecord,
    folder2bin,
    rec2jpeg,
    tfrecord2rec,
    rewrite,
    merge,
    verify,
    inspect,
    bin2jpeg,
    bin2tfrecord,
    stats,
    preview,
    demo_data,
):
    main.add_command(command)
