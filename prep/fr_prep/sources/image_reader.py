"""Reading encoded images from where they lie."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import repeat
from typing import NoReturn, Self

import numpy as np

from fr_prep.errors import SourceError
from fr_prep.sources.image_set import ENCODED, THROUGH_MXNET, ImagePlaces
from fr_prep.sources.record_sets.image_records import join_image
from fr_prep.sources.record_sets.mxnet_reader import MxnetRecordFile
from fr_prep.sources.record_sets.recordio import RecordFile

__all__ = ["ImageReader"]

MAX_OPEN_FILES = 200


class ImageReader:
    """Reads images by row; to be entered.

    Images come by `preadv` straight to their place: a mapping read at random would count as memory of the process, and kill it
    where the file is cut short meanwhile.

    Args:
        places: where the images lie.

    Raises:
        SourceError: if a file cannot be read, or is shorter than it was.
    """

    def __init__(self, places: ImagePlaces) -> None:
        self._places = places
        self._descriptors: OrderedDict[int, int] = OrderedDict()
        self._record_files: dict[int, RecordFile] = {}
        self._mxnet_files: dict[int, MxnetRecordFile] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def read(self, row: int) -> bytes:
        """Gives the encoded image of a row."""
        image = bytearray(int(self._places.image_lengths[row]))
        self.read_into([memoryview(image)], row)
        return bytes(image)

    def read_into(self, targets: Sequence[memoryview], first_row: int) -> None:
        """Reads the images of consecutive rows.

        Args:
            targets: as many memories, each as long as its image.
            first_row: the row of the first one.
        """
        rows = slice(first_row, first_row + len(targets))
        numbers, offsets = self._places.file_numbers[rows], self._places.image_offsets[rows]
        begin = 0
        for cut in [*(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(targets)]:  # runs of images from one file
            descriptor = self._descriptor(int(numbers[begin]))
            run = offsets[begin:cut]
            if (run >= 0).all():
                self._read_run(descriptor, targets[begin:cut], run.tolist(), first_row + begin)
            else:
                for index, offset in enumerate(run.tolist(), start=begin):
                    if offset < 0:
                        self._read_split(targets[index], first_row + index)
                    else:
                        self._read_run(descriptor, [targets[index]], [offset], first_row + index)
            begin = cut

    def _read_run(self, descriptor: int, targets: Sequence[memoryview], offsets: Sequence[int], first_row: int) -> None:
        """Reads images of one file; no Python in the loop, which runs a million times a set."""
        try:
            num_read = list(map(os.preadv, repeat(descriptor), zip(targets), offsets))
        except OSError as error:
            raise SourceError(f"{self._places.path(first_row)}: cannot be read: {error.strerror}.") from error
        expected = list(map(len, targets))
        if num_read != expected:
            self._raise_short(first_row + next(i for i in range(len(targets)) if num_read[i] != expected[i]))

    def _descriptor(self, number: int) -> int:
        """Opens a file, or gives it again; the one used longest ago is closed when there are many."""
        if number in self._descriptors:
            self._descriptors.move_to_end(number)
            return self._descriptors[number]
        if len(self._descriptors) == MAX_OPEN_FILES:
            os.close(self._descriptors.popitem(last=False)[1])
        path = self._places.folder / self._places.files[number]
        try:
            self._descriptors[number] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}.") from error
        return self._descriptors[number]

    def _read_split(self, target: memoryview, row: int) -> None:
        number = int(self._places.file_numbers[row])
        if self._places.image_offsets[row] == ENCODED:
            from fr_data.images.pictures import encode_file  # noqa: PLC0415  only this needs Pillow

            image = encode_file(self._places.path(row))
        elif self._places.image_offsets[row] == THROUGH_MXNET:
            if number not in self._mxnet_files:
                self._mxnet_files[number] = self._stack.enter_context(MxnetRecordFile(self._places.path(row)))
            image = self._mxnet_files[number].read(int(self._places.record_offsets[row])).image
        else:
            if number not in self._record_files:
                self._record_files[number] = self._stack.enter_context(RecordFile(self._places.path(row)))
            image = join_image(self._record_files[number], int(self._places.record_offsets[row]))
        if len(image) != len(target):
            self._raise_short(row)
        target[:] = image

    def _raise_short(self, row: int) -> NoReturn:
        raise SourceError(
            f"{self._places.describe(row)}: expected an image of {int(self._places.image_lengths[row])} bytes, which now has "
            "another length. The file was changed while it was read: convert it again."
        )
