"""Pseudo-random orders of classes, of which single places can be asked either way: the order itself is never made."""

import math
from typing import Any

from keras import ops

__all__ = ["ClassOrder", "mix"]

Tensor = Any
NUM_ROUNDS = 16  # 8 are enough for thousands of classes; with a handful, pairs of neighbours came unevenly often
GOLDEN = 0x9E3779B9  # 2^32 divided by the golden ratio


def mix(words: Tensor) -> Tensor:
    """Scrambles uint32, each to another: the finalizer of MurmurHash3 (Appleby)."""
    words = ops.bitwise_xor(words, ops.right_shift(words, _word(16)))
    words = words * _word(0x85EBCA6B)
    words = ops.bitwise_xor(words, ops.right_shift(words, _word(13)))
    words = words * _word(0xC2B2AE35)
    return ops.bitwise_xor(words, ops.right_shift(words, _word(16)))


class ClassOrder:
    """A permutation of 0 to C - 1, by a key.

    A class is a field (left, right) of a table of about √C rows with hardly more than C fields. Left and right are moved in turn by
    what the other is mixed to, a Feistel network. What ends outside of the C classes is moved again.

    Args:
        num_classes: C, below 2^31.
        key: a uint32 scalar; each gives another order.

    Reference:
        Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains.
    """

    def __init__(self, num_classes: int, key: Tensor) -> None:
        root = math.isqrt(num_classes)
        rows = min(range(max(root, 2), root * 3 // 2 + 2), key=lambda rows: -num_classes % rows)
        self._num_classes, self._rows, self._columns = num_classes, rows, -(-num_classes // rows)
        offsets = ops.convert_to_tensor([number * GOLDEN & 0xFFFFFFFF for number in range(NUM_ROUNDS)], dtype="uint32")
        self._keys = mix(key[None] + ops.reshape(offsets, (-1, *[1] * len(key.shape))))

    def class_at(self, places: Tensor) -> Tensor:
        """Gives the classes at places of the order; any shape, int32."""
        return self._walk(places, forward=True)

    def place_of(self, classes: Tensor) -> Tensor:
        """Gives the places of classes in the order; any shape, int32."""
        return self._walk(classes, forward=False)

    def _walk(self, numbers: Tensor, *, forward: bool) -> Tensor:
        limit = _word(self._num_classes)

        def again(words: Tensor) -> tuple[Tensor]:
            return (ops.where(words >= limit, self._permute(words, forward=forward), words),)

        words = self._permute(ops.cast(numbers, "uint32"), forward=forward)
        (words,) = ops.while_loop(lambda words: ops.any(words >= limit), again, (words,))
        return ops.cast(words, "int32")

    def _permute(self, words: Tensor, *, forward: bool) -> Tensor:
        columns = _word(self._columns)
        left, right = words // columns, words % columns
        for number in range(NUM_ROUNDS) if forward else reversed(range(NUM_ROUNDS)):
            other, size = (right, self._rows) if number % 2 else (left, self._columns)
            step = mix(other * _word(GOLDEN) + self._keys[number]) % _word(size)
            step = step if forward else _word(size) - step
            if number % 2:
                left = (left + step) % _word(size)
            else:
                right = (right + step) % _word(size)
        return left * columns + right


def _word(value: int) -> Tensor:
    return ops.convert_to_tensor(value & 0xFFFFFFFF, dtype="uint32")
