"""Images to calibrate and to check an export with: out of shards, or drawn."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fr_data.images.decode import decode_image
from fr_eval.errors import BinError, FaceSetError
from fr_eval.faces.face_shards import read_face_shards
from fr_eval.models.embedder import Images

__all__ = ["draw_images", "read_shard_images"]

_BLOBS = 7  # patches of colour along a drawn image's sides


def read_shard_images(folder: Path, count: int, *, size: tuple[int, int]) -> Images:
    """Reads images that lie evenly over a data set of `fr-prep`.

    Args:
        folder: the data set.
        count: how many; of a smaller set, all.
        size: (height, width) to resize to, where they are of another size.

    Returns:
        RGB, uint8, shape (n, height, width, 3).

    Raises:
        FaceSetError: the folder is no such set, or an image is damaged.
    """
    faces = read_face_shards(folder)
    total = len(faces.labels)
    rows = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int)).tolist()

    def load(row: int) -> Images:
        try:
            return decode_image(faces.read(row), size=size)
        except BinError as error:
            raise FaceSetError(f"{faces.locate(row)}: {error}") from error

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(load, rows)))


def draw_images(count: int, *, size: tuple[int, int], seed: int = 0) -> Images:
    """Draws smooth patches of random colours under fine noise: no faces, but each network tells them apart.

    Args:
        count: how many.
        size: (height, width).
        seed: of the colours.

    Returns:
        RGB, uint8, shape (count, height, width, 3).
    """
    from PIL import Image  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    images = np.empty((count, *size, 3), np.uint8)
    for image in images:
        patches = Image.fromarray(rng.integers(0, 256, (_BLOBS, _BLOBS, 3), dtype=np.uint8))
        smooth = np.asarray(patches.resize(size[::-1], Image.Resampling.BICUBIC), np.int16)
        image[:] = np.clip(smooth + rng.integers(-16, 17, image.shape), 0, 255)
    return images
