"""The job of `fr-train`: config, run folder, training, and what is said of it."""

import math
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fr_train.devices.cluster import Cluster

__all__ = ["RunOptions", "run_training"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What stood on the command line; `changes` maps keys of the config to values."""

    shards: Path | None
    out: Path
    config: str | None
    bins: tuple[Path, ...]
    changes: Mapping[tuple[str, ...], Any]
    augmentations: tuple[str, ...]
    overrides: tuple[str, ...]
    resume: bool
    force: bool
    overwrite: bool
    quiet: bool
    cluster: "Cluster | None" = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's folder, and tells how it goes."""
        return self.cluster is None or self.cluster.index == 0


def run_training(options: RunOptions) -> None:
    """Starts or resumes a run.

    Raises:
        click.UsageError: if options do not go together.
        ToolkitError: what training reports, or another process is training in the folder.
    """
    from fr_data.files import locked_folder

    with locked_folder(options.out) if options.is_chief else nullcontext():
        _run_locked(options)


def _run_locked(options: RunOptions) -> None:
    from fr_eval.models.frameworks import import_keras
    from fr_train.run.run_folder import PUT_BACK, RunFolder

    run = RunFolder(options.out)
    if options.is_chief:
        run.remove_drafts()
        if run.settle():
            click.echo(f"{run.path}: {PUT_BACK}", err=True)
    config = _resolve(options, run)
    os.environ["KERAS_BACKEND"] = config.backend
    import_keras()  # only now: what the config lacks should be said at once
    from fr_train.run.train import train

    changes = options.resume and options.force and options.is_chief
    with run.change_config(config) if changes else nullcontext():
        result = train(
            config,
            run,
            resume=options.resume,
            overwrite=options.overwrite,
            force=options.force,
            quiet=options.quiet,
            cluster=options.cluster,
            on_epoch=_show_row if options.is_chief else lambda row: None,
        )
    if result.interrupted:
        click.echo(
            f"Stopped in epoch {result.position.epoch + 1} after {result.position.step} steps. Go on with: "
            f"fr-train --resume --out {run.path}"
        )
        raise click.exceptions.Exit(130)
    if not options.is_chief:
        return
    for name, path in (
        ("model", run.best),
        ("last", run.last),
        ("centers", run.centers),
        ("curve", run.curves),
        ("history", run.history),
    ):
        if path.exists():
            click.echo(f"{name:<8} {path}")


def _resolve(options: RunOptions, run: Any) -> Any:
    from fr_train.config.config_file import find_config, load_config, parse_augment, parse_config, parse_override

    changes = dict(options.changes)
    if options.shards:
        changes[("shards",)] = str(options.shards.absolute())
    if options.bins:
        changes[("bins",)] = [str(path.absolute()) for path in options.bins]
    changes.update(parse_augment(options.augmentations))
    changes.update(parse_override(text) for text in options.overrides)
    if options.resume:
        if options.overwrite or options.config:
            raise click.UsageError(
                "--resume goes on with the config of the run; it takes neither --config nor --overwrite."
            )
        if not options.is_chief:
            run.require_settled()
        return _pin_overlay(run.read_config(changes))
    values = load_config(find_config(options.config)) if options.config else {}
    config = parse_config(values, overrides=changes)
    if not config.shards:
        raise click.UsageError("Missing option '--shards': the folder that `fr-prep rec2tfrecord` wrote.")
    config = _pin_overlay(config)
    if options.is_chief:
        run.require_free(config, overwrite=options.overwrite)
    return config


def _pin_overlay(config: Any) -> Any:
    """Gives the config with the digest of its overlay, so that the run does not go on with another table."""
    from fr_data.shards.overlay import read_overlay

    if not config.overlay:
        return config
    return replace(config, overlay_sha256=read_overlay(Path(config.overlay), sha256=config.overlay_sha256).sha256)


def _show_row(row: Mapping[str, Any]) -> None:
    scores = "".join(
        f"  {key.removesuffix('_accuracy')} {value:.4f}" for key, value in row.items() if key.endswith("_accuracy")
    )
    accuracy = "" if math.isnan(row["accuracy"]) else f"  accuracy {row['accuracy']:.4f}"  # none without a head
    click.echo(
        f"epoch {row['epoch']:>3}  loss {row['loss']:.4f}{accuracy}  {row['images_per_second']:.0f} images/s{scores}"
    )
