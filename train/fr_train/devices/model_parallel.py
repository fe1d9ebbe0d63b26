"""The classes over several devices: of all that has a row a class, each device holds, trains and compares with its part.

Keras lays variables out, and XLA moves what a step needs of one device on another: embeddings and labels of the batch, and a few
numbers an image for softmax and margins; neither class weights nor logits. Each device has as many rows, so that there may be more
of them than classes. Those behind the last class stay zero, no logit of theirs counts, and no checkpoint holds them.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fr_train.config.config import require

__all__ = ["ClassRows", "PaddedRows", "class_rows", "count_rows", "hide_padding", "lay_logits", "lay_over_devices"]

Tensor = Any
AXIS = "devices"
LAYOUTS = {  # by path; the optimizer's slots lie as their variable does
    r"(.*/)?class_weights(_\w+)?": (AXIS,),
    r"sampled_class_weights": (AXIS,),
    r".*/centers": (AXIS,),
}
NO_LOGIT = -1e9  # below every logit; −inf would make the gradients of some margins NaN


class _ClassParallel(keras.distribution.ModelParallel):
    def __init__(self, device_names: list[str], num_classes: int) -> None:
        mesh = keras.distribution.DeviceMesh((len(device_names),), [AXIS], device_names)
        layouts = keras.distribution.LayoutMap(mesh)
        layouts.update(LAYOUTS)
        super().__init__(layout_map=layouts, batch_dim_name=AXIS)
        self.num_classes = num_classes


def lay_over_devices(num_devices: int, *, num_classes: int, batch_size: int) -> None:
    """Lays what is built from now on over the first devices: class weights and batches in parts, all else as a copy on each.

    Args:
        num_devices: how many; 0 is all.
        num_classes: C.
        batch_size: B.

    Raises:
        ConfigError: if there are fewer, or they cannot share a batch evenly.
    """
    found = keras.distribution.list_devices()
    require(num_devices <= len(found), "devices", f"at most {len(found)} ({', '.join(found)})", num_devices)
    names = found[: num_devices or None]
    expected = f"a multiple of the {len(names)} devices that share it"
    require(batch_size % len(names) == 0, "batch_size", expected, batch_size)
    keras.distribution.set_distribution(_ClassParallel(names, num_classes) if len(names) > 1 else None)


def count_rows(count: int) -> int:
    """Gives how many rows are kept for so many: the same number on each device."""
    distribution = keras.distribution.distribution()
    num_devices = distribution.num_model_replicas if isinstance(distribution, _ClassParallel) else 1
    return -(-count // num_devices) * num_devices


@keras.saving.register_keras_serializable("fr_train")
class PaddedRows(keras.initializers.Initializer):
    """Draws the rows of the classes as if there were no others, and zeros for those.

    Args:
        initializer: of the classes.
        num_classes: C.
    """

    def __init__(self, initializer: Any, num_classes: int) -> None:
        self.initializer, self.num_classes = keras.initializers.get(initializer), num_classes

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """Gives an array of the shape (R, ...), R at least C."""
        rows = self.initializer((self.num_classes, *shape[1:]), dtype)
        padding = [(0, shape[0] - self.num_classes), *[(0, 0)] * (len(shape) - 1)]
        return ops.pad(rows, padding) if shape[0] > self.num_classes else rows

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {"initializer": keras.initializers.serialize(self.initializer), "num_classes": self.num_classes}


def hide_padding(logits: Tensor, num_classes: int) -> Tensor:
    """Makes logits (B, R) of rows that are no class smaller than any other, and their gradient 0."""
    if logits.shape[1] == num_classes:
        return logits
    return ops.where(ops.arange(logits.shape[1]) < num_classes, logits, NO_LOGIT)


def lay_logits(logits: Tensor) -> Tensor:
    """Leaves logits (B, R) with the class weights that they are of: each device has all rows, of its classes."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return logits
    layout = keras.distribution.TensorLayout([None, AXIS], distribution.device_mesh)
    return keras.distribution.distribute_tensor(logits, layout)


class ClassRows:
    """The rows of the classes in a variable, as a variable of its own to checkpoints: a path, a shape, a value.

    Args:
        variable: (R, ...), over several devices.
        num_classes: C.
    """

    def __init__(self, variable: Any, num_classes: int) -> None:
        self._variable = variable
        self.path, self.shape = variable.path, (num_classes, *variable.shape[1:])

    def assign(self, value: Any) -> None:
        """Sets them to (C, ...); each device is given its part alone."""
        import jax  # noqa: PLC0415  nothing else lays variables over devices

        rows = np.zeros(self._variable.shape, dtype=self._variable.dtype)
        rows[: self.shape[0]] = value
        self._variable.assign(jax.device_put(rows, self._variable.value.sharding))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Gathers them, (C, ...)."""
        return np.asarray(self._variable.value, dtype=dtype)[: self.shape[0]]


def class_rows(variable: Any) -> Any:
    """Gives a variable as checkpoints know it: of one that is laid over devices by class, the rows of the classes."""
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, _ClassParallel) or AXIS not in variable.value.sharding.spec[:1]:
        return variable
    return ClassRows(variable, distribution.num_classes)
