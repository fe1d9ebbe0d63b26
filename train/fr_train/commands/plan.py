"""`fr-train plan`."""

from pathlib import Path
from typing import Any

import click

__all__ = ["plan"]

GIB = 1 << 30


@click.command(
    epilog="Example: fr-train plan --classes 2059906 --images 42474557 --backbone iresnet100 --devices 8 --batch-size 1024 "
    "--head sharded --sample-rate 0.1 --precision mixed_bfloat16"
)
@click.option("--classes", "num_classes", type=click.IntRange(2), help="Classes of the set.")
@click.option("--images", "num_images", type=click.IntRange(1), help="Images of its train split.")
@click.option("--shards", type=click.Path(path_type=Path), help="Take both, and the images' size, from these shards.")
@click.option("--config", help="Take network, batch, optimizer and precision from a TOML file.")
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="Devices that train together.")
@click.option(
    "--head",
    type=click.Choice(["replicated", "sharded"]),
    default="replicated",
    show_default=True,
    help="All class weights on each device, or a part of them.",
)
@click.option(
    "--sample-rate",
    "model__sample_rate",
    type=click.FloatRange(0, 1, min_open=True),
    help="Part of the classes a step looks at.",
)
@click.option("--backbone", "model__backbone", help="Network; see `fr-train models`.")
@click.option("--width", "model__width", type=float, help="Factor of the network's channels.")
@click.option("--embedding-size", "model__embedding_size", type=click.IntRange(1), help="Length of the embedding.")
@click.option(
    "--image-size", type=click.IntRange(16), nargs=2, metavar="HEIGHT WIDTH", help="Of the images.  [112 112]"
)
@click.option("--batch-size", "batch_size", type=click.IntRange(1), help="Images a step, of all devices together.")
@click.option(
    "--optimizer", "optimizer__name", type=click.Choice(["adamax", "adamw", "lamb", "sgd"]), help="Optimizer."
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
    help="Of the network's layers.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set any key of the config; repeatable.")
@click.option(
    "--device-memory",
    type=click.FloatRange(0, min_open=True),
    default=32,
    show_default=True,
    help="Of a device, in GiB.",
)
@click.option(
    "--interconnect",
    type=click.FloatRange(0, min_open=True),
    help="What a device sends, in GB/s; else its time is left out.",
)
@click.option(
    "--measure", is_flag=True, help="Take the rates of this machine by some real steps, in place of published ones."
)
@click.option(
    "--rates", "rates_path", type=click.Path(path_type=Path), help="Take the rates from what --measure --json wrote."
)
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON to stdout.")
def plan(
    num_classes: int | None,
    num_images: int | None,
    shards: Path | None,
    config: str | None,
    devices: int,
    head: str,
    image_size: tuple[int, int] | None,
    overrides: tuple[str, ...],
    device_memory: float,
    interconnect: float | None,
    measure: bool,
    rates_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Say on paper what a training takes: memory of a device, bytes moved a step, hours an epoch; and whether it fits.

    Nothing of the size of the set is made, so a laptop can plan for a cluster. Memory is counted; times are extrapolated from
    published rates, or from measured ones.
    """
    import json

    from fr_eval.models.frameworks import import_keras
    from fr_train.config.config_file import find_config, load_config, parse_config, parse_override

    if measure and rates_path:
        raise click.UsageError("--measure and --rates are two sources of the same thing: give one.")
    if bool(shards) == (num_classes is not None) or (num_classes is None) != (num_images is None):
        raise click.UsageError("Expected either --classes and --images, or --shards.")
    changes = {tuple(key.split("__")): value for key, value in options.items() if value is not None}
    changes.update(parse_override(text) for text in overrides)
    settings = parse_config(load_config(find_config(config)) if config else {}, overrides=changes)

    keras = import_keras()
    from fr_train.data.shard_set import read_shard_set
    from fr_train.model.network import build_network
    from fr_train.planning.job import Job
    from fr_train.planning.network_cost import count_network
    from fr_train.planning.plan import Machine, Plan
    from fr_train.planning.rates import PUBLISHED, Rates

    size = image_size or settings.image_size or (112, 112)
    if shards:
        shard_set = read_shard_set(shards)
        num_classes, num_images = shard_set.num_classes, shard_set.num_images["train"]
        size = image_size or settings.image_size or shard_set.image_size
    job = Job(
        num_classes=num_classes or 0,
        num_images=num_images or 0,
        config=settings,
        num_devices=devices,
        head=head,
    )
    rates = Rates.read(rates_path) if rates_path else PUBLISHED
    keras.config.set_dtype_policy(settings.precision)
    network = build_network(settings.model, image_size=(size[0], size[1]))
    if measure:
        from fr_train.planning.measure import measure_rates

        rates = measure_rates(job, network, count_network(network))
    cost = count_network(network, on_cpu=rates.on_cpu)
    machine = Machine(
        rates=rates,
        device_bytes=round(device_memory * GIB),
        link_bytes=interconnect * 1e9 if interconnect else None,
    )
    made = Plan(job, cost, machine)
    for warning in made.warnings():
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(made.to_dict(), indent=1))
        return
    for line in made.describe():
        click.echo(line)
