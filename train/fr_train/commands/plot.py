"""`fr-train plot`."""

from pathlib import Path

import click

__all__ = ["plot"]


@click.command(epilog="Example: fr-train plot runs/first runs/second --out both.png")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs.png"), show_default=True, help="The picture, a PNG."
)
@click.option("--overwrite", is_flag=True, help="Replace a picture that is there.")
def plot(runs: tuple[Path, ...], out: Path, overwrite: bool) -> None:
    """Lay the curves of runs over each other: loss, training accuracy, learning rate, and accuracy on each bin."""
    from fr_data.files import require_output
    from fr_train.errors import RunFolderError
    from fr_train.run.curves import draw_curves
    from fr_train.run.run_folder import RunFolder

    require_output(out, overwrite=overwrite, sources=[RunFolder(path).history for path in runs])
    histories = {}
    for path in runs:
        history = RunFolder(path).read_history()
        if not history:
            raise RunFolderError(
                f"{path}: expected the folder of a run with at least one epoch; history.csv is missing or empty."
            )
        name = path.resolve().name
        histories[name if name not in histories else str(path)] = history
    draw_curves(histories, out)
    click.echo(str(out))
