import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.made_pairs import draw_pairs

from fr_data.bins.bins import read_bin, write_bin
from fr_eval.errors import ProtocolError
from fr_eval.models.embed import embed_bin
from fr_eval.protocols.distances import pair_scores
from fr_eval.search.threshold import choose_cosine, find_threshold


@settings(max_examples=100, deadline=None)
@given(
    scores=st.lists(st.integers(-30, 30).map(lambda value: value / 30), min_size=1, max_size=40),
    far=st.floats(0.001, 0.999),
)
def test_it_is_the_smallest_cosine_of_four_digits_that_keeps_the_far(scores, far):
    found = choose_cosine(np.array(scores), far)
    grid = [number / 10_000 for number in range(-10_001, 10_002)]
    expected = next(cosine for cosine in grid if np.mean(np.array(scores) >= cosine) <= far)
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_threshold_of_a_bin_says_what_it_lets_in(embedder, bin_path):
    bin_ = read_bin(bin_path)
    found = find_threshold(embedder, bin_, far=0.1)
    embedded = embed_bin(bin_, embedder)
    scores = pair_scores(embedded.plain + embedded.mirrored)
    assert found.far == np.mean(scores[~bin_.issame] >= found.cosine) <= 0.1
    assert found.tar == np.mean(scores[bin_.issame] >= found.cosine)
    assert np.mean(scores[~bin_.issame] >= found.cosine - 1e-4) > 0.1


def test_the_mirror_sum_and_plain_embeddings_have_thresholds_of_their_own(embedder, bin_path):
    bin_ = read_bin(bin_path)
    scores = pair_scores(embed_bin(bin_, embedder, mirror=False).plain)
    plain = find_threshold(embedder, bin_, far=0.2, mirror=False)
    assert plain.cosine == choose_cosine(scores[~bin_.issame], 0.2)


def test_a_far_that_the_bin_cannot_show_is_refused(embedder, bin_path, tmp_path):
    with pytest.raises(ProtocolError, match=r"20 'different' pairs cannot show a FAR of 0\.001: at least 1,000"):
        find_threshold(embedder, read_bin(bin_path), far=1e-3)
    images, _ = draw_pairs(3)
    write_bin(tmp_path / "same.bin", images, [True] * 3)
    with pytest.raises(ProtocolError, match="all 3 pairs are 'same'"):
        find_threshold(embedder, read_bin(tmp_path / "same.bin"), far=0.5)


@pytest.mark.shared
@pytest.mark.slow
def test_the_published_network_parts_people_at_a_far_of_one_in_a_hundred(shared):
    from fr_eval.models.load import load_model

    embedder = load_model(shared / "models/mobilefacenet.keras", scaling="128")
    found = find_threshold(embedder, read_bin(shared / "faces/lfw_small.bin"), far=1e-2)
    assert found.far <= 1e-2
    assert found.tar > 0.99
