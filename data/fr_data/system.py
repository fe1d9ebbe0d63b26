"""What Linux can do beyond Python's `os`: reserve a file's blocks, begin to write it to the disk, sync one file system."""

import ctypes
import errno
import os
import sys

__all__ = ["preallocate", "start_writeback", "sync_file_system"]

_SYNC_FILE_RANGE_WRITE = 2
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def preallocate(descriptor: int, num_bytes: int) -> None:
    """Reserves the blocks of a file at once, which costs less than one by one and says early that the disk is full.

    `os.posix_fallocate` is not used: where a file system has no such call, the C library writes zeros in its place.

    Raises:
        OSError: if there is no room.
    """
    if _libc is not None and _libc.fallocate(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(num_bytes)):
        code = ctypes.get_errno()
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # whatever else it may be, writing will tell
            raise OSError(code, os.strerror(code))


def start_writeback(descriptor: int, offset: int, num_bytes: int) -> None:
    """Asks the kernel to begin writing a stretch of a file, without waiting, so that an `fsync` finds little left to do."""
    if _libc is not None:
        _libc.sync_file_range(
            descriptor, ctypes.c_int64(offset), ctypes.c_int64(num_bytes), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE)
        )


def sync_file_system(descriptor: int) -> None:
    """Waits until all that was written to the file system that a file or folder is on, is on the disk: one call for all files.

    Raises:
        OSError: if it could not be written.
    """
    if _libc is None:
        os.sync()
    elif _libc.syncfs(descriptor):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
