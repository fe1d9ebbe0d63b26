"""A small shard set: each class has its own pattern, with noise on it."""

import io

import numpy as np
import pytest
from PIL import Image

NUM_CLASSES = 5
IMAGES_PER_CLASS = 12
SIZE = 32


def draw(label, index):
    rng = np.random.default_rng([label, index])
    pattern = np.random.default_rng(label).integers(0, 256, (4, 4, 3))
    image = np.kron(pattern, np.ones((SIZE // 4, SIZE // 4, 1))) + rng.normal(0, 25, (SIZE, SIZE, 3))
    buffer = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write_shards(folder, *, sizes=(SIZE,), seed=1):
    from fr_prep.plan.plan import PlanSettings
    from fr_prep.sources.record_sets.image_records import pack_image_record
    from fr_prep.sources.record_sets.record_set import RecordSetSource
    from fr_prep.sources.record_sets.recordio import RecordWriter
    from fr_prep.write.build import BuildSettings, build_dataset

    folder.mkdir(parents=True)
    with (folder / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        for number in range(NUM_CLASSES * IMAGES_PER_CLASS):
            image = draw(number // IMAGES_PER_CLASS, number)
            size = sizes[number % len(sizes)]
            if size != SIZE:
                buffer = io.BytesIO()
                Image.open(io.BytesIO(image)).resize((size, size)).save(buffer, "PNG")
                image = buffer.getvalue()
            writer.write(pack_image_record(float(number // IMAGES_PER_CLASS), key=number, image=image))
    settings = BuildSettings(plan=PlanSettings(num_shards=3, seed=seed), quiet=True)
    build_dataset(RecordSetSource(folder), folder / "shards", settings=settings)
    return folder / "shards"


@pytest.fixture(scope="session")
def draw_image():
    """(label, index) → a JPEG of that class's pattern."""
    return draw


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="session")
def mixed_shards(tmp_path_factory):
    """Images of two sizes, half of them PNG."""
    return write_shards(tmp_path_factory.mktemp("mixed") / "set", sizes=(SIZE, 20))
