"""Sending written bytes to the disk while the next ones are made, so that the `fsync` at the end has little left to wait for."""

import ctypes
import sys

__all__ = ["start_writeback"]

_SYNC_FILE_RANGE_WRITE = 2
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def start_writeback(descriptor: int, offset: int, num_bytes: int) -> None:
    """Asks the kernel to begin writing a stretch of a file, without waiting; where there is no such call, does nothing."""
    if _libc is not None:
        _libc.sync_file_range(
            descriptor, ctypes.c_int64(offset), ctypes.c_int64(num_bytes), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE)
        )
