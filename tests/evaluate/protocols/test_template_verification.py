import time

import numpy as np
import pytest
from sklearn.preprocessing import normalize
from tests.evaluate.faces.template_sets import write_template_set

from fr_data.images.align import align_face
from fr_data.images.decode import decode_image
from fr_eval.errors import FaceSetError, ProtocolError
from fr_eval.faces.template_lists import TemplateSet, read_template_set
from fr_eval.models.keras_model import wrap_keras
from fr_eval.protocols.template_verification import embed_templates, score_pairs, verify_templates


@pytest.fixture(scope="module")
def embedder(tiny_model):
    return wrap_keras(tiny_model)


@pytest.fixture
def folder(tmp_path):
    return write_template_set(tmp_path / "set")


def read_words(path):
    return [line.split() for line in path.read_text().splitlines()]


def published_scores(folder, embedder):
    """Scores as InsightFace's ijb_onnx.py takes them, image for image and template for template; the lists go in step."""
    features, scores = [], []
    for name, *numbers, score in read_words(folder / "meta" / "tiny_name_5pts_score.txt"):
        image = decode_image((folder / "loose_crop" / name).read_bytes())
        points = np.array(numbers, np.float64).reshape(5, 2)
        face = align_face(image, points, size=embedder.input_size)[np.newaxis]
        features.append(embedder.embed(face)[0] + embedder.embed(face[:, :, ::-1])[0])
        scores.append(float(score))
    features = np.array(features, np.float64) * np.array(scores)[:, np.newaxis]
    listed = read_words(folder / "meta" / "tiny_face_tid_mid.txt")
    templates, medias = np.array([[int(template), int(media)] for _, template, media in listed]).T
    unique = np.unique(templates)
    sums = np.zeros((len(unique), features.shape[1]))
    for row, template in enumerate(unique):
        own = templates == template
        for media in np.unique(medias[own]):
            sums[row] += np.mean(features[own][medias[own] == media], axis=0)
    rows = dict(zip(unique.tolist(), normalize(sums), strict=True))
    pairs = read_words(folder / "meta" / "tiny_template_pair_label.txt")
    labels = np.array([int(label) for *_, label in pairs])
    return np.array([np.sum(rows[int(first)] * rows[int(second)]) for first, second, _ in pairs]), labels


@pytest.mark.parametrize("batch_size", [5, 64])
def test_scores_and_rates_are_the_published_ones(folder, embedder, batch_size):
    templates = read_template_set(folder)
    expected, labels = published_scores(folder, embedder)
    sums = embed_templates(embedder, templates, batch_size=batch_size)
    assert np.allclose(score_pairs(sums, templates), expected, rtol=0, atol=1e-6)
    figures = verify_templates(embedder, templates, batch_size=batch_size)
    same, different = expected[labels == 1], expected[labels == 0]
    thresholds = [threshold for threshold in different if np.mean(different > threshold) <= 0.1]
    assert figures.tars[1e-1] == np.mean(same > min(thresholds))
    assert (figures.num_pairs, figures.num_same, figures.num_different) == (66, len(same), len(different))
    assert figures.to_dict()["tars"]["1e-06"] is None


def test_without_mirror_the_embedding_is_that_of_the_image(folder, embedder):
    templates = read_template_set(folder)
    plain, both = embed_templates(embedder, templates, mirror=False), embed_templates(embedder, templates)
    faces = np.array(
        [
            align_face(decode_image(p.read_bytes()), q, size=(16, 16))
            for p, q in zip(templates.images, templates.points, strict=True)
        ]
    )
    assert np.allclose(both - plain, _sum_up(embedder.embed(faces[:, :, ::-1]), templates), atol=1e-5)


def _sum_up(embeddings, templates):
    sums = np.zeros((len(templates.template_ids), embeddings.shape[1]))
    for image, template, weight in zip(
        templates.face_images, templates.face_templates, templates.face_weights, strict=True
    ):
        sums[template] += weight * embeddings[image]
    return sums


def test_images_that_cannot_be_used_are_named(folder, embedder):
    damaged = folder / "loose_crop" / "3.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(FaceSetError, match=r"loose_crop/3.jpg: not a readable image"):
        verify_templates(embedder, read_template_set(folder))
    damaged.unlink()
    damaged.mkdir()
    with pytest.raises(FaceSetError, match="1 images are missing"):
        read_template_set(folder)


def test_points_in_one_place_are_named(folder, embedder):
    path = folder / "meta" / "tiny_name_5pts_score.txt"
    lines = path.read_text().splitlines()
    lines[4] = "5.jpg" + 10 * " 20.0" + " 0.9"
    path.write_text("\n".join(lines))
    with pytest.raises(FaceSetError, match=r"5.jpg: expected points in several places"):
        verify_templates(embedder, read_template_set(folder))


def test_pairs_of_one_kind_and_templates_without_direction_are_refused(folder, embedder):
    path = folder / "meta" / "tiny_name_5pts_score.txt"
    path.write_text("".join(f"{' '.join(words[:-1])} 0\n" for words in read_words(path)))
    templates = read_template_set(folder)
    with pytest.raises(ProtocolError, match=rf"template {templates.template_ids[0]} and 11 more"):
        verify_templates(embedder, templates)
    pairs = folder / "meta" / "tiny_template_pair_label.txt"
    pairs.write_text("".join(f"{first} {second} 1\n" for first, second, _ in read_words(pairs)))
    with pytest.raises(ProtocolError, match="all 66 pairs are 'same'"):
        verify_templates(embedder, read_template_set(folder))


def test_blocks_of_pairs_leave_no_trace():
    rng = np.random.default_rng(0)
    first, second = rng.integers(50, size=(2, 9_001))
    templates = _make_set(first, second)
    sums = rng.normal(size=(50, 300))
    rows = normalize(sums)
    assert np.allclose(score_pairs(sums, templates), (rows[first] * rows[second]).sum(axis=1), atol=1e-6)


def _make_set(first, second):
    none = np.empty(0, np.int64)
    ids = np.arange(max(first.max(), second.max()) + 1)
    return TemplateSet("drawn", [], np.empty((0, 5, 2)), none, none, none, ids, first, second, first == second)


@pytest.mark.benchmark
def test_a_million_pairs_of_512_values_take_little_more_than_their_products():
    rng = np.random.default_rng(0)
    templates = _make_set(np.sort(rng.integers(23_000, size=1_000_000)), rng.integers(23_000, size=1_000_000))
    sums = rng.normal(size=(23_000, 512))
    start = time.process_time()
    score_pairs(sums, templates)
    middle = time.process_time()
    for block in range(0, 1_000_000, 1_000):
        first, second = (rows[block : block + 1_000] for rows in (templates.first, templates.second))
        np.einsum("ij,ij->i", sums[first], sums[second])
    assert middle - start < 3 * (time.process_time() - middle)
