"""Image records against MXNet's `pack`, `unpack` and `pack_img`."""

import io
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fr_prep.sources.record_sets.image_records import join_image, pack_image_record, read_image_records
from fr_prep.sources.record_sets.recordio import RecordFile

MAGIC = bytes.fromhex("0a23d7ce")
LABEL = st.floats(-(2.0**127), 2.0**127)  # what float32 holds, most of it not exactly
RECORDS = st.lists(
    st.tuples(
        st.one_of(LABEL, st.lists(LABEL, max_size=5)),
        st.integers(0, 2**64 - 1),
        st.lists(st.one_of(st.just(MAGIC), st.binary(max_size=9)), max_size=6).map(b"".join),
    ),
    min_size=1,
    max_size=8,
)
HEADER_RECORDS = [([6.0, 9.0], 0, b""), ([1.0, 3.0], 6, b""), ([3.0, 6.0], 7, b"")]
# Where float32 ends to count, and where it begins to round.
LARGE_LABELS = [(float(number), number, b"jpeg") for number in (2**24 - 1, 2**24, 2**24 + 1, 2**31)]


def as_float32(number: float) -> float:
    return struct.unpack("<f", struct.pack("<f", number))[0]


def first_label(labels: float | list[float]) -> float:
    """The class: the label, or the first of several; 0 where there are none."""
    return as_float32(([*labels, 0.0] if isinstance(labels, list) else [labels])[0])


def as_hex(records):
    return [(labels, key, image.hex()) for labels, key, image in records]


@given(records=RECORDS)
@example(records=HEADER_RECORDS)
@example(records=LARGE_LABELS)
@settings(max_examples=150, deadline=None)
def test_packed_records_are_the_same_bytes_whoever_packs_them(mxnet, records):
    ours = [pack_image_record(labels, key=key, image=image).hex() for labels, key, image in records]
    assert ours == mxnet("pack", records=as_hex(records))


@given(records=RECORDS)
@example(records=HEADER_RECORDS)
@settings(max_examples=100, deadline=None)
def test_mxnet_unpacks_what_we_pack(mxnet, records):
    payloads = [pack_image_record(labels, key=key, image=image).hex() for labels, key, image in records]
    assert mxnet("unpack", payloads=payloads) == [
        [len(labels), [as_float32(label) for label in labels], key, 0, image.hex()]
        if isinstance(labels, list) and labels
        else [0, first_label(labels), key, 0, image.hex()]
        for labels, key, image in records
    ]


@given(records=RECORDS)
@example(records=HEADER_RECORDS)
@settings(max_examples=100, deadline=None)
def test_we_read_what_mxnet_packs_and_writes(mxnet, tmp_path_factory, records):
    rec = tmp_path_factory.getbasetemp() / "packed.rec"
    mxnet("write", rec=str(rec), payloads=mxnet("pack", records=as_hex(records)))
    with RecordFile(rec) as file:
        found, ends = read_image_records(file, file.record_offsets())
        assert [join_image(file, offset) for offset in found.offsets.tolist()] == [image for _, _, image in records]
        assert found.image_lengths.tolist() == [len(image) for _, _, image in records]
        assert found.num_labels.tolist() == [len(labels) if isinstance(labels, list) else 0 for labels, _, _ in records]
        assert found.labels.tolist() == [first_label(labels) for labels, _, _ in records]
        assert ends.tolist() == [*found.offsets.tolist(), file.num_bytes]
        for image_offset, (_, _, image) in zip(found.image_offsets.tolist(), records, strict=True):
            assert image_offset < 0 or rec.read_bytes()[image_offset : image_offset + len(image)] == image


@pytest.mark.parametrize(("encoding", "quality", "kind", "tolerance"), [(".jpg", 95, "JPEG", 4), (".png", 3, "PNG", 0)])
def test_pictures_that_mxnet_encodes_come_out_as_they_were_packed(mxnet, tmp_path, encoding, quality, kind, tolerance):
    pictures = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    labels = [0.0, 1.0, [2.0, 9.0], [3.0], 4.0]
    payloads = mxnet(
        "pack_pictures",
        records=[
            (label, key, picture.tolist()) for key, (label, picture) in enumerate(zip(labels, pictures, strict=True))
        ],
        encoding=encoding,
        quality=quality,
    )
    mxnet("write", rec=str(tmp_path / "train.rec"), payloads=payloads)
    with RecordFile(tmp_path / "train.rec") as file:
        found, _ = read_image_records(file, file.record_offsets())
        images = [join_image(file, offset) for offset in found.offsets.tolist()]
    assert found.labels.tolist() == [0, 1, 2, 3, 4]
    assert [image.hex() for image in images] == [image for *_, image in mxnet("unpack", payloads=payloads)]
    for image, picture in zip(images, pictures, strict=True):
        decoded = Image.open(io.BytesIO(image))
        assert decoded.format == kind
        assert np.abs(np.asarray(decoded)[..., ::-1].astype(int) - picture).mean() <= tolerance
