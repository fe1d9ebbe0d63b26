import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from tests.evaluate.protocols.drawn_pairs import verify_distances

from fr_eval.errors import ProtocolError
from fr_eval.protocols.bootstrap import resample
from fr_eval.protocols.confidence import compare, measure_confidence
from fr_eval.protocols.roc import compute_roc

SAME, DIFFERENT = scipy.stats.norm(1.0, 0.25), scipy.stats.norm(1.7, 0.25)


def draw(rng, num_pairs, *, noise=0.0):
    issame = np.arange(num_pairs) % 2 == 0
    distances = np.where(issame, SAME.rvs(num_pairs, random_state=rng), DIFFERENT.rvs(num_pairs, random_state=rng))
    return (distances + noise * rng.normal(size=num_pairs)).clip(0.01, 3.99), issame


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(2)
    truths = {
        "tar": SAME.cdf(DIFFERENT.ppf(0.1)),
        "auc": scipy.stats.norm.cdf((1.7 - 1.0) / math.hypot(0.25, 0.25)),
        "eer": DIFFERENT.cdf(1.35),
    }
    num_sets, held = 300, dict.fromkeys([*truths, "accuracy"], 0)
    for seed in range(num_sets):
        verification = verify_distances(*draw(rng, 400))
        confidence = measure_confidence(resample(verification, num_resamples=300, seed=seed), level=0.9)
        thresholds = np.array(verification.plain.thresholds)
        truths["accuracy"] = np.mean((SAME.cdf(thresholds) + DIFFERENT.sf(thresholds)) / 2)
        for name, truth in truths.items():
            interval = confidence.tars[1e-1] if name == "tar" else getattr(confidence, name)
            held[name] += interval.low <= truth <= interval.high
    # Of 300, 270 are expected, with a standard deviation of 5.2.
    assert {name: 252 <= count <= 288 for name, count in held.items()} == dict.fromkeys(held, True), held


def test_the_interval_of_the_area_is_that_of_scipy():
    distances, issame = draw(np.random.default_rng(0), 160)
    oracle = scipy.stats.bootstrap(
        (distances[issame], distances[~issame]),
        lambda same, different: np.mean(same[:, np.newaxis] < different),
        n_resamples=4_000,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    interval = measure_confidence(resample(verify_distances(distances, issame), num_resamples=4_000)).auc
    width = oracle.high - oracle.low
    assert abs(interval.low - oracle.low) < 0.1 * width
    assert abs(interval.high - oracle.high) < 0.1 * width


def test_a_perfect_set_is_not_called_certain():
    distances, issame = np.tile([0.5, 2.0], 200), np.arange(400) % 2 == 0
    confidence = measure_confidence(resample(verify_distances(distances, issame), num_resamples=100))
    # All of n are right in 2.5 % of sets at the rate 0.025 ** (1 / n).
    assert (confidence.accuracy.low, confidence.accuracy.high) == (pytest.approx(0.025 ** (1 / 400)), 1)
    assert confidence.tars[1e-1].low == pytest.approx(0.025 ** (1 / 200))
    assert (confidence.auc, confidence.eer) == (None, None)
    useless = measure_confidence(resample(verify_distances(np.full(400, 1.0), issame), num_resamples=100))
    exact = scipy.stats.binomtest(200, 400).proportion_ci(method="exact")
    assert (useless.accuracy.low, useless.accuracy.high) == pytest.approx((exact.low, exact.high))
    assert useless.tars[1e-1].low == 0


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (0, 1), (3, 9), (9, 3), (20, 20), (0, 30), (55, 81)])
def test_mcnemars_test_is_the_exact_binomial_one(only_first, only_second):
    distances, issame = np.tile([0.5, 2.0], 200), np.arange(400) % 2 == 0
    resamples = resample(verify_distances(distances, issame), num_resamples=2)
    wrong = np.zeros((2, 400), np.bool_)
    wrong[1, :only_first] = wrong[0, 100 : 100 + only_second] = True
    comparison = compare(replace(resamples, right=~wrong[0]), replace(resamples, right=~wrong[1]))
    assert (comparison.only_first, comparison.only_second) == (only_first, only_second)
    num = only_first + only_second
    oracle = scipy.stats.binomtest(only_first, num).pvalue if num else 1.0
    assert comparison.p_value == pytest.approx(oracle, rel=1e-9)
    assert comparison.accuracy.value == pytest.approx((only_second - only_first) / 400)


def test_differences_are_of_equal_resamples():
    rng = np.random.default_rng(0)
    distances, issame = draw(rng, 600)
    worse = (distances + 0.05 * rng.normal(size=600)).clip(0.01, 3.99)
    first, second = (resample(verify_distances(d, issame)) for d in (distances, worse))
    comparison = compare(first, second)
    assert comparison.auc.value == compute_roc(worse, issame).auc - compute_roc(distances, issame).auc
    assert comparison.auc.interval.low < comparison.auc.value < comparison.auc.interval.high
    # The models err on the same pairs: their difference is far surer than each area.
    alone = measure_confidence(first).auc
    assert comparison.auc.interval.high - comparison.auc.interval.low < (alone.high - alone.low) / 2
    back = compare(second, first)
    assert back.p_value == comparison.p_value
    assert back.eer.interval.low == pytest.approx(-comparison.eer.interval.high)
    assert back.tars[1e-1].value == -comparison.tars[1e-1].value
    assert back.tars[1e-3] is None


def test_a_model_does_not_differ_from_itself():
    resamples = resample(verify_distances(*draw(np.random.default_rng(0), 300)), num_resamples=100)
    comparison = compare(resamples, resamples)
    assert comparison.p_value == 1
    assert (comparison.accuracy.value, comparison.accuracy.interval) == (0, None)


def test_other_pairs_or_draws_are_refused():
    distances, issame = draw(np.random.default_rng(0), 300)
    first = resample(verify_distances(distances, issame), num_resamples=20)
    with pytest.raises(ProtocolError, match="same pairs; received 300 and 200 pairs"):
        compare(first, resample(verify_distances(distances[:200], issame[:200]), num_resamples=20))
    with pytest.raises(ProtocolError, match="equal draws"):
        compare(first, resample(verify_distances(distances, issame), num_resamples=20, seed=1))


def test_results_can_be_stored_as_json():
    resamples = resample(verify_distances(*draw(np.random.default_rng(0), 300)), num_resamples=50)
    stored = json.loads(json.dumps(measure_confidence(resamples).to_dict(), allow_nan=False))
    assert set(stored["tars"]["1e-01"]) == {"low", "high"}
    assert stored["tars"]["1e-06"] is None
    assert json.loads(json.dumps(compare(resamples, resamples).to_dict()))["tars"]["1e-01"]["value"] == 0
