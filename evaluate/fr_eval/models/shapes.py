"""What a network takes and gives, by the shapes that it states."""

from collections.abc import Sequence
from dataclasses import dataclass

from fr_eval.errors import ModelError

__all__ = ["LAYOUTS", "ImageInput", "read_image_input", "read_num_values", "require_one"]

# layout: the axes of channels, height and width
LAYOUTS = {"nhwc": (3, 1, 2), "nchw": (1, 2, 3)}

Shape = Sequence[int | None]


@dataclass(frozen=True)
class ImageInput:
    """The images that a network takes.

    Attributes:
        layout: "nhwc" or "nchw".
        size: (height, width).
        batch_size: the one number of images that it takes; None for any.
    """

    layout: str
    size: tuple[int, int]
    batch_size: int | None


def read_image_input(shape: Shape, layout: str | None, *, name: str) -> ImageInput:
    """Reads the shape of a network's input.

    Args:
        shape: four numbers, None where any will do.
        layout: a key of `LAYOUTS`; None to find it by the axis that has three channels.
        name: the model's name or file, for the message.

    Raises:
        ModelError: no RGB images, or of no fixed height and width; or the layout is not to be seen, or another.
    """
    if layout is not None and layout not in LAYOUTS:
        raise ModelError(f"{name}: expected a layout of {', '.join(LAYOUTS)}; received {layout!r}")
    shown = f"({', '.join(map(str, shape))})"
    found = [key for key, (channels, *_) in LAYOUTS.items() if len(shape) == 4 and shape[channels] == 3]
    if layout is None and len(found) == 1:
        layout = found[0]
    elif layout is None or layout not in found:
        wanted = "(None, 3, height, width)" if layout == "nchw" else "(None, height, width, 3)"
        advice = "; say with --layout where its channels are" if len(found) == 2 else ""
        raise ModelError(f"{name}: expected an input of RGB images {wanted}; received {shown}{advice}")
    _, height, width = (shape[axis] for axis in LAYOUTS[layout])
    if not height or not width:
        raise ModelError(
            f"{name}: expected an input of RGB images of a fixed height and width; received {shown}. Save the network with "
            "the size that it was trained with"
        )
    return ImageInput(layout, (height, width), shape[0])


def read_num_values(shape: Shape, *, name: str) -> int:
    """Reads the number of values of an embedding out of the shape of a network's output.

    Raises:
        ModelError: not one row of values an image.
    """
    if len(shape) != 2 or not shape[1]:
        raise ModelError(
            f"{name}: expected an output of embeddings (None, D); received ({', '.join(map(str, shape))}). Save the "
            "network up to its embedding"
        )
    return shape[1]


def require_one(things: Sequence[object], *, name: str, kind: str, wanted: str) -> None:
    """Checks that a network has one input, or one output.

    Raises:
        ModelError: it has none, or several.
    """
    if len(things) != 1:
        raise ModelError(
            f"{name}: expected one {kind}, the {wanted}; received {len(things)} {kind}s. Save the embedding network alone"
        )
