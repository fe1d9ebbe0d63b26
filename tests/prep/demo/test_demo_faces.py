"""Tests of the drawn faces of the demonstration set."""

import dataclasses
import hashlib
import io
import math
import subprocess
import sys
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fr_prep.demo.appearance import NEUTRAL, Appearance, draw_appearance
from fr_prep.demo.faces import draw_identity, encode_jpeg, face_jpeg, render
from fr_prep.demo.geometry import landmarks
from fr_prep.demo.hair import HAIRLINES
from fr_prep.demo.identity import Identity
from fr_prep.demo.parameters import Range, check_ranges, draw_parameters, ranges_of, seeded_generator

# What InsightFace aligns to, at 112 x 112: eyes, nose, corners of the mouth.
ALIGNED = np.array([(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)])

SEEDS = st.integers(0, 2**40)
INDICES = st.integers(0, 10**6)


def eye_pixels(identity: Identity) -> np.ndarray:
    """Returns |closed - open| of a face without noise: only the eyes move, so it is bright where they are."""
    still = dataclasses.replace(NEUTRAL, noise_sigma=1.0)
    closed = dataclasses.replace(still, eye_closing=0.6)
    return np.abs(render(identity, still).astype(int) - render(identity, closed).astype(int)).sum(axis=2)


def test_a_fresh_process_draws_the_same_bytes() -> None:
    here = hashlib.sha256(b"".join(face_jpeg(5, person, image_index=person + 1) for person in range(3))).hexdigest()
    program = (
        "import hashlib; from fr_prep.demo.faces import face_jpeg\n"
        "faces = {p: face_jpeg(5, p, image_index=p + 1) for p in (2, 0, 1)}\n"
        "print(hashlib.sha256(faces[0] + faces[1] + faces[2]).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_what_was_drawn_before_changes_nothing() -> None:
    first = face_jpeg(0, 4, image_index=2)
    face_jpeg(9, 1, image_index=0)
    assert face_jpeg(0, 4, image_index=2) == first


def test_seeds_identities_and_images_all_differ() -> None:
    drawn = {
        face_jpeg(seed, person, image_index=image) for seed in range(2) for person in range(3) for image in range(3)
    }
    assert len(drawn) == 18


def test_the_images_of_a_person_share_the_identity_and_nothing_else() -> None:
    assert draw_identity(0, 3) == draw_identity(0, 3)
    assert draw_identity(0, 3) != draw_identity(0, 4)
    assert draw_appearance(0, 3, 0) != draw_appearance(0, 3, 1)
    assert draw_appearance(0, 3, 0) != draw_appearance(0, 4, 0)


def test_a_face_is_112_by_112_rgb_in_bytes_and_uses_the_range() -> None:
    face = render(draw_identity(0, 0), NEUTRAL)
    assert face.shape == (112, 112, 3)
    assert face.dtype == np.uint8
    assert face.min() < 60
    assert face.max() > 200


@pytest.mark.parametrize("size", [16, 57, 160])
def test_other_sizes_are_drawn_too(size: int) -> None:
    assert render(draw_identity(0, 0), draw_appearance(0, 0, 0), size=size).shape == (size, size, 3)


def test_a_size_below_sixteen_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 16 pixels\. Received: 15"):
        render(draw_identity(0, 0), NEUTRAL, size=15)


def test_a_jpeg_decodes_to_nearly_the_drawn_pixels() -> None:
    face = render(draw_identity(1, 1), NEUTRAL)
    with Image.open(io.BytesIO(encode_jpeg(face))) as decoded:
        assert (decoded.format, decoded.mode, decoded.size) == ("JPEG", "RGB", (112, 112))
        assert np.abs(np.asarray(decoded).astype(int) - face).mean() < 6


def test_a_lower_quality_makes_a_smaller_file() -> None:
    assert len(face_jpeg(0, 0, image_index=0, quality=50)) < len(face_jpeg(0, 0, image_index=0))


@settings(max_examples=60, deadline=None)
@given(SEEDS, INDICES)
def test_the_parameters_of_a_person_are_in_their_ranges(seed: int, index: int) -> None:
    identity = draw_identity(seed, index)
    for name, (kind, bounds) in ranges_of(Identity).items():
        value = getattr(identity, name)
        assert isinstance(value, kind), name
        assert bounds.low <= value <= bounds.high, name


@settings(max_examples=40, deadline=None)
@given(SEEDS, INDICES, INDICES)
def test_the_parameters_of_an_appearance_are_in_their_ranges(seed: int, index: int, image: int) -> None:
    appearance = draw_appearance(seed, index, image)
    for name, (kind, bounds) in ranges_of(Appearance).items():
        value = getattr(appearance, name)
        assert isinstance(value, kind), name
        assert bounds.low <= value <= bounds.high, name


@settings(max_examples=60, deadline=None)
@given(SEEDS, INDICES)
def test_a_neutral_face_has_its_landmarks_where_alignment_puts_them(seed: int, index: int) -> None:
    distance = np.linalg.norm(landmarks(draw_identity(seed, index), NEUTRAL) - ALIGNED, axis=1)
    assert distance[:3].max() < 4.0, distance
    assert distance[3:].max() < 6.0, distance


@settings(max_examples=60, deadline=None)
@given(SEEDS, INDICES, INDICES)
def test_every_pose_keeps_the_landmarks_in_reach_of_alignment(seed: int, index: int, image: int) -> None:
    points = landmarks(draw_identity(seed, index), draw_appearance(seed, index, image))
    assert np.linalg.norm(points - ALIGNED, axis=1).max() < 16.0


@pytest.mark.parametrize("person", [0, 1, 2, 3])
def test_the_eyes_are_drawn_at_their_landmarks(person: int) -> None:
    identity = draw_identity(2, person)
    moved = eye_pixels(identity)
    rows, columns = np.nonzero(moved > 100)
    for half, (x, y) in zip((columns < 56, columns >= 56), landmarks(identity, NEUTRAL)[:2], strict=True):
        assert abs(columns[half].mean() - x) < 4.0
        assert abs(rows[half].mean() - y) < 4.0


def test_turning_the_head_moves_the_nose_more_than_the_eyes() -> None:
    identity = draw_identity(0, 0)
    turned = dataclasses.replace(NEUTRAL, yaw=0.3)
    shift = (landmarks(identity, turned) - landmarks(identity, NEUTRAL))[:, 0]
    assert shift[2] > 2.0 + shift[:2].max()


def test_every_hair_style_has_a_hairline_or_is_bald() -> None:
    _, bounds = ranges_of(Identity)["hair_style"]
    assert (bounds.low, bounds.high) == (0, len(HAIRLINES) - 1)


@pytest.mark.parametrize(
    ("field", "styles"), [("hair_style", range(8)), ("beard_style", range(4)), ("moustache_style", range(3))]
)
def test_every_style_of_hair_and_beard_looks_different(field: str, styles: range) -> None:
    bare = dataclasses.replace(draw_identity(0, 0), beard_style=0, moustache_style=0, hair_style=0)
    drawn = {render(dataclasses.replace(bare, **{field: style}), NEUTRAL).tobytes() for style in styles}
    assert len(drawn) == len(styles)


@pytest.mark.parametrize(("field", "styles"), [("glasses_style", range(4)), ("hat_style", range(3))])
def test_every_accessory_looks_different(field: str, styles: range) -> None:
    identity = draw_identity(0, 1)
    drawn = {render(identity, dataclasses.replace(NEUTRAL, **{field: style})).tobytes() for style in styles}
    assert len(drawn) == len(styles)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mole_radius": 2.5}, r"Expected Identity\.mole_radius in \[0\.0, 1\.7\]\. Received: 2\.5"),
        ({"hair_style": -1}, r"Expected Identity\.hair_style in \[0, 7\]\. Received: -1"),
        ({"asymmetry": math.nan}, r"Identity\.asymmetry in \[-1\.0, 1\.0\]\. Received: nan"),
    ],
)
def test_a_parameter_out_of_its_range_is_refused_by_name(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(draw_identity(0, 0), **change)


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_negative_seeds_and_indices_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        face_jpeg(numbers[0], numbers[1], image_index=numbers[2])


@dataclasses.dataclass(frozen=True)
class Rare:
    number: Annotated[int, Range(0, 3, share=0.25)]
    amount: Annotated[float, Range(2.0, 4.0)]

    def __post_init__(self) -> None:
        check_ranges(self)


def test_a_share_leaves_the_others_absent_and_uses_every_present_value() -> None:
    drawn = [draw_parameters(Rare, seeded_generator(0, number)) for number in range(800)]
    counts = np.bincount([rare.number for rare in drawn], minlength=4)
    assert 0.70 < counts[0] / 800 < 0.80
    assert counts[1:].min() > 40
    assert 2.9 < np.mean([rare.amount for rare in drawn]) < 3.1


def test_a_field_without_a_range_is_a_mistake_that_is_named() -> None:
    @dataclasses.dataclass
    class Unbounded:
        free: float

    with pytest.raises(TypeError, match=r"Unbounded\.free"):
        ranges_of(Unbounded)


@pytest.mark.parametrize("bounds", [(1.0, 0.0, 1.0), (0.0, 1.0, 1.5)])
def test_an_impossible_range_is_refused(bounds: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        Range(*bounds)
