"""Finding what is sound of a damaged `.rec`: whole records between damaged stretches, and what is wrong with the others.

The magic on a 4-byte step of a sound file starts a frame, and nothing else. So a frame is looked for wherever it stands, and one
that claims to reach over the next is damaged itself, its neighbour is not. One that ends before the next either has a damaged
length, or is followed by one that lost its magic: whether its image is whole decides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fr_prep.errors import DamagedRecordError
from fr_prep.sources.record_sets.image_records import IMAGE_HEADER, read_image_record
from fr_prep.sources.record_sets.recordio import FIRST, FRAME_HEADER, MAX_RECORD_BYTES, WHOLE, WINDOW_BYTES, RecordFile

__all__ = ["SoundFrames", "find_sound_frames"]

_FLAG, _ID = ((FRAME_HEADER.size + byte) // 4 for byte in (0, 8))  # in 4-byte words from the start of the frame
_FRAME = np.dtype(
    [("offset", "<i8"), ("id", "<i8"), ("length", "<i4"), ("flag", "u1"), ("lacks_header", "?"), ("lacks_padding", "?")]
)


@dataclass(frozen=True, slots=True)
class SoundFrames:
    """The sound records of a file, one row a record, in file order.

    Attributes:
        offsets: (n,) int64, byte offset of each.
        ends: (n,) int64, byte offset behind each.
        ids: (n,) int64, the id that each has in its image header; its key, with most writers.
        fault_offsets: (k,) int64, byte offset of each record that is not sound, ascending.
        fault_reasons: what is wrong with each of those.
    """

    offsets: NDArray[np.int64]
    ends: NDArray[np.int64]
    ids: NDArray[np.int64]
    fault_offsets: NDArray[np.int64]
    fault_reasons: list[str]

    def first_fault(self, start: int, stop: int) -> str | None:
        """Says what is wrong with the first record that seems to start between two bytes."""
        first, past_last = np.searchsorted(self.fault_offsets, [start, stop])
        return self.fault_reasons[first] if first < past_last else None


def find_sound_frames(file: RecordFile, *, quiet: bool = True) -> SoundFrames:
    """Looks through a file for records whose frames and headers are sound."""
    windows = [np.empty(0, dtype=_FRAME)]
    with tqdm(
        total=file.num_bytes, unit="B", unit_scale=True, desc="Searching for records", disable=quiet or None
    ) as bar:
        for window in file.magics():
            windows.append(_read_frames(file, window))
            bar.update(min(WINDOW_BYTES, file.num_bytes - bar.n))
    frames = np.concatenate(windows)
    offsets, flags = frames["offset"], frames["flag"]
    faults, last = _follow_parts(file, offsets, flags)
    ends = _ends(frames)[last]
    next_offsets, next_flags = np.append(offsets[1:], file.num_bytes)[last], np.append(flags[1:], WHOLE)[last]
    starts = flags <= FIRST
    starts[list(faults)] = False
    doubtful = (ends != next_offsets) | (next_flags > FIRST) | frames["lacks_padding"][last] | frames["lacks_header"]
    for row in np.flatnonzero(starts & doubtful).tolist():
        fault = _find_fault(file, int(offsets[row]), end=int(ends[row]), next_offset=int(next_offsets[row]))
        if fault:
            faults[row] = fault
    starts[list(faults)] = False
    rows = sorted(faults)
    return SoundFrames(
        offsets=offsets[starts],
        ends=ends[starts],
        ids=frames["id"][starts],
        fault_offsets=offsets[rows],
        fault_reasons=[faults[row] for row in rows],
    )


def _find_fault(file: RecordFile, offset: int, *, end: int, next_offset: int) -> str | None:
    """Says what is wrong with a record whose end, header or padding is not as it should be; perhaps nothing is."""
    if end > next_offset:
        what = "the file ends" if next_offset == file.num_bytes else "another frame starts"
        return f"the record at byte {offset} says that it reaches to byte {end}, but at byte {next_offset} {what}"
    try:
        image = read_image_record(file, offset).image
    except DamagedRecordError as error:
        return error.reason
    if _is_whole(image):
        return None
    return f"the record at byte {offset} ends at byte {end}, but its image does not: its length is damaged, or bytes of it are lost"


def _read_frames(file: RecordFile, offsets: NDArray[np.int64]) -> NDArray[np.void]:
    """Gives what must be known of the frames at these offsets, also of those that reach past the end of the file."""
    words, last = offsets // 4, len(file.words) - 1
    frames = np.empty(len(offsets), dtype=_FRAME)
    frames["offset"] = offsets
    frames["flag"], frames["length"] = (lrec := file.words[words + 1]) >> 29, lrec & MAX_RECORD_BYTES
    low, high = (file.words[np.minimum(words + _ID + half, last)].astype(np.int64) for half in (0, 1))
    frames["id"] = high << 32 | low
    num_labels = file.words[np.minimum(words + _FLAG, last)].astype(np.int64)
    whole = frames["flag"] == WHOLE
    frames["lacks_header"] = whole & (frames["length"] < IMAGE_HEADER.size + 4 * num_labels)
    last_words = file.words[np.minimum(_ends(frames) // 4 - 1, last)]
    bits = frames["length"].astype(np.uint32) % 4 * 8
    frames["lacks_padding"] = (bits > 0) & (last_words >> bits != 0)  # the writer fills up with zeros
    return frames


def _ends(frames: NDArray[np.void]) -> NDArray[np.int64]:
    ends: NDArray[np.int64] = frames["offset"] + FRAME_HEADER.size + ((frames["length"] + 3) & ~3)
    return ends


def _follow_parts(
    file: RecordFile, offsets: NDArray[np.int64], flags: NDArray[np.int64]
) -> tuple[dict[int, str], NDArray[np.int64]]:
    """Follows split records; gives what is wrong with each, by row, and (n,) int64 the row of each record's last frame."""
    faults, last = {}, np.arange(len(offsets))
    for row in np.flatnonzero(flags == FIRST).tolist():
        offset = int(offsets[row])
        try:
            *others, (payload, _) = file.parts_at(offset)
            read_image_record(file, offset)
        except DamagedRecordError as error:
            faults[row] = error.reason
            continue
        end = row + len(others)
        if offsets[end] == payload - FRAME_HEADER.size:
            last[row] = end
        else:
            faults[row] = f"the record at byte {offset} is damaged: other frames start inside its parts"
    return faults, last


def _is_whole(image: bytes) -> bool:
    """Whether an image ends where it says that it does, as a JPEG or a PNG; an empty one is that of a header record."""
    if image.startswith(b"\x89PNG"):
        return image.endswith(b"IEND\xae\x42\x60\x82")
    position = 2
    while position + 4 <= len(image) and image[position] == 0xFF:
        code = image[position + 1]
        if code == 0xDA:  # the first scan; behind it, this marker is the end of the image
            return image.find(b"\xff\xd9", position) == len(image) - 2
        position += 2 + (0 if 0xD0 <= code <= 0xD8 else int.from_bytes(image[position + 2 : position + 4], "big"))
    return not image
