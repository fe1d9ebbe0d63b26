import hashlib
import io
from functools import partial

import imagehash
import numpy as np
import pytest
from PIL import Image

from fr_prep.survey import fingerprints
from fr_prep.survey.classes import read_classed_images
from fr_prep.survey.fingerprints import hash_picture, take_fingerprints
from fr_prep.workers.pool import LocalPool


def take(images, *, perceptual, num_workers=1):
    done = []
    with LocalPool(num_workers) as pool:
        found = take_fingerprints(images, perceptual=perceptual, pool=pool, advance=done.append)
    assert sum(done) == len(images)
    return found


def count_bits(first, second):
    return [(int(a) ^ int(b)).bit_count() for a, b in zip(first, second, strict=True)]


def test_the_hashes_are_those_of_imagehash(drawn_image):
    image = drawn_image(1, height=112, width=112)
    words = hash_picture(image)
    picture = Image.open(io.BytesIO(image))
    assert f"{words[0]:016x}" == str(imagehash.phash(picture))
    assert "".join(f"{word:016x}" for word in words[1:]) == str(imagehash.phash(picture, hash_size=16))


def test_a_picture_encoded_anew_stays_close_and_another_one_is_far(soft_image):
    image = soft_image(1)
    near = count_bits(hash_picture(image), hash_picture(soft_image(1, quality=40)))
    far = count_bits(hash_picture(image), hash_picture(soft_image(2)))
    assert near[0] <= 2
    assert sum(near[1:]) <= 20
    assert far[0] > 12
    assert sum(far[1:]) > 60


def test_16_bit_gray_is_hashed_as_its_8_bit_twin():
    gray = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    files = [io.BytesIO(), io.BytesIO()]
    Image.fromarray(gray).save(files[0], "PNG")
    Image.fromarray(gray.astype(np.uint16) * 257).save(files[1], "PNG")
    assert hash_picture(files[0].getvalue()).tolist() == hash_picture(files[1].getvalue()).tolist()


def test_the_digest_is_half_a_sha256(gray_jpeg, colour_jpeg):
    found = take([gray_jpeg, colour_jpeg], perceptual=False)
    expected = [hashlib.sha256(image).digest()[:16] for image in (gray_jpeg, colour_jpeg)]
    assert [row.tobytes() for row in found.digests] == expected
    assert found.hashes.shape == (0, 5)


def test_what_cannot_be_decoded_is_named_and_has_no_hash(drawn_image):
    images = [drawn_image(0), b"no image", drawn_image(1), drawn_image(2)[:200]]
    found = take(images, perceptual=True)
    assert list(found.problems) == [1, 3]
    assert "header of a picture" in found.problems[1]
    assert found.hashed_rows().tolist() == [0, 2]
    part = found.take(np.array([1, 2]))
    assert (list(part.problems), part.hashed_rows().tolist()) == ([0], [1])
    assert part.hashes[1].tolist() == hash_picture(images[2]).tolist()


@pytest.mark.parametrize("perceptual", [False, True])
def test_neither_workers_nor_chunks_change_anything(perceptual, make_set, drawn_image, tmp_path, monkeypatch):
    made = make_set(tmp_path, images_per_class=[3, 9, 5], images=partial(drawn_image, height=16, width=16))
    places = read_classed_images(tmp_path).images.places
    alone = take(places, perceptual=perceptual)
    direct = take([record.image for record in made.records], perceptual=perceptual)
    monkeypatch.setattr(fingerprints, "CHUNK_BYTES", 1500)
    together = take(places, perceptual=perceptual, num_workers=2)
    for other in (direct, together):
        assert alone.digests.tobytes() == other.digests.tobytes()
        assert alone.hashes.tobytes() == other.hashes.tobytes()
