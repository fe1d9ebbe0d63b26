"""Losses as training calls them: by name, alone and summed, in models of plain Keras, saved and loaded."""

import keras
import numpy as np
import pytest
from keras import ops

from fr_train.errors import ConfigError
from fr_train.losses.adaface import AdaFace
from fr_train.losses.center import CenterLoss
from fr_train.losses.curricularface import CurricularFace
from fr_train.losses.margin_softmax import ArcFace, Softmax
from fr_train.losses.registry import LOSSES, build_loss, build_losses
from fr_train.losses.triplet_losses import BatchHardTriplet, OfflineTriplet
from fr_train.losses.weighted_sum import WeightedSum, given_losses
from fr_train.model.heads import CosineHead

C, D, B = 5, 4, 6
X = np.random.default_rng(0).normal(size=(B, 3)).astype(np.float32)
LABELS = np.array([0, 0, 3, 3, 4, 4])
SUMS = ["center+softmax", "center+arcface", "arcface+triplet_batch_hard", "adaface+center+triplet_semi_hard"]


def embedding():
    return np.random.default_rng(1).normal(size=(B, D)).astype(np.float32)


def cosines():
    return np.random.default_rng(2).uniform(-1, 1, (B, C)).astype(np.float32)


def build(name, **options):
    return build_losses({"name": name, **options}, num_classes=C, embedding_size=D)


def build_model(loss):
    """Labels are an input, the losses the output."""
    x, labels = keras.Input((3,)), keras.Input((), dtype="int32")
    vectors = keras.layers.Dense(D)(x)
    given = {"embedding": vectors} if loss.needs_embedding else {}
    if loss.needs_head:
        given["logits"] = CosineHead(C, normalize_embedding=loss.normalizes_embedding)(vectors)
    model = keras.Model([x, labels], loss(labels, **given))
    model.compile(keras.optimizers.SGD(0.01), loss=given_losses)
    return model


def test_every_loss_of_the_specification_is_known():
    assert sorted(LOSSES) == [
        "adaface", "airface", "arcface", "center", "combined_margin", "cosface", "curricularface", "magface",
        "normalized_softmax", "softmax", "triplet_batch_hard", "triplet_offline", "triplet_semi_hard",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("arcface", {"margin_radians": 0.5, "scale": 64.0}),
        ("airface", {"margin_radians": 0.4, "scale": 64.0}),
        ("cosface", {"margin": 0.35, "scale": 64.0}),
        ("combined_margin", {"m1": 0.9, "m2": 0.15, "m3": 0.4, "scale": 64.0}),
        ("normalized_softmax", {"scale": 64.0}),
        ("curricularface", {"margin_radians": 0.5, "scale": 64.0, "momentum": 0.99}),
        (
            "magface",
            {"shortest": 10, "longest": 110, "margin_shortest": 0.45, "margin_longest": 0.8, "regularizer": 35},
        ),
        ("adaface", {"margin": 0.4, "h": 0.333, "scale": 64.0}),
        ("center", {"alpha": 0.5, "factor": 1.0, "num_classes": C, "embedding_size": D}),
        ("triplet_offline", {"margin": 0.2}),
        ("triplet_semi_hard", {"margin": 1.0}),
        ("triplet_batch_hard", {"margin": 0.35}),
    ],
)
def test_defaults_are_those_of_the_field(name, options):
    config = build_loss(name, {}, num_classes=C, embedding_size=D).get_config()
    assert {key: config[key] for key in options} == options


@pytest.mark.parametrize(
    ("name", "head", "embedding", "cosine", "batches"),
    [
        ("softmax", True, False, False, "any"),
        ("arcface", True, False, True, "any"),
        ("curricularface", True, False, True, "any"),
        ("magface", True, True, True, "any"),
        ("adaface", True, True, True, "any"),
        ("center", False, True, True, "any"),
        ("triplet_offline", False, True, True, "triplets"),
        ("triplet_semi_hard", False, True, True, "balanced"),
        ("center+softmax", True, True, False, "any"),
        ("arcface+triplet_batch_hard", True, True, True, "balanced"),
        ("arcface+triplet_offline", True, True, True, "triplets"),
    ],
)
def test_a_loss_says_what_it_needs(name, head, embedding, cosine, batches):
    loss = build(name)
    assert (loss.needs_head, loss.needs_embedding, loss.batches) == (head, embedding, batches)
    assert loss.normalizes_embedding == cosine


@pytest.mark.parametrize("name", [*sorted(LOSSES), *SUMS])
def test_each_loss_survives_its_config(name):
    loss = build(name)
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert twin.get_config() == loss.get_config()
    given = {"embedding": embedding(), "logits": cosines()}
    np.testing.assert_array_equal(
        ops.convert_to_numpy(twin(LABELS, **given)), ops.convert_to_numpy(loss(LABELS, **given))
    )


@pytest.mark.parametrize("name", ["center+softmax", "magface", "adaface+curricularface+triplet_semi_hard"])
def test_losses_train_in_plain_keras_and_come_back_from_a_file_with_their_state(name, tmp_path):
    model = build_model(build(name))
    before = [ops.convert_to_numpy(v) for v in model.variables]
    model.train_on_batch([X, LABELS], LABELS)
    after = [ops.convert_to_numpy(v) for v in model.variables]
    assert all(not np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    for old, new in zip(after, twin.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(new), old)
    losses = [ops.convert_to_numpy(network([X, LABELS])) for network in (model, twin)]
    np.testing.assert_array_equal(*losses)


@pytest.mark.parametrize("loss", [ArcFace(scale=16.0), BatchHardTriplet(margin=0.5)], ids=lambda loss: loss.name)
def test_a_loss_of_one_tensor_is_compiled_saved_and_loaded(loss, tmp_path):
    last = CosineHead(C) if loss.needs_head else keras.layers.Dense(D)
    model = keras.Sequential([keras.Input((3,)), last])
    model.compile("sgd", loss=loss)
    before = float(loss(LABELS, model(X)))
    assert float(model.train_on_batch(X, LABELS)) == pytest.approx(before, rel=1e-5)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    assert twin.loss.get_config() == loss.get_config()
    assert float(twin.loss(LABELS, twin(X))) == float(loss(LABELS, model(X))) != before


def test_a_sum_is_the_weighted_sum_of_its_terms_row_by_row():
    terms = [CenterLoss(C, D), ArcFace(), BatchHardTriplet()]
    received = WeightedSum(terms, weights=[0.5, 2.0, 3.0])(LABELS, embedding=embedding(), logits=cosines())
    alone = [terms[0](LABELS, embedding()), terms[1].call(LABELS, cosines()), terms[2].call(LABELS, embedding())]
    expected = sum(w * ops.convert_to_numpy(rows) for w, rows in zip([0.5, 2.0, 3.0], alone, strict=True))
    np.testing.assert_allclose(ops.convert_to_numpy(received), expected, rtol=1e-5)


def test_state_moves_in_training_alone_and_counts_as_the_sums_own():
    build("center")
    loss = build("center+curricularface")  # whose paths do not depend on what was built before
    assert [v.path for v in loss.variables] == ["center/centers", "curricularface/mean_target"]
    for training, moved in ((False, False), (True, True)):
        loss(LABELS, embedding=embedding(), logits=cosines(), training=training)
        assert all(ops.convert_to_numpy(v).any() == moved for v in loss.variables)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_batch_that_is_no_number_spoils_no_state(bad):
    loss = WeightedSum([CenterLoss(C, D), CurricularFace(), AdaFace()])
    spoilt = {"embedding": embedding(), "logits": cosines()}
    spoilt["embedding"][0, 0] = spoilt["logits"][0, LABELS[0]] = bad
    assert not np.isfinite(ops.convert_to_numpy(loss(LABELS, **spoilt, training=True))).all()
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in loss.variables)
    losses = loss(LABELS, embedding=embedding(), logits=cosines(), training=True)
    assert np.isfinite(ops.convert_to_numpy(losses)).all()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compiles TensorFlow by XLA")
def test_losses_compile_by_xla():
    import tensorflow as tf

    received = []
    for xla in (False, True):
        loss = build(SUMS[-1])
        step = tf.function(loss.__call__, jit_compile=xla)
        step(LABELS, embedding=embedding(), logits=cosines(), training=True)
        rows = step(LABELS, embedding=embedding(), logits=cosines(), training=True)
        received.append([ops.convert_to_numpy(array) for array in (rows, *loss.variables)])
    for plain, compiled in zip(*received, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", [*sorted(LOSSES), SUMS[-1]])
def test_losses_are_float32_and_exact_under_mixed_precision(name, policy):
    expected = build(name)(LABELS, embedding=embedding(), logits=cosines(), training=True)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        received = build(name)(LABELS, embedding=embedding(), logits=cosines(), training=True)
    finally:
        keras.config.set_dtype_policy(before)
    assert received.dtype == "float32"
    np.testing.assert_array_equal(ops.convert_to_numpy(received), ops.convert_to_numpy(expected))


def test_a_table_of_several_losses_has_weights_and_options_of_each():
    loss = build("center+arcface", center={"weight": 0.01, "alpha": 0.3}, arcface={"margin_radians": 0.45})
    assert loss.weights_of_terms == [0.01, 1.0]
    assert (loss.terms[0].alpha, loss.terms[0].num_classes, loss.terms[1].margin_radians) == (0.3, C, 0.45)
    assert build("cosface", margin=0.2, weight=2.0).weights_of_terms == [2.0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "arcfac"}, "Did you mean arcface"),
        ({"name": "arcface+triplet"}, r"received 'triplet'\. Did you mean triplet_"),
        ({"name": "arcface", "margin": 0.5}, "margin_radians and scale"),
        ({"name": "center", "num_classes": 7}, "center takes alpha and factor, received num_classes"),
        ({"name": "softmax", "dtype": "float16"}, "no options"),
        ({"name": "center+arcface", "margin_radians": 0.5}, "each with a table .* received margin_radians"),
        ({"name": "center+arcface", "cosface": {}}, "received cosface"),
        ({"name": "arcface+arcface"}, "received one twice"),
        ({"name": "arcface", "weight": 0.0}, "positive weights"),
        ({"name": "arcface", "weight": "x"}, "loss: arcface"),
        ({"name": "softmax+arcface"}, "of one head"),
        ({"name": "magface", "longest": 5.0}, "magface: expected 0 < shortest < longest"),
    ],
)
def test_a_table_that_cannot_be_is_refused(table, message):
    with pytest.raises(ConfigError, match=message):
        build_losses(table, num_classes=C, embedding_size=D)


def test_sums_that_cannot_be_are_refused():
    for terms, weights in (
        ([], None),
        ([ArcFace()], [1.0, 2.0]),
        ([ArcFace()], [-1.0]),
        ([Softmax(), ArcFace()], None),
    ):
        with pytest.raises(ValueError, match="expected"):
            WeightedSum(terms, weights=weights)


def test_offline_triplets_go_with_a_head_on_the_same_images():
    loss = WeightedSum([ArcFace(), OfflineTriplet()])
    assert loss(LABELS, embedding=embedding(), logits=cosines()).shape == (B,)
