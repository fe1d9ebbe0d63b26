"""TensorFlow as a helper on the host, whatever backend trains: it augments images and writes TensorBoard's files."""

from typing import Any

import keras

from fr_eval.errors import MissingTensorFlowError
from fr_eval.models.frameworks import import_tensorflow

__all__ = ["import_host_tensorflow"]


def import_host_tensorflow(key: str) -> Any:
    """Imports TensorFlow; beside another backend it leaves the GPUs alone, whose memory it would take.

    Args:
        key: of the config, that needs it.

    Returns:
        The module.

    Raises:
        MissingTensorFlowError: it is not installed.
    """
    try:
        import_tensorflow()
    except MissingTensorFlowError as error:
        raise MissingTensorFlowError(
            f"{key}: is TensorFlow's work under every backend. {error} Or leave it out."
        ) from error
    import tensorflow as tf  # noqa: PLC0415

    if keras.backend.backend() != "tensorflow":
        tf.config.set_visible_devices([], "GPU")
    return tf
