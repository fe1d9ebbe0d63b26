import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_eval.protocols.recipe import score_recipe


def naive_score_recipe(scores, issame):
    best = (-1.0, 0.0)
    for value in sorted(scores[~issame], reverse=True)[:300]:
        accuracy = (np.sum(scores[issame] > value) + np.sum(scores[~issame] <= value)) / len(scores)
        if accuracy > best[0]:
            best = (accuracy, value)
    return best


PAIRS = st.lists(st.tuples(st.integers(-10, 10).map(lambda n: n / 10), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: len({same for _, same in pairs}) == 2
)


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_the_recipe_equals_its_loop(pairs):
    scores, issame = np.array([s for s, _ in pairs]), np.array([same for _, same in pairs])
    figure = score_recipe(scores, issame)
    assert (figure.accuracy, figure.threshold) == naive_score_recipe(scores, issame)


def test_only_the_highest_three_hundred_are_candidates():
    rng = np.random.default_rng(2)
    issame = rng.random(2_000) < 0.5
    scores = rng.normal(np.where(issame, -0.5, 0.5), 0.2)  # the best threshold would lie far below
    figure = score_recipe(scores, issame)
    assert (figure.accuracy, figure.threshold) == naive_score_recipe(scores, issame)
    assert figure.threshold == pytest.approx(np.sort(scores[~issame])[-1])


def test_ties_keep_the_higher_threshold():
    figure = score_recipe(np.array([0.9, 0.5, 0.4]), np.array([True, False, False]))
    assert figure.threshold == 0.5
