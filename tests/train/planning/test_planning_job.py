"""The training that is planned."""

import pytest

from fr_train.config.config_file import parse_config
from fr_train.errors import ConfigError
from fr_train.planning.job import Job


def job(*, num_classes=1000, num_images=100_000, num_devices=1, head="replicated", **config):
    return Job(
        num_classes=num_classes,
        num_images=num_images,
        config=parse_config(config),
        num_devices=num_devices,
        head=head,
    )


def test_on_one_device_everything_is_there():
    made = job(batch_size=96)
    assert (made.images_per_device, made.head_batch, made.head_rows, made.sampled_rows) == (96, 96, 1000, 1000)
    assert made.num_steps == 1041


def test_a_replicated_head_sees_the_images_of_its_device_and_all_classes():
    made = job(batch_size=96, num_devices=3)
    assert (made.images_per_device, made.head_batch, made.head_rows) == (32, 32, 1000)


def test_a_sharded_head_sees_all_images_and_its_classes():
    made = job(batch_size=96, num_devices=3, head="sharded")
    assert (made.images_per_device, made.head_batch, made.head_rows) == (32, 96, 334)


@pytest.mark.parametrize(
    ("sample_rate", "head", "rows"),
    [
        (0.2, "replicated", 200),
        (0.2, "sharded", 50),
        (0.01, "replicated", 96),  # no fewer than images
        (0.01, "sharded", 24),
    ],
)
def test_a_sampled_head_looks_at_a_part_of_its_rows(sample_rate, head, rows):
    made = job(batch_size=96, num_devices=4, head=head, model={"sample_rate": sample_rate})
    assert made.sampled_rows == rows
    assert made.head_rows == (250 if head == "sharded" else 1000)


def test_sub_centers_are_rows():
    made = job(model={"subcenters": 3}, num_devices=4, head="sharded")
    assert (made.head_rows, made.sampled_rows) == (750, 750)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_devices": 3, "batch_size": 128}, "batch_size: expected a multiple of the 3 devices, received 128"),
        ({"num_devices": 0}, "devices: expected 1 or more, received 0"),
        ({"num_classes": 1}, "classes: expected 2 or more, received 1"),
        ({"num_images": 0}, "images: expected 1 or more, received 0"),
        ({"head": "halved"}, "head: expected replicated or sharded, received 'halved'"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        job(**options)
