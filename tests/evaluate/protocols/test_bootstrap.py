import time

import numpy as np
import pytest
from tests.evaluate.protocols.drawn_pairs import verify_distances

from fr_eval.protocols import bootstrap
from fr_eval.protocols.bootstrap import MIN_ADMITTED, resample
from fr_eval.protocols.roc import compute_roc, tar_at_fars


def draw_distances(num_pairs, *, seed=0, step=None):
    rng = np.random.default_rng(seed)
    issame = rng.permutation(np.arange(num_pairs) % 2 == 0)
    distances = rng.normal(np.where(issame, 1.0, 1.7), 0.3).clip(0.01, 3.99)
    return (np.round(distances / step) * step if step else distances), issame


def naive_resamples(verification, right, *, num_resamples, seed):
    """Draws pair numbers, and measures the drawn pairs as if they were a set."""
    generators = np.random.default_rng(seed).spawn(2)
    kinds = np.flatnonzero(verification.issame), np.flatnonzero(~verification.issame)
    for _ in range(num_resamples):
        draws = [g.integers(len(k), size=len(k), dtype=np.int32) for g, k in zip(generators, kinds, strict=True)]
        pairs = np.concatenate([kind[draw] for draw, kind in zip(draws, kinds, strict=True)])
        distances, issame = verification.distances[pairs], verification.issame[pairs]
        roc = compute_roc(distances, issame)
        yield right[pairs].mean(), roc.auc, roc.eer, tar_at_fars(distances, issame)


@pytest.mark.parametrize("step", [None, 0.25])
def test_the_figures_are_those_of_the_drawn_pairs(step):
    verification = verify_distances(*draw_distances(420, step=step))
    resamples = resample(verification, num_resamples=60, seed=3)
    assert set(resamples.tars) == {1e-1}
    naive = naive_resamples(verification, resamples.right, num_resamples=60, seed=3)
    for row, (accuracy, auc, eer, tars) in enumerate(naive):
        assert resamples.accuracy[row] == pytest.approx(accuracy, abs=1e-12)
        assert resamples.auc[row] == pytest.approx(auc, abs=1e-12)
        assert resamples.eer[row] == pytest.approx(eer, abs=1e-12)
        assert resamples.tars[1e-1][row] == tars[1e-1]


def test_blocks_leave_no_trace(monkeypatch):
    verification = verify_distances(*draw_distances(300))
    whole = resample(verification, num_resamples=25)
    monkeypatch.setattr(bootstrap, "_BLOCK_VALUES", 7 * 300 + 1)
    cut = resample(verification, num_resamples=25)
    for name in ("accuracy", "auc", "eer"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name))
    assert np.array_equal(whole.tars[1e-1], cut.tars[1e-1])


def test_the_draw_follows_from_truths_and_seed_alone():
    distances, issame = draw_distances(300)
    one, other = verify_distances(distances, issame), verify_distances(4 - distances, issame)
    # The second model turns every comparison of two pairs round, so that on equal pairs the areas sum to one.
    assert np.allclose(resample(one, num_resamples=20).auc + resample(other, num_resamples=20).auc, 1)
    assert not np.array_equal(resample(one, num_resamples=20).auc, resample(one, num_resamples=20, seed=1).auc)


def test_right_pairs_are_those_of_the_protocol():
    verification = verify_distances(*draw_distances(203))
    resamples = resample(verification, num_resamples=1)
    folds = np.array_split(resamples.right, 10)  # of 203 pairs, the first three folds have one more
    assert [fold.mean() for fold in folds] == list(verification.plain.accuracy_per_fold)


def test_too_few_admitted_pairs_get_no_tar():
    distances, issame = draw_distances(2_000)
    extra = np.flatnonzero(~issame)[MIN_ADMITTED * 100 - 1 :]
    for kept, fars in ((np.arange(2_000), {1e-1, 1e-2}), (np.delete(np.arange(2_000), extra), {1e-1})):
        verification = verify_distances(distances[kept], issame[kept])
        assert set(resample(verification, num_resamples=1).tars) == fars


@pytest.mark.benchmark
def test_2000_resamples_of_6000_pairs_take_a_small_part_of_the_loops_time():
    verification = verify_distances(*draw_distances(6_000))
    start = time.perf_counter()
    resamples = resample(verification)
    middle = time.perf_counter()
    assert len(list(naive_resamples(verification, resamples.right, num_resamples=100, seed=0))) == 100
    assert middle - start < 20 * (time.perf_counter() - middle) / 5
