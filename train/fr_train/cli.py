"""The command line `fr-train`: the job itself, and sub-commands beside it."""

import os
from pathlib import Path
from typing import Any

import click

from fr_data.errors import ToolkitError
from fr_eval.commands.job_group import JobGroup
from fr_train.commands.bench_input import bench_input
from fr_train.commands.models import models
from fr_train.commands.plan import plan
from fr_train.commands.plot import plot
from fr_train.errors import ConfigError

__all__ = ["main"]


class _Devices(click.ParamType[int]):
    """A number of devices; `all` is 0."""

    name = "all|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Gives it, from what was typed."""
        return 0 if value == "all" else click.IntRange(1).convert(value, param, ctx)


# Options that set a key of the config: option → (key, type, help).
_CONFIG_OPTIONS: dict[str, tuple[str, Any, str]] = {
    "--overlay": (
        "overlay",
        click.Path(resolve_path=True),
        "CSV table of classes and records to move or drop.",
    ),
    "--epochs": ("epochs", click.IntRange(0), "Passes over the data; 0 saves the untrained network."),
    "--batch-size": ("batch_size", click.IntRange(1), "Images a step."),
    "--images-per-class": ("images_per_class", click.IntRange(0), "Images of each class in a batch, for triplets."),
    "--seed": ("seed", click.IntRange(0), "Seed of weights, shuffle and mirroring."),
    "--model": (
        "model.file",
        click.Path(resolve_path=True, dir_okay=False),
        "Train this .keras model further, in place of a backbone.",
    ),
    "--scaling": (
        "model.scaling",
        click.Choice(["none", "127.5", "128"]),
        "What --model wants (x - 127.5) divided by; none: it scales 0..255 by itself.",
    ),
    "--backbone": ("model.backbone", str, "Network; see `fr-train models`."),
    "--width": ("model.width", float, "Factor of the network's channels."),
    "--embedding-size": ("model.embedding_size", click.IntRange(1), "Length of the embedding."),
    "--imagenet/--no-imagenet": (
        "model.imagenet",
        bool,
        "Begin with weights trained on ImageNet, where the network has some.",
    ),
    "--loss": ("loss.name", str, "Loss, such as arcface, or a sum such as center+arcface."),
    "--scale": ("loss.scale", float, "Scale of the cosines."),
    "--optimizer": ("optimizer.name", click.Choice(["adamax", "adamw", "lamb", "sgd"]), "Optimizer."),
    "--learning-rate": ("optimizer.learning_rate", float, "Peak learning rate.  [sgd 0.1, others 0.001]"),
    "--weight-decay": ("optimizer.weight_decay", float, "Decoupled weight decay."),
    "--schedule": (
        "schedule.name",
        click.Choice(["constant", "cosine", "exponential", "polynomial", "step"]),
        "Course of the learning rate.",
    ),
    "--backend": (
        "backend",
        click.Choice(["jax", "tensorflow"]),
        "What runs the network; jax lays the class weights over --devices as well.",
    ),
    "--precision": (
        "precision",
        click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
        "Of the network's layers.",
    ),
    "--xla/--no-xla": ("xla", bool, "Compile the step by XLA, which pays on a GPU."),
    "--devices": ("devices", _Devices(), "GPUs of this machine that share a batch; all of them, or so many."),
    "--sync-batch-norm/--no-sync-batch-norm": (
        "sync_batch_norm",
        bool,
        "Normalise by the batch of all devices, not by each one's part.",
    ),
    "--ema": ("ema", float, "Score and save an average of the weights of this momentum, such as 0.999."),
    "--checkpoint-steps": (
        "checkpoint_steps",
        click.IntRange(0),
        "Steps between checkpoints within an epoch; 0: at its end only.",
    ),
    "--start-from": ("start_from", click.Path(resolve_path=True), "Folder of a run whose weights to begin with."),
}


class _TrainGroup(JobGroup):
    """Turns what training and evaluation report into one line and exit code 1; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise click.UsageError(str(error), ctx=ctx) from error
        except ToolkitError as error:
            raise click.ClickException(str(error)) from error


def _config_options(function: Any) -> Any:
    for option, (key, type_, text) in reversed(_CONFIG_OPTIONS.items()):
        function = click.option(option, key.replace(".", "__"), type=type_, default=None, help=text)(function)
    return function


@click.command(
    cls=_TrainGroup,
    name="fr-train",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example: fr-train --shards shards --bins lfw.bin --bins cfp_fp.bin --out runs/first --epochs 20",
)
@click.option("--shards", type=click.Path(path_type=Path), help="Folder that `fr-prep rec2tfrecord` wrote.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--config", help="A TOML file, or the name of a config that comes with the toolkit, such as lfw-cpu.")
@click.option(
    "--bins",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Verification bin, or its folder of shards, to score each epoch; repeatable.",
)
@_config_options
@click.option(
    "--augment",
    "augmentations",
    multiple=True,
    metavar="PRESET|KEY=VALUE",
    help="none, light or strong, or a key of [augment]; repeatable.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set any key of the config; repeatable.")
@click.option(
    "--coordinator",
    metavar="HOST:PORT",
    help="Where process 0 of those that train together waits for the others; TF_CONFIG can say it too.",
)
@click.option("--num-processes", type=click.IntRange(1), help="With --coordinator: how many they are.")
@click.option("--process-index", type=click.IntRange(0), help="With --coordinator: which of them this is.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with its config.")
@click.option("--force", is_flag=True, help="With --resume: go on though config or data set changed.")
@click.option("--overwrite", is_flag=True, help="Replace the run in --out, once the new one has a checkpoint.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
@click.version_option(package_name="fr-toolkit", prog_name="fr-train")
def main(
    shards: Path | None,
    out: Path,
    config: str | None,
    bins: tuple[Path, ...],
    augmentations: tuple[str, ...],
    overrides: tuple[str, ...],
    coordinator: str | None,
    num_processes: int | None,
    process_index: int | None,
    resume: bool,
    force: bool,
    overwrite: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a face-recognition network on shards.

    Everything may stand in a TOML file (--config); options and --set come on top, and what results is saved as config.toml in
    the run's folder, with best.keras, last.keras, history.csv, curves.png and the checkpoints. Ctrl-C ends a run in good order,
    --resume goes on with it, also after a crash.
    """
    from fr_train.commands.run import RunOptions, run_training
    from fr_train.devices.cluster import read_cluster

    changes = {tuple(key.split("__")): value for key, value in options.items() if value is not None}
    run_training(
        RunOptions(
            shards=shards,
            out=out,
            config=config,
            bins=bins,
            changes=changes,
            augmentations=augmentations,
            overrides=overrides,
            resume=resume,
            force=force,
            overwrite=overwrite,
            quiet=quiet,
            cluster=read_cluster(coordinator, num_processes, process_index, os.environ),
        )
    )


for command in (bench_input, models, plan, plot):
    main.add_command(command)
