"""What every network is to evaluation, whatever its format."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fr_eval.errors import ModelError
from fr_eval.models.shapes import ImageInput

__all__ = ["Embedder", "Embeddings", "Forward", "Images"]

Images = npt.NDArray[np.uint8]
Embeddings = npt.NDArray[np.float32]
Forward = Callable[[Images], Embeddings]


@dataclass(frozen=True, eq=False)
class Embedder:
    """A network that gives embeddings of RGB images, with its pixel scaling.

    Attributes:
        forward: embeddings (B, D) of one batch, uint8, (B, H, W, 3), contiguous.
        image_input: the images that the network takes.
        embedding_size: D.
        scaling: a key of `fr_eval.models.scaling.SCALINGS`.
        format: "Keras", "ONNX" and so on.
        name: its file's name or its own.
        path: its file or folder, where it has one.
        digest: SHA-256 of that; empty for a network in memory.
    """

    forward: Forward = field(repr=False)
    image_input: ImageInput
    embedding_size: int
    scaling: str
    format: str
    name: str
    path: Path | None = None
    digest: str = ""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.image_input.size

    def embed(self, images: Images, *, mirror: bool = False, batch_size: int = 64) -> Embeddings:
        """Gives embeddings, not normalised.

        Args:
            images: RGB, uint8, shape (N, H, W, 3) with the network's H and W.
            mirror: give f(x) + f(mirror(x)), as the InsightFace protocol does, and not f(x).
            batch_size: images that go through the network at a time, where it has no fixed number of its own.

        Returns:
            float32, shape (N, D).

        Raises:
            ModelError: the images have another shape or type, or the network fails on them.
        """
        expected = (*self.input_size, 3)
        if images.dtype != np.uint8 or images.shape[1:] != expected:
            raise ModelError(
                f"{self.name}: expected images of uint8 and the shape (N, {', '.join(map(str, expected))}); "
                f"received {images.dtype} and {images.shape}"
            )
        plain = self._embed_batches(images, batch_size)
        return plain + self._embed_batches(images[:, :, ::-1], batch_size) if mirror else plain

    def _embed_batches(self, images: Images, batch_size: int) -> Embeddings:
        fixed = self.image_input.batch_size
        embeddings = np.empty((len(images), self.embedding_size), np.float32)
        for start in range(0, len(images), fixed or batch_size):
            batch = np.ascontiguousarray(images[start : start + (fixed or batch_size)])
            count = len(batch)
            if fixed and count < fixed:
                batch = np.concatenate([batch, np.zeros((fixed - count, *batch.shape[1:]), np.uint8)])
            found = self.forward(batch)
            if found.shape != (len(batch), self.embedding_size):
                raise ModelError(
                    f"{self.name}: expected embeddings of the shape {(len(batch), self.embedding_size)} of "
                    f"{len(batch)} images; received {found.shape}"
                )
            embeddings[start : start + count] = found[:count]
        return embeddings
