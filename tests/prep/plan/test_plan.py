"""Tests of the plan: order, shards, splits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_prep.errors import SourceError
from fr_prep.plan.plan import Plan, PlanSettings, make_plan, shuffle_keys

LABELS = st.lists(st.integers(0, 8), min_size=1, max_size=120)
SEEDS = st.integers(0, 2**63 - 1)


def plan(labels: list[int], *, lengths: list[int] | None = None, **settings: object) -> Plan:
    image_lengths = np.array(lengths or [1000] * len(labels), dtype=np.int64)
    return make_plan(np.array(labels, dtype=np.int64), image_lengths, settings=PlanSettings(**settings))


def rows(made: Plan, split: str = "train") -> list[int]:
    return np.concatenate(made.splits[split]).tolist() if split in made.splits else []


def test_the_shuffle_of_seed_1_is_golden() -> None:
    # No release may change these: shards of the same set would differ.
    assert shuffle_keys(4, 1).tolist() == [
        6791897765849424158,
        17405687883870564846,
        834844254806117752,
        14341179868655528873,
    ]
    assert rows(plan([0] * 12, seed=1, num_shards=1)) == [2, 8, 4, 9, 7, 0, 10, 6, 5, 3, 11, 1]
    assert rows(plan([0] * 12, seed=0, num_shards=1)) == [11, 5, 7, 8, 2, 10, 9, 0, 3, 1, 6, 4]


def test_the_validation_split_of_seed_1_is_golden() -> None:
    made = plan([0] * 6 + [1] * 6, seed=1, num_shards=2, validation_fraction=0.25)
    assert [shard.tolist() for shard in made.splits["train"]] == [[9, 7, 0, 10, 6], [5, 3, 11, 1]]
    assert [shard.tolist() for shard in made.splits["validation"]] == [[2, 8, 4]]


def test_shuffle_keys_are_those_of_a_plain_splitmix64() -> None:
    def mix(value: int) -> int:
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        return value ^ value >> 31

    gamma = 0x9E3779B97F4A7C15
    for seed in (0, 1, 2**63 - 1):
        base = mix((seed + gamma) % 2**64)
        assert shuffle_keys(20, seed).tolist() == [mix((base + n * gamma) % 2**64) for n in range(1, 21)]


@given(
    labels=LABELS,
    seed=SEEDS,
    shards=st.integers(1, 6),
    fraction=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]),
    min_images=st.integers(1, 4),
    shuffle=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_every_record_is_in_exactly_one_place(
    labels: list[int], seed: int, shards: int, fraction: float, min_images: int, shuffle: bool
) -> None:
    try:
        made = plan(
            labels,
            seed=seed,
            num_shards=shards,
            validation_fraction=fraction,
            min_images=min_images,
            shuffle=shuffle,
        )
    except SourceError:
        return  # too few images for the shards, or no class left
    kept = [row for row, label in enumerate(labels) if labels.count(label) >= min_images]
    assert sorted(rows(made) + rows(made, "validation")) == kept
    assert made.num_images == len(kept)
    assert [row for row in range(len(labels)) if made.labels[row] >= 0] == kept
    for parts in made.splits.values():
        lengths = [len(part) for part in parts]
        assert max(lengths) - min(lengths) <= 1
        assert min(lengths) >= 1
    assert len(made.splits["train"]) == shards
    per_class = made.images_per_class("train") + made.images_per_class("validation")
    assert per_class.tolist() == made.classes.num_images.tolist()
    assert (made.images_per_class("train") >= 1).all()


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=10),
    seed=SEEDS,
    fraction=st.floats(0.01, 0.99, allow_nan=False),
)
@settings(max_examples=200, deadline=None)
def test_validation_takes_its_fraction_of_each_class_and_never_a_last_image(
    counts: list[int], seed: int, fraction: float
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    wanted = round(float((np.array(counts) * fraction).sum()))
    could_give = sum(min(int(count * fraction) + 1, count - 1) for count in counts)
    if min(wanted, could_give) == 0:
        with pytest.raises(SourceError, match="sets none apart"):
            plan(labels, seed=seed, num_shards=1, validation_fraction=fraction)
        return
    made = plan(labels, seed=seed, num_shards=1, validation_fraction=fraction)
    taken = made.images_per_class("validation").tolist()
    for count, number in zip(counts, taken, strict=True):
        assert number <= count - 1
        assert min(int(count * fraction), count - 1) <= number <= int(count * fraction) + 1
    assert sum(taken) == pytest.approx(min(wanted, could_give), abs=1)


@given(labels=LABELS, seed=SEEDS, first=st.integers(1, 9), second=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_the_order_does_not_depend_on_the_number_of_shards(
    labels: list[int], seed: int, first: int, second: int
) -> None:
    first, second = min(first, len(labels)), min(second, len(labels))
    assert rows(plan(labels, seed=seed, num_shards=first)) == rows(plan(labels, seed=seed, num_shards=second))


@given(labels=LABELS, seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_the_order_depends_on_nothing_but_seed_and_number_of_records(labels: list[int], seed: int) -> None:
    order = rows(plan(labels, seed=seed, num_shards=1))
    assert order == rows(plan([0] * len(labels), seed=seed, num_shards=1, lengths=[7] * len(labels)))


def test_another_seed_is_another_order_and_another_validation_split() -> None:
    labels = [label for label in range(10) for _ in range(20)]
    made = [plan(labels, seed=seed, num_shards=1, validation_fraction=0.2) for seed in range(20)]
    assert len({tuple(rows(one)) for one in made}) == 20
    assert len({tuple(sorted(rows(one, "validation"))) for one in made}) == 20


def test_each_record_is_equally_likely_in_each_half() -> None:
    first_half = np.zeros(40)
    for seed in range(400):
        first_half[rows(plan([0] * 40, seed=seed, num_shards=1))[:20]] += 1
    assert (np.abs(first_half - 200) < 5 * np.sqrt(400 * 0.25)).all()


def test_without_shuffle_both_splits_are_in_source_order() -> None:
    made = plan([0, 1] * 20, shuffle=False, num_shards=3, validation_fraction=0.2)
    assert rows(made) == sorted(rows(made))
    assert rows(made, "validation") == sorted(rows(made, "validation"))


def test_the_same_images_are_validated_with_and_without_shuffle() -> None:
    shuffled, plain = (
        plan([0, 1] * 20, shuffle=shuffle, num_shards=3, seed=4, validation_fraction=0.2) for shuffle in (True, False)
    )
    assert sorted(rows(shuffled, "validation")) == rows(plain, "validation")


def test_shards_are_at_least_8_and_as_large_as_wished() -> None:
    assert len(plan([0] * 100).splits["train"]) == 8
    assert len(plan([0] * 5).splits["train"]) == 5
    assert len(plan([0] * 100, shard_bytes=5 * 1160).splits["train"]) == 20


def test_a_shard_size_below_an_image_gives_a_shard_an_image() -> None:
    assert len(plan([0] * 10, shard_bytes=100).splits["train"]) == 10


def test_a_small_validation_split_has_no_more_shards_than_images() -> None:
    # 10 people of one image, who can give none, and one of four.
    made = plan([*range(10), 10, 10, 10, 10], validation_fraction=0.5)
    assert len(made.splits["validation"]) <= 3


def test_more_shards_than_images_are_refused() -> None:
    with pytest.raises(SourceError, match="3 images, too few for 4 shards"):
        plan([0, 0, 1], num_shards=4)


def test_a_limit_that_no_class_meets_is_refused() -> None:
    with pytest.raises(SourceError, match="No class has 9 images or more; the largest has 2"):
        plan([0, 0, 1], min_images=9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_shards": 0},
        {"num_shards": 100_000},
        {"shard_bytes": 0},
        {"seed": -1},
        {"seed": 1 << 63},
        {"split_by": "identity"},
        {"validation_fraction": 1.0},
        {"validation_fraction": -0.1},
        {"validation_fraction": float("nan")},
        {"min_images": 0},
    ],
)
def test_settings_outside_their_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PlanSettings(**wrong)


def test_a_split_by_identity_sets_whole_classes_apart_and_numbers_them_last():
    labels = [person * 10 for person in range(20) for _ in range(5)]
    made = plan(labels, num_shards=2, seed=3, validation_fraction=0.25, split_by="identity")
    train, validation = (np.concatenate(made.splits[name]) for name in ("train", "validation"))
    assert sorted([*train, *validation]) == list(range(100))
    assert (len(train), len(validation)) == (75, 25)
    assert set(made.labels[train]) == set(range(15)) == set(made.split_classes["train"])
    assert set(made.labels[validation]) == set(range(15, 20)) == set(made.split_classes["validation"])
    people = np.array(labels)
    for dense, person in enumerate(made.classes.source_labels.tolist()):
        assert set(made.labels[people == person]) == {dense}
    for part in (made.classes.source_labels[:15], made.classes.source_labels[15:]):
        assert (np.diff(part) > 0).all()


def test_another_seed_sets_other_identities_apart():
    labels = [person for person in range(40) for _ in range(2)]
    chosen = [
        plan(labels, num_shards=1, seed=seed, validation_fraction=0.25, split_by="identity").classes.source_labels[30:]
        for seed in range(2)
    ]
    assert chosen[0].tolist() != chosen[1].tolist()


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_a_fraction_that_leaves_no_identity_on_one_side_is_refused(fraction):
    with pytest.raises(SourceError, match="--validation-fraction"):
        plan([0, 0, 1, 1, 2, 2], num_shards=1, validation_fraction=fraction, split_by="identity")
