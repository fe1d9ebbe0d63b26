"""Options that several sub-commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["SCALINGS", "json_option", "model_options", "no_mirror_option", "quiet_option", "scaling_option"]

Function = TypeVar("Function", bound=Callable[..., Any])

# Those of `fr_eval.models.scaling`, by test: that module would import more than click.
SCALINGS = ("none", "127.5", "128", "255")


def scaling_option(function: Function) -> Function:
    """Adds `--scaling`."""
    return click.option(
        "--scaling",
        type=click.Choice(SCALINGS),
        help="Pixel scaling before the network. none: the network scales 0..255 by itself; 127.5: (x-127.5)/127.5; "
        "128: (x-127.5)/128; 255: x/255. Needed only where the network does not say it.",
    )(function)


def model_options(function: Function) -> Function:
    """Adds `--model`, `--scaling`, `--layout`, `--batch-size` and `--workers`: what embedding images needs."""
    for option in (
        click.option(
            "--workers", type=click.IntRange(min=1), show_default="one a core", help="Threads that decode images."
        ),
        click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Images a batch."),
        click.option(
            "--layout",
            type=click.Choice(["nhwc", "nchw"]),
            help="Where the network's input has its channels, if its shape does not say it.",
        ),
        scaling_option,
        click.option(
            "--model",
            "model_path",
            required=True,
            metavar="MODEL",
            type=click.Path(),
            help="The embedding network, one RGB image in, one embedding out: .keras, .h5, .onnx, .tflite, or a SavedModel "
            "folder.",
        ),
    ):
        function = option(function)
    return function


def no_mirror_option(function: Function) -> Function:
    """Adds `--no-mirror`."""
    return click.option("--no-mirror", is_flag=True, help="Embed f(x) alone, and not f(x) + f(mirror(x)).")(function)


def json_option(function: Function) -> Function:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def quiet_option(function: Function) -> Function:
    """Adds `--quiet`."""
    return click.option("--quiet", is_flag=True, help="No progress bar and no warnings on stderr.")(function)
