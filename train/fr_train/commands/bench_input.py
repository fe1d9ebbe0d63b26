"""`fr-train bench-input`."""

from pathlib import Path

import click

__all__ = ["bench_input"]


@click.command(
    "bench-input", epilog="Example: fr-train bench-input --shards shards --augment brightness=0.5 --augment jpeg=0.2"
)
@click.option(
    "--shards", type=click.Path(path_type=Path), required=True, help="Folder that `fr-prep rec2tfrecord` wrote."
)
@click.option("--overlay", type=click.Path(path_type=Path), help="CSV table of classes and records to move or drop.")
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True, help="Images a batch.")
@click.option(
    "--images-per-class", type=click.IntRange(0), default=0, help="Balanced batches: images of each class in one."
)
@click.option("--image-size", type=click.IntRange(16), nargs=2, metavar="HEIGHT WIDTH", help="Resize the images.")
@click.option("--mirror/--no-mirror", default=True, show_default=True, help="Mirror every other image.")
@click.option(
    "--augment",
    "augmentations",
    multiple=True,
    metavar="PRESET|KEY=VALUE",
    help="none, light or strong, or a key of [augment]; repeatable.",
)
@click.option("--seconds", type=click.FloatRange(0), default=10, show_default=True, help="How long to measure, about.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON to stdout.")
def bench_input(
    shards: Path,
    overlay: Path | None,
    batch_size: int,
    images_per_class: int,
    image_size: tuple[int, int] | None,
    mirror: bool,
    augmentations: tuple[str, ...],
    seconds: float,
    as_json: bool,
) -> None:
    """Measure how fast batches come, without training.

    Says how many images a second the stream gives, what reading, decoding and the rest cost of processor time, and how fast the
    same images are decoded alone, which is the limit.
    """
    import json

    from fr_eval.models.frameworks import import_tensorflow

    import_tensorflow()
    from fr_data.shards.overlay import read_overlay
    from fr_train.config.config_file import parse_augment, parse_config
    from fr_train.data.shard_set import read_shard_set
    from fr_train.data.stream import Stream, StreamSettings
    from fr_train.planning.input_rates import measure_input

    settings = StreamSettings(
        batch_size=batch_size,
        images_per_class=images_per_class,
        mirror=mirror,
        augment=parse_config({}, overrides=parse_augment(augmentations)).augment,
    )
    shard_set = read_shard_set(shards, overlay=read_overlay(overlay) if overlay else None)
    stream = Stream(shard_set, settings, seed=0, image_size=image_size or shard_set.image_size)
    figures = measure_input(stream, seconds=seconds)
    if as_json:
        click.echo(json.dumps(figures.to_dict(), indent=1))
        return
    for line in figures.describe():
        click.echo(line)
