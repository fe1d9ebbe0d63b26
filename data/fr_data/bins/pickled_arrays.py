"""Inert stand-ins for the NumPy objects that a pickle names.

NumPy's own `_reconstruct` and `__setstate__` are C code that trusts its input. Here nothing of NumPy runs while a pickle is
read: the stand-ins record shape, data type and raw bytes, and are converted afterwards, by checks that know what a
verification bin may hold.
"""

from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

__all__ = ["Encoded", "PickledArray", "PickledDType", "PickledScalar", "describe"]

_KINDS = "biu"  # bool, signed, unsigned
_ITEM_BYTES = (1, 2, 4, 8)


@dataclass(eq=False)
class PickledDType:
    """What `numpy.dtype("u1")` and its state said: the code, and the byte order where one was given."""

    code: str
    byte_order: str = "|"

    @property
    def is_object(self) -> bool:
        """Whether it is the data type of arrays of Python objects."""
        return self.code in {"O", "O4", "O8"}

    def set_state(self, state: object) -> None:
        """Takes the state tuple `(version, byte order, None, None, None, -1, -1, flags)`."""
        plain = isinstance(state, tuple) and len(state) == 8 and state[2:5] == (None, None, None)
        order = _text(state[1]) if isinstance(state, tuple) and plain else None
        if order not in {"|", "<", ">", "="}:
            raise ValueError("numpy.dtype has a state that is no plain data type (sub-arrays, fields or metadata)")
        self.byte_order = order

    def convert(self) -> np.dtype[np.generic]:
        """Gives the real data type; only booleans and integers of 1, 2, 4 or 8 bytes are admitted.

        Raises:
            ValueError: it is anything else.
        """
        if self.code == "?":
            return np.dtype(np.bool_)
        kind, size = self.code[:1], self.code[1:]
        if kind not in _KINDS or size not in {str(n) for n in _ITEM_BYTES} or (kind == "b" and size != "1"):
            raise ValueError(f"expected an array of booleans or integers; received the data type {self.code[:20]!r}")
        order = "<" if self.byte_order == "=" else self.byte_order
        return np.dtype(order + self.code)


@dataclass(eq=False)
class PickledArray:
    """What a pickled `numpy.ndarray` said of itself; `data` is None until its state has come.

    Attributes:
        shape: the shape as it was given, not yet checked.
        dtype: the data type's stand-in.
        data: raw bytes, an `Encoded`, or the list of an object array.
    """

    shape: tuple[object, ...] = ()
    dtype: PickledDType | None = None
    data: object = field(default=None, repr=False)

    def set_state(self, state: object) -> None:
        """Takes the state tuple `(version, shape, dtype, is_fortran, data)`; very old files leave the version out."""
        if self.dtype is not None:
            raise ValueError("numpy.ndarray is given its state twice")
        parts = state[-4:] if isinstance(state, tuple) and len(state) in {4, 5} else (None, None, None, None)
        shape, dtype, _, data = parts
        if not isinstance(shape, tuple) or not isinstance(dtype, PickledDType):
            raise ValueError("numpy.ndarray has a state that is not (version, shape, dtype, order, data)")
        self.shape, self.dtype, self.data = shape, dtype, data

    def checked_shape(self) -> tuple[int, ...]:
        """Gives the shape, each length being a plain, non-negative integer; at most 4 of them."""
        lengths = [n for n in self.shape if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**40]
        if len(lengths) != len(self.shape) or len(lengths) > 4:
            raise ValueError("an array has a shape that is no tuple of up to four lengths")
        return tuple(lengths)

    def raw_bytes(self) -> bytes:
        """Gives the array's bytes, which must be as many as shape and data type say.

        Raises:
            ValueError: the array is unfinished, or they are not.
        """
        if self.dtype is None:
            raise ValueError("an array without data")
        raw = self.data.encode() if isinstance(self.data, Encoded) else self.data
        if not isinstance(raw, bytes):
            raise ValueError(f"an array's data is {describe(raw)}; expected bytes")
        expected = prod(self.checked_shape()) * self.dtype.convert().itemsize
        if len(raw) != expected:
            raise ValueError(f"an array of shape {self.checked_shape()} has {len(raw)} bytes; expected {expected}")
        return raw

    def convert(self) -> npt.NDArray[np.generic]:
        """Gives the real array of booleans or integers, flattened to one dimension."""
        raw = self.raw_bytes()
        dtype = self.dtype.convert() if self.dtype else np.dtype(np.uint8)
        # A byte that is neither 0 nor 1 must not become a "true" of its own kind.
        if dtype.kind == "b":
            dtype = np.dtype(np.uint8)
        return np.frombuffer(raw, dtype)

    def list_objects(self) -> list[object]:
        """Gives the entries of an array of Python objects with one dimension."""
        shape = self.checked_shape()
        if not isinstance(self.data, list) or len(shape) != 1 or shape[0] != len(self.data):
            raise ValueError("an array of objects is not one row of entries")
        return self.data


@dataclass(eq=False)
class PickledScalar:
    """What `scalar(dtype, raw)` said."""

    dtype: PickledDType
    data: object = field(repr=False)

    def convert(self) -> int:
        """Gives the value as a plain integer."""
        raw = self.data.encode() if isinstance(self.data, Encoded) else self.data
        dtype = self.dtype.convert()
        if not isinstance(raw, bytes) or len(raw) != dtype.itemsize:
            raise ValueError(f"a scalar of {dtype} needs {dtype.itemsize} bytes")
        return int(np.frombuffer(raw, np.dtype(np.uint8) if dtype.kind == "b" else dtype)[0])


@dataclass(eq=False)
class Encoded:
    """A text that stands for bytes, as Python 3 writes them in protocol 2: `_codecs.encode(text, "latin1")`.

    It is encoded when asked for, once: a hostile pickle could call for the same megabyte a million times.
    """

    text: str = field(repr=False)
    _bytes: bytes | None = field(default=None, repr=False)

    def encode(self) -> bytes:
        """Gives the bytes."""
        if self._bytes is None:
            self._bytes = self.text.encode("latin-1")
        return self._bytes


def describe(value: object) -> str:
    """Names a value in a few words, without ever printing one of unbounded size."""
    match value:
        case None | bool():
            return repr(value)
        case int() if abs(value) < 2**64:
            return f"the integer {value}"
        case int():
            return f"an integer of {value.bit_length()} bits"
        case str() | bytes():
            return f"{type(value).__name__} of length {len(value)}"
        case list() | tuple():
            return f"a {type(value).__name__} of {len(value)}"
        case PickledArray():
            return f"an array of {value.dtype.code[:20]!r}" if value.dtype else "an unfinished array"
        case PickledScalar():
            return f"a scalar of {value.dtype.code[:20]!r}"
        case _:
            return f"a {type(value).__name__}"


def _text(value: object) -> str | None:
    """Gives a text that Python 3 wrote as str and Python 2 as bytes."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else None
