"""Small bins of drawn pairs."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fr_data.bins.bins import write_bin


def encode(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def draw_pairs(num_pairs: int, *, size: int = 16, seed: int = 0) -> tuple[list[bytes], list[bool]]:
    """Pairs of coloured noise; same pairs share their colour, each second pair is of two colours."""
    rng = np.random.default_rng(seed)
    images = []
    for pair in range(num_pairs):
        colours = rng.integers(0, 255, (2, 3))
        for side in (0, 1):
            colour = colours[0 if pair % 2 == 0 else side]
            noise = rng.integers(-12, 12, (size, size, 3))
            images.append(encode((colour + noise).clip(0, 255).astype(np.uint8)))
    return images, [pair % 2 == 0 for pair in range(num_pairs)]


@pytest.fixture
def images() -> list[bytes]:
    return draw_pairs(6)[0]


@pytest.fixture
def bin_path(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.bin"
    write_bin(path, *draw_pairs(40))
    return path
