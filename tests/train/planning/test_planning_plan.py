"""A training on paper: time, what fits, and what would."""

import pytest

from fr_train.config.config_file import parse_config
from fr_train.planning.job import Job
from fr_train.planning.network_cost import NetworkCost
from fr_train.planning.plan import Machine, Plan
from fr_train.planning.rates import PUBLISHED, Rates

IRESNET50 = NetworkCost(
    embedding_size=512,
    num_weights=43_628_992,
    num_trainable=43_590_848,
    forward_flops=12_618_661_888,
    kept_values=19_306_240,
    mask_bytes=3_738_112,
)
RATES = Rates(network_flops=1e12, head_flops=5e11, precision="float32", source="by hand")
GIB = 2**30


def plan(
    *,
    num_classes=3_000_000,
    device_gib=32.0,
    rates=PUBLISHED,
    link_bytes=None,
    precision="mixed_float16",
    batch_size=1024,
    sample_rate=1.0,
    **job,
):
    config = parse_config({"batch_size": batch_size, "precision": precision, "model": {"sample_rate": sample_rate}})
    return Plan(
        Job(num_classes=num_classes, num_images=10_240_000, config=config, **{"num_devices": 8, **job}),
        IRESNET50,
        Machine(rates=rates, device_bytes=round(device_gib * GIB), link_bytes=link_bytes),
    )


@pytest.mark.parametrize(("sample_rate", "images_per_second"), [(1.0, 2271), (0.1, 5300)])
def test_published_rates_give_back_what_was_published(sample_rate, images_per_second):
    made = plan(head="sharded", sample_rate=sample_rate)
    assert made.images_per_second == pytest.approx(images_per_second, rel=0.01)


def test_times_are_operations_by_rates_and_bytes_by_the_link():
    made = plan(num_devices=2, batch_size=100, num_classes=1000, precision="float32", rates=RATES, link_bytes=1e9)
    seconds = made.seconds()
    assert seconds["network"] == pytest.approx(3 * 12_618_661_888 * 50 / 1e12)
    assert seconds["head"] == pytest.approx(6 * 50 * 512 * 1000 / 5e11)
    assert seconds["traffic"] == pytest.approx((43_590_848 + 512_000) * 4 / 1e9)
    assert made.step_seconds == pytest.approx(sum(seconds.values()))
    assert made.images_per_second == pytest.approx(100 / made.step_seconds)
    assert made.epoch_hours == pytest.approx(102_400 * made.step_seconds / 3600)
    assert made.warnings() == []


def test_what_does_not_fit_names_its_largest_part_and_what_would_help():
    made = plan(precision="float32", rates=RATES, link_bytes=1e9)
    assert not made.fits()
    (warning,) = made.warnings()
    assert warning.startswith("it does not fit: 33.")
    assert "GiB of 32.00, most of it head logits and gradients (11.44 GiB)." in warning
    assert "It fits with --head sharded (" in warning
    assert " or --sample-rate 0.1 (" in warning
    assert " or --batch-size 512 (" in warning
    assert " or --precision mixed_bfloat16 (" in warning


def test_where_no_single_change_helps_several_are_named_and_each_holds():
    made = plan(device_gib=5, precision="float32", rates=RATES, link_bytes=1e9)
    (warning,) = made.warnings()
    assert "It fits with --head sharded --batch-size 512 --precision mixed_bfloat16 (" in warning or (
        "It fits with --head sharded --sample-rate 0.1 --batch-size 512 --precision mixed_bfloat16 (" in warning
    )
    helped = plan(
        device_gib=5,
        head="sharded",
        sample_rate=0.1,
        batch_size=512,
        precision="mixed_bfloat16",
        rates=RATES,
        link_bytes=1e9,
    )
    assert helped.fits()


def test_where_nothing_helps_it_says_so():
    (warning,) = plan(device_gib=1, rates=RATES, precision="float32", link_bytes=1e9).warnings()
    assert warning.endswith("Take more or larger devices, or a smaller network.")


def test_a_device_that_is_nearly_full_is_warned_of():
    total = sum(plan(head="sharded").memory().values()) / GIB
    (warning,) = plan(head="sharded", device_gib=total * 1.05, link_bytes=1e9).warnings()
    assert warning == f"it is tight: {total:.2f} GiB of {total * 1.05:.2f}, and the framework needs some as well."


def test_rates_of_another_precision_and_a_link_that_is_not_known_are_said():
    assert plan(num_classes=1000, precision="float32").warnings() == [
        "the rates are those of mixed_float16, the run is to use float32.",
        "the time of traffic is left out: give the speed of the link by --interconnect.",
    ]
    assert plan(num_classes=1000, precision="mixed_bfloat16", num_devices=1, batch_size=128).warnings() == []


def test_the_text_has_every_part_and_its_sum():
    made = plan(head="sharded", sample_rate=0.1)
    text = "\n".join(made.describe())
    for line in (
        "3,000,000 classes, 10,240,000 images, 8 devices",
        "a batch of 1,024 (128 a device), mixed_float16",
        "head shared out over the devices, 0.1 of the classes a step",
        "  activations                          5.05",
        "  embedding gradients                  1.84",
        "5,293 images/s, which the input must bring",
        "0.54 hours an epoch of 10,000 steps",
    ):
        assert line in text
    assert made.to_dict()["memory"]["total"] == sum(made.memory().values())
    assert made.to_dict()["traffic"]["total"] == sum(made.traffic().values())
