import json

import numpy as np
import pytest

from fr_eval.errors import ProtocolError
from fr_eval.protocols.distances import normalise_rows, pair_distances, pair_scores
from fr_eval.protocols.verification import verify


def make_pairs(num_pairs: int = 60, *, noise: float = 0.5, seed: int = 0):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(num_pairs, 16))
    issame = np.arange(num_pairs) % 2 == 0
    second = np.where(issame[:, np.newaxis], first, rng.normal(size=first.shape)) + noise * rng.normal(size=first.shape)
    return np.stack([first, second], axis=1).reshape(-1, 16).astype(np.float32), issame


def test_distances_are_two_minus_two_cosines_over_block_borders():
    embeddings, _ = make_pairs(9_000)
    rows = normalise_rows(embeddings)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    distances, scores = pair_distances(embeddings), pair_scores(embeddings)
    assert distances.dtype == np.float64
    assert np.allclose(distances, 2 - 2 * scores)
    assert np.allclose(distances, np.square(rows[0::2] - rows[1::2]).sum(axis=1))


def test_good_embeddings_get_good_figures_and_the_mirror_sum_is_the_sum():
    embeddings, issame = make_pairs()
    mirrored = make_pairs(noise=0.3)[0]
    result = verify(embeddings, issame, mirrored=mirrored)
    assert result.best_protocol is result.mirrored
    assert result.mirrored.accuracy_mean > 0.9
    assert result.mirrored == verify(embeddings.astype(np.float64) + mirrored, issame).plain
    assert result.plain == verify(embeddings, issame).plain
    assert result.recipe == verify(embeddings, issame).recipe
    assert result.tars[1e-2] is None
    assert result.fold_tars[1e-1].num_folds == 10
    assert result.notes == ()


def test_figures_without_mirror_say_so():
    result = verify(*make_pairs())
    assert result.mirrored is None
    assert result.best_protocol is result.plain


def test_the_result_can_be_stored_as_json():
    stored = json.loads(json.dumps(verify(*make_pairs(), num_components=4).to_dict(), allow_nan=False))
    assert stored["pca"]["num_components"] == 4
    assert stored["tar_at_far"]["1e-06"] is None
    assert len(stored["insightface_no_mirror"]["accuracy_per_fold"]) == 10
    assert set(stored["recipe_optimistic"]) == {"accuracy", "threshold"}


def test_fewer_pairs_than_folds_get_one_fold_a_pair_and_a_note():
    result = verify(*make_pairs(6))
    assert result.num_folds == 6
    assert len(result.plain.accuracy_per_fold) == 6
    assert "6 folds were used in place of 10" in result.notes[0]


def test_folds_of_one_kind_are_left_out_of_tar_with_a_note():
    embeddings, _ = make_pairs(60)
    issame = np.arange(60) < 30
    embeddings[1::2][issame] = embeddings[0::2][issame]
    result = verify(embeddings, issame, num_folds=3)
    assert result.fold_tars[1e-1].num_folds == 1
    assert "1 of 3 folds" in result.notes[0]


@pytest.mark.parametrize("kind", [True, False])
def test_pairs_of_one_kind_only_are_refused(kind):
    embeddings, issame = make_pairs()
    with pytest.raises(ProtocolError, match="all 60 pairs are"):
        verify(embeddings, np.full_like(issame, kind))


@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN"), (np.inf, "NaN or infinite"), (0, "all zeros")])
def test_unusable_rows_are_named(value, message):
    embeddings, issame = make_pairs()
    embeddings[[7, 20]] = value
    with pytest.raises(ProtocolError, match=rf"{message}.* row 7 \(pair 3\), 20 \(pair 10\), of 120 rows"):
        verify(embeddings, issame)
    with pytest.raises(ProtocolError, match=rf"mirrored images: {message}"):
        verify(make_pairs()[0], issame, mirrored=embeddings)


@pytest.mark.parametrize(("value", "message"), [(1e-200, "all zeros"), (1e200, "NaN or infinite")])
def test_rows_without_a_norm_are_named(value, message):
    embeddings, issame = make_pairs()
    embeddings = embeddings.astype(np.float64)
    embeddings[7] = value
    with pytest.raises(ProtocolError, match=rf"{message}.* row 7 \(pair 3\), of 120 rows"):
        verify(embeddings, issame)


def test_a_sum_that_vanishes_is_named():
    embeddings, issame = make_pairs()
    with pytest.raises(ProtocolError, match=r"sums of both embeddings: all zeros.* and 115 more"):
        verify(embeddings, issame, mirrored=-embeddings)


@pytest.mark.parametrize(
    ("embeddings", "issame", "message"),
    [
        (np.ones((4, 3)), [], "one truth a pair"),
        (np.ones((4, 3)), [[True], [False]], "one truth a pair"),
        (np.ones((4, 3)), [True, False, True], "two rows for each of 3 pairs"),
        (np.ones(4), [True, False], "received the shape"),
        (np.ones((4, 0)), [True, False], "received the shape"),
        (np.ones((4, 3), np.int64), [True, False], "floating-point"),
        (np.ones((4, 3)), [2, 0], "True and False"),
    ],
)
def test_wrong_shapes_and_types_are_refused(embeddings, issame, message):
    with pytest.raises(ProtocolError, match=message):
        verify(embeddings, issame)


def test_mirrored_embeddings_of_another_shape_are_refused():
    embeddings, issame = make_pairs()
    with pytest.raises(ProtocolError, match="mirrored embeddings of the shape"):
        verify(embeddings, issame, mirrored=embeddings[:10])


def test_equal_embeddings_everywhere_give_chance_and_no_error():
    result = verify(np.ones((40, 4), np.float32), np.arange(20) % 2 == 0)
    assert result.plain.accuracy_mean == 0.5
    assert result.roc.auc == 0.5


def test_tar_over_folds_that_cannot_be_measured_is_noted():
    embeddings, issame = make_pairs(20)
    assert "no fold holds pairs of both kinds" in verify(embeddings, issame, num_folds=20).notes[0]
    assert "too few" in verify(embeddings[:16], issame[:8], num_folds=2).notes[0]
