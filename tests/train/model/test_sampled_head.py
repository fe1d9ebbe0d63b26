"""A sampled head against the full one, a naive loop, and itself after a restart."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tests.train.run.test_train import config_of, start, weights

from fr_train.config.config import OptimizerConfig, ScheduleConfig
from fr_train.errors import ConfigError
from fr_train.losses.registry import build_losses
from fr_train.model import sampled_head
from fr_train.model.heads import CosineHead, SubCenterHead
from fr_train.model.sampled_head import SampledHead, draw_weights
from fr_train.optim.optimizers import build_optimizer
from fr_train.optim.schedules import Schedule
from fr_train.run.checkpoint import list_checkpoints, read_checkpoint
from fr_train.run.train import train
from fr_train.step.tensorflow import TrainingStep

NUM_CLASSES, BATCH_SIZE, SIZE = 23, 6, 4
SCALE, MARGIN = 8.0, 0.2
COSFACE = {"name": "cosface", "scale": SCALE, "margin": MARGIN}
SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-3}
MORE_OPTIONS = [
    {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0}},
    {"optimizer": {**SGD, "clip_norm": 0.5}},
    {"optimizer": {"name": "adamax", "learning_rate": 0.01, "weight_decay": 0.1}},
    {"scale_loss": True},
    {"xla": True},
    *({"loss": {"name": name}} for name in ("softmax", "arcface", "curricularface", "magface", "adaface")),
]


def made(size, *, optimizer=SGD, loss=COSFACE, subcenters=1, seed=(5, 0), frozen=False, scale_loss=False, xla=False):
    """A step whose network is one dense layer; `size` classes in a sample, None for the full head."""
    inputs = keras.Input((SIZE,))
    network = keras.Model(inputs, keras.layers.Dense(SIZE, use_bias=False, name="dense")(inputs))
    if subcenters > 1:
        head = SubCenterHead(NUM_CLASSES, num_subcenters=subcenters, name="head")
    else:
        head = CosineHead(NUM_CLASSES, name="head")
    head.build((None, SIZE))
    rng = np.random.default_rng(0)
    for variable in (network.variables[0], head.class_weights):
        variable.assign(rng.normal(size=variable.shape))
    head.trainable = not frozen
    sample = SampledHead(head, size=size, seed=seed) if size else None
    loss = build_losses(loss, num_classes=NUM_CLASSES, embedding_size=SIZE)
    trainable = [*network.trainable_variables, *(sample or head).trainable_variables, *loss.trainable_variables]
    schedule = Schedule(ScheduleConfig(), peak=optimizer["learning_rate"], steps_per_epoch=10, epochs=1)
    built = build_optimizer(OptimizerConfig(**optimizer), schedule, trainable, scale_loss=scale_loss)
    if sample:
        sample.add_slots(built)
    step = TrainingStep(network, head, loss, built, trainable=trainable, schedule=schedule, sample=sample, xla=xla)
    of_head = sample.slots if sample else [slot for slot in built.variables if "class_weights" in slot.name]
    return SimpleNamespace(step=step, head=head, network=network, slots=of_head)


def batches(num_steps):
    rng = np.random.default_rng(1)
    for _ in range(num_steps):
        yield rng.normal(size=(BATCH_SIZE, SIZE)).astype(np.float32), rng.integers(0, NUM_CLASSES, BATCH_SIZE)


def take(run, images, labels):
    result = run.step(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(labels, dtype="int32"))
    return type(result)(*(np.asarray(value) for value in result))


def rows_of(run):
    """The class weights and their slots."""
    return [np.array(variable) for variable in (run.head.class_weights, *run.slots)]


def changed_rows(before, after):
    return np.flatnonzero((before != after).reshape(NUM_CLASSES, -1).any(axis=1))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}},
        {"subcenters": 3},
        {"loss": {"name": "center+arcface+triplet_semi_hard"}},
        *(pytest.param(options, marks=pytest.mark.slow) for options in MORE_OPTIONS),
    ],
    ids=lambda options: ",".join(f"{key}={value}" for key, value in options.items()) or "plain",
)
def test_a_sample_of_all_classes_trains_as_the_full_head(options):
    sampled, full = made(NUM_CLASSES, **options), made(None, **options)
    for images, labels in batches(5):
        for one, two in zip(take(sampled, images, labels), take(full, images, labels), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)
    assert len(sampled.slots) == len(full.slots)
    pairs = [*zip(rows_of(sampled), rows_of(full), strict=True), (sampled.network.weights, full.network.weights)]
    for one, two in pairs:
        np.testing.assert_allclose(np.squeeze(one), np.squeeze(two), rtol=1e-5, atol=1e-5)


def naive_step(images, labels, classes, state, learning_rate):
    """CosFace over some classes, a row and a class at a time in float64; then Nesterov, and decay of those classes alone."""
    kernel, rows = state["kernel"], state["rows"]
    of_kernel, of_rows, losses = np.zeros_like(kernel), np.zeros_like(rows), []
    for image, label in zip(images.astype(np.float64), labels, strict=True):
        x = image @ kernel
        x_length = np.linalg.norm(x)
        lengths = {c: np.linalg.norm(rows[c]) for c in classes}
        cosines = {c: x @ rows[c] / x_length / lengths[c] for c in classes}
        powers = {c: np.exp(SCALE * (cosines[c] - MARGIN * (c == label))) for c in classes}
        total = sum(powers.values())
        losses.append(-np.log(powers[label] / total))
        of_x = np.zeros(SIZE)
        for c in classes:
            upstream = SCALE * (powers[c] / total - (c == label)) / BATCH_SIZE
            of_x += upstream * (rows[c] / lengths[c] - cosines[c] * x / x_length) / x_length
            of_rows[c] += upstream * (x / x_length - cosines[c] * rows[c] / lengths[c]) / lengths[c]
        of_kernel += np.outer(image, of_x)
    whole = range(SIZE)
    for name, gradient, part in (("kernel", of_kernel, whole), ("rows", of_rows, classes)):
        value, momentum = state[name], state[f"{name}_momentum"]
        for row in part:
            value[row] -= value[row] * learning_rate * SGD["weight_decay"]
            momentum[row] = SGD["momentum"] * momentum[row] - learning_rate * gradient[row]
            value[row] += SGD["momentum"] * momentum[row] - learning_rate * gradient[row]
    return losses


def test_at_a_lower_rate_steps_are_those_of_a_naive_loop_and_other_rows_stay_bit_for_bit():
    size, run = 9, made(9)
    state = {"kernel": np.array(run.network.variables[0], np.float64), "rows": np.array(run.head.class_weights, float)}
    state |= {f"{name}_momentum": np.zeros_like(value) for name, value in state.items()}
    samples = []
    for images, labels in batches(6):
        before, learning_rate = rows_of(run), run.step.learning_rate()
        result = take(run, images, labels)
        after = rows_of(run)
        classes = changed_rows(before[0], after[0])  # decay moves every row of the sample
        assert len(classes) == size
        assert set(labels) <= set(classes)
        np.testing.assert_array_equal(changed_rows(before[1], after[1]), classes)
        expected = naive_step(images, labels, classes.tolist(), state, learning_rate)
        np.testing.assert_allclose(result.losses, expected, rtol=1e-4)
        assert result.is_finite
        samples.append(set(classes) - set(labels))
    for received, name in zip(rows_of(run), ("rows", "rows_momentum"), strict=True):
        np.testing.assert_allclose(received, state[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.network.variables[0], state["kernel"], rtol=1e-4, atol=1e-5)
    assert len({frozenset(sample) for sample in samples}) == 6


def test_rows_that_are_not_drawn_keep_their_adam_moments_and_do_not_decay():
    run = made(8, optimizer={"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1})
    assert len(run.slots) == 2
    for images, labels in batches(3):
        before = rows_of(run)
        take(run, images, labels)
        changed = [changed_rows(one, two).tolist() for one, two in zip(before, rows_of(run), strict=True)]
        assert len(changed[0]) == 8
        assert changed == [changed[0]] * 3


def test_the_sample_is_that_of_seed_and_step():
    def classes_of(seed, num_steps=2):
        run, found = made(10, seed=seed), []
        for _ in range(num_steps):
            before = rows_of(run)[0]
            take(run, *next(batches(1)))
            found.append(changed_rows(before, rows_of(run)[0]).tolist())
        return found

    assert classes_of((5, 0)) == classes_of((5, 0))
    drawn = [classes for seed in ((5, 0), (5, 1), (6, 0), (0, 5)) for classes in classes_of(seed)]
    assert len({tuple(classes) for classes in drawn}) == 8


def test_the_accuracy_is_of_the_batch_among_the_sample():
    run = made(8)
    labels = np.arange(BATCH_SIZE)
    images = np.linalg.solve(np.array(run.network.variables[0]).T, np.array(run.head.class_weights)[labels].T).T
    assert take(run, images.astype(np.float32), labels).accuracy == 1.0


def test_a_step_that_is_no_number_moves_no_row():
    run = made(8)
    images, labels = next(batches(1))
    take(run, images, labels)
    before = rows_of(run)
    images[2] = np.nan
    assert not take(run, images, labels).is_finite
    for one, two in zip(before, rows_of(run), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_frozen_head_is_compared_with_and_not_moved():
    run = made(8, frozen=True)
    before, kernel = rows_of(run), np.array(run.network.variables[0])
    for images, labels in batches(2):
        assert np.isfinite(take(run, images, labels).losses).all()
    assert run.slots == []
    np.testing.assert_array_equal(before[0], rows_of(run)[0])
    assert (np.array(run.network.variables[0]) != kernel).all()


def test_a_checkpoint_holds_weights_and_slots_of_all_classes_and_nothing_of_a_sample():
    shapes = {name: tuple(variable.shape) for name, variable in made(8).step.variables().items()}
    assert [shape for name, shape in shapes.items() if "class_weights" in name] == [(NUM_CLASSES, SIZE)] * 2
    assert not any("sampled" in name for name in shapes)


def test_weights_drawn_in_blocks_are_as_many_as_the_classes_and_all_of_their_own(monkeypatch):
    monkeypatch.setattr(sampled_head, "BLOCK_ROWS", 1000)

    def drawn(seed):
        keras.utils.set_random_seed(seed)
        head = SubCenterHead(2500, num_subcenters=2, initializer="zeros")
        head.build((None, SIZE))
        draw_weights(head)
        return np.asarray(head.class_weights)

    rows = drawn(1)
    assert rows.std() == pytest.approx(0.01, rel=0.03)
    assert len(np.unique(rows)) > 0.999 * rows.size
    np.testing.assert_array_equal(rows, drawn(1))
    assert (rows != drawn(2)).mean() > 0.999


VALUES = {
    "epochs": 2,
    "batch_size": 3,
    "model": {"backbone": "plaincnn", "width": 0.5, "embedding_size": 16, "activation": "relu", "sample_rate": 0.7},
}


@pytest.mark.parametrize(
    "optimizer",
    [{"name": "sgd", "learning_rate": 0.01}, {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.01}],
    ids=["sgd", "adamw"],
)
def test_a_run_goes_on_within_an_epoch_to_the_same_weights_bit_for_bit(shards, tmp_path, optimizer):
    config = config_of(shards, **VALUES, optimizer=optimizer, checkpoint_steps=7, keep_checkpoints=99)
    run = start(tmp_path / "run", config)
    whole = train(config, run, quiet=True)
    arrays, saved = read_checkpoint(run.checkpoints).arrays, weights(run.last)
    assert any(name.startswith("sample/") for name in arrays)
    for path in list_checkpoints(run.checkpoints):  # as after a kill in the second epoch
        if int(path.name.split("-")[0]) > whole.position.total_steps * 3 // 4:
            path.unlink()
    assert read_checkpoint(run.checkpoints).position.step > 0
    again = train(config, run, resume=True, quiet=True)
    assert [row["loss"] for row in again.history] == [row["loss"] for row in whole.history]
    for name, array in read_checkpoint(run.checkpoints).arrays.items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
    for one, two in zip(weights(run.last), saved, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_run_with_a_sampled_head_learns(shards, tmp_path):
    config = config_of(shards, **{**VALUES, "epochs": 6})
    history = train(config, start(tmp_path / "run", config), quiet=True).history
    assert history[-1]["loss"] < history[0]["loss"] / 2
    assert history[-1]["accuracy"] > 0.75


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ({"name": "lamb"}, "optimizer.name: expected sgd, adamw or adamax with model.sample_rate, .* received 'lamb'"),
        ({"accumulate_steps": 2}, "optimizer.accumulate_steps: expected 1 with model.sample_rate, .* received 2"),
    ],
)
def test_what_a_sample_cannot_be_trained_by_is_refused_before_the_first_phase(shards, tmp_path, optimizer, message):
    phases = [{"epochs": 50}, {"epochs": 1, "optimizer": optimizer}]
    config = config_of(shards, **{**VALUES, "phases": phases})
    with pytest.raises(ConfigError, match=message):
        train(config, start(tmp_path / "run", config), quiet=True)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.5, float("nan")])
def test_a_rate_that_is_no_part_is_refused(shards, rate):
    with pytest.raises(ConfigError, match=r"model.sample_rate: expected a part in \(0, 1\]"):
        config_of(shards, model={"sample_rate": rate})
