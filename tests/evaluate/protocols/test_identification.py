import json
import time

import numpy as np
import pytest

from fr_eval.errors import ProtocolError
from fr_eval.faces.identity_sets import IdentityEmbeddings
from fr_eval.protocols import identification
from fr_eval.protocols.identification import identify


def make_set(labels, embeddings, names=None, *, first_hash=0):
    labels = np.asarray(labels)
    names = names or [f"person {number}" for number in range(labels.max() + 1)]
    hashes = np.arange(first_hash, first_hash + len(labels))
    return IdentityEmbeddings(names, labels, np.asarray(embeddings, np.float32), hashes)


def draw_sets(*, num_people=30, num_others=12, noise=0.8, seed=0):
    """People with one to four gallery images in any order, and three probes each; others have probes alone."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_people + num_others, 8))
    known = rng.permutation(np.repeat(np.arange(num_people), rng.integers(1, 5, num_people)))
    asked = np.tile(np.arange(num_people + num_others), 3)

    def draw(labels):
        return (centres[labels] + noise * rng.normal(size=(len(labels), 8))) * rng.uniform(0.1, 9, (len(labels), 1))

    return make_set(known, draw(known)), make_set(asked, draw(asked), first_hash=10_000)


def normalise(row):
    return row / np.linalg.norm(row)


def naive_identify(gallery, probes, template, max_rank):
    """A probe, a person and an image at a time."""
    images = {}
    for label, row in zip(gallery.labels, gallery.embeddings.astype(np.float64), strict=True):
        images.setdefault(gallery.names[label], []).append(normalise(row))
    if template == "mean":
        images = {name: [normalise(np.mean(rows, axis=0))] for name, rows in images.items()}
    ranks, accepted, alarms = [], [], []
    for label, row in zip(probes.labels, probes.embeddings.astype(np.float64), strict=True):
        scores = {name: max(float(normalise(row) @ other) for other in rows) for name, rows in images.items()}
        name = probes.names[label]
        if name in scores:
            better = sum(score >= scores[name] for other, score in scores.items() if other != name)
            ranks.append(better + 1)
            accepted.append(scores[name] if not better else -9)
        else:
            alarms.append(max(scores.values()))
    cmc = [sum(rank <= last for rank in ranks) / len(ranks) for last in range(1, max_rank + 1)]
    thresholds = [t for t in [*alarms, -8] if sum(alarm > t for alarm in alarms) / len(alarms) <= 0.1]
    return cmc, sum(score > min(thresholds) for score in accepted) / len(accepted)


@pytest.mark.parametrize("template", ["max", "mean"])
@pytest.mark.parametrize("block_scores", [2**24, 100, 1])
def test_ranks_and_rates_equal_the_loops(monkeypatch, template, block_scores):
    monkeypatch.setattr(identification, "_BLOCK_SCORES", block_scores)
    for seed in range(3):
        gallery, probes = draw_sets(seed=seed)
        found = identify(gallery, probes, template=template, max_rank=7)
        cmc, tpir = naive_identify(gallery, probes, template, 7)
        assert list(found.cmc) == pytest.approx(cmc)
        assert 0.2 < cmc[0] < 0.95
        assert found.tpirs == {1e-1: pytest.approx(tpir), 1e-2: None, 1e-3: None}
        assert (found.num_mated, found.num_unmated, found.num_people) == (90, 36, 30)


def test_people_are_the_same_by_name_not_by_number():
    gallery = make_set([0, 1, 2], np.eye(3), ["c", "a", "b"])
    probes = make_set([0, 1, 2], np.eye(3)[[1, 2, 0]], ["a", "b", "c"])
    assert identify(gallery, probes).cmc == (1, 1, 1)
    assert identify(gallery, probes).num_shared == 3
    assert identify(gallery, make_set([0], [[1, 0, 0]], ["a"], first_hash=7)).cmc == (0, 0, 1)


def test_a_tie_is_no_success():
    gallery = make_set([0, 1, 2], [[1, 0], [1, 0], [0, 1]])
    found = identify(gallery, make_set([0, 1, 2], [[1, 0], [1, 0], [0, 1]]))
    assert found.cmc == (1 / 3, 1, 1)


def test_names_without_gallery_images_are_nobody():
    gallery = make_set([0, 2], [[1, 0], [0, 1]], ["a", "b", "c"])
    found = identify(gallery, make_set([0, 1], [[1, 0], [1, 0.1]], ["a", "b"]))
    assert (found.num_people, found.num_mated, found.num_unmated) == (2, 1, 1)


def test_without_other_probes_there_are_no_open_set_rates():
    gallery, _ = draw_sets()
    found = identify(gallery, gallery, max_rank=50)
    assert found.tpirs == dict.fromkeys((1e-1, 1e-2, 1e-3))
    assert len(found.cmc) == 30
    assert json.loads(json.dumps(found.to_dict()))["tpirs"]["1e-01"] is None


def test_what_cannot_be_ranked_is_refused():
    gallery = make_set([0, 0, 1], [[1, 0], [-1, 0], [0, 1]], ["a", "b"])
    with pytest.raises(ProtocolError, match=r"nobody of the probes is in the gallery; .*'a', the probes 'x'"):
        identify(gallery, make_set([0], [[1, 0]], ["x"]))
    with pytest.raises(ProtocolError, match="embeddings of 2 and 3 values"):
        identify(gallery, make_set([0], [[1, 0, 0]], ["a"]))
    with pytest.raises(ProtocolError, match="mean of the images of 'a' is zero"):
        identify(gallery, gallery, template="mean")


@pytest.mark.benchmark
def test_blocks_cost_little_more_than_the_products():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10_000), 2)
    gallery = make_set(labels, rng.normal(size=(20_000, 512)))
    probes = make_set(np.arange(4_000), rng.normal(size=(4_000, 512)))
    start = time.process_time()
    identify(gallery, probes)
    middle = time.process_time()
    for block in range(0, 4_000, 400):
        probes.embeddings[block : block + 400] @ gallery.embeddings.T
    assert middle - start < 3 * (time.process_time() - middle)
