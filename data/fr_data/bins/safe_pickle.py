"""A pickle machine that cannot run anything.

A pickle is a program for a small stack machine. Python's own reader executes it with whatever callables it names, and its C
memo can be made to take gigabytes by one opcode. This one knows the few opcodes that lists of images and truths need. It has
no callables at all: the names that it admits are handled by the table below, as data, and everything else is refused by its
name before anything is looked up.

Reference: the opcodes are described in CPython's `Lib/pickletools.py`, whose readers of arguments are used here.
"""

import codecs
import io
import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from fr_data.bins.pickled_arrays import Encoded, PickledArray, PickledDType, PickledScalar, describe

__all__ = ["UnsafePickleError", "read_pickle"]

MAX_OPCODES = 10_000_000  # a bin needs up to 20 an image; a longer program is no list of pairs

_BUILTINS = {"bytes": bytes, "bytearray": bytes, "str": str, "int": int, "bool": bool, "list": list, "tuple": tuple}
_NUMPY = {
    **{f"numpy.{core}.multiarray.{name}": name for core in ("core", "_core") for name in ("_reconstruct", "scalar")},
    **{f"numpy.{core}.numeric._frombuffer": "_frombuffer" for core in ("core", "_core")},
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
}


class UnsafePickleError(ValueError):
    """The stream is no pickle of plain data. The message says at which byte, and what was met there."""


@dataclass(frozen=True)
class Name:
    """A global that the pickle named and that is admitted: a word, not a callable."""

    full: str
    word: str


@dataclass(frozen=True)
class _Mark:
    """Where a batch of stack items begins."""


_MARK = _Mark()


def read_pickle(data: bytes) -> tuple[object, int]:
    """Reads one pickle of plain data that fills `data` to its end.

    Args:
        data: the whole stream, of any protocol from 0 to 5.

    Returns:
        The object, made of None, bool, int, str, bytes, list, tuple and the stand-ins of `fr_data.bins.pickled_arrays`; and the
        protocol. Python 2's `str` comes as bytes.

    Raises:
        UnsafePickleError: it names a callable that is not admitted, uses an opcode that data have no need of, is damaged,
            or something follows it.
    """
    machine = _Machine()
    stream = io.BytesIO(data)
    position = 0
    try:
        for count, (opcode, argument) in enumerate(_split(stream)):
            if count >= MAX_OPCODES:
                raise ValueError(f"more than {MAX_OPCODES:,} opcodes")
            machine.step(opcode, argument)
            position = stream.tell()
        if position != len(data):
            raise ValueError(f"{len(data) - position:,} bytes follow the end of the pickle")
    except UnsafePickleError as error:
        raise UnsafePickleError(f"at byte {position}: {error}") from None
    except IndexError:
        raise UnsafePickleError(f"at byte {position}: damaged: it takes from an empty stack") from None
    except MemoryError:
        raise UnsafePickleError(f"at byte {position}: it asks for more memory than there is") from None
    except ValueError as error:  # what pickletools says of a stream that is cut off or malformed
        raise UnsafePickleError(f"at byte {position}: damaged: {str(error)[:200]}") from None
    return machine.result, machine.protocol


def _split(stream: io.BytesIO) -> Iterator[tuple[str, Any]]:
    """Yields the opcodes by name, with their arguments, up to and with STOP."""
    by_code = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
    while True:
        code = stream.read(1)
        opcode = by_code.get(code)
        if opcode is None:
            raise ValueError(f"the byte {code!r} is no opcode" if code else "the file ends in mid-pickle")
        if opcode.name == "STRING":  # pickletools takes these for ASCII; Python 2 wrote images so
            yield opcode.name, _read_quoted(stream)
        else:
            yield opcode.name, opcode.arg.reader(stream) if opcode.arg else None
        if opcode.name == "STOP":
            return


def _read_quoted(stream: io.BytesIO) -> str:
    """Reads the line of a text `str` of Python 2, in quotes and with escapes, as latin-1."""
    line = stream.readline()
    if len(line) < 3 or line[-1:] != b"\n" or line[0] != line[-2] or line[:1] not in {b"'", b'"'}:
        raise ValueError("a string without its quotes")
    raw, _ = codecs.escape_decode(line[1:-2])
    return str(raw, "latin-1")


class _Machine:
    """The stack, the memo and the opcodes."""

    def __init__(self) -> None:
        self.result: object = None
        self.protocol = 0
        self._stack: list[Any] = []
        self._memo: dict[int, object] = {}  # a dict: a giant index costs one entry, not an array
        self._opcodes: dict[str, Callable[[Any], None]] = self._make_table()

    def step(self, opcode: str, argument: Any) -> None:
        """Runs one opcode."""
        handler = self._opcodes.get(opcode)
        if handler is None:
            named = f" ({str(argument)[:100]})" if opcode in {"INST", "PERSID", "EXT1", "EXT2", "EXT4"} else ""
            raise UnsafePickleError(
                f"the opcode {opcode}{named} is refused: lists of images and truths need none of it"
            )
        handler(argument)

    def _make_table(self) -> dict[str, Callable[[Any], None]]:
        push = self._stack.append
        table: dict[str, Callable[[Any], None]] = {
            "PROTO": self._set_protocol,
            "FRAME": lambda _: None,
            "STOP": lambda _: self._stop(),
            "MARK": lambda _: push(_MARK),
            "POP": lambda _: self._pop(),
            "POP_MARK": lambda _: self._drop_batch(),
            "DUP": lambda _: push(self._top()),
            "NONE": lambda _: push(None),
            "NEWTRUE": lambda _: push(True),
            "NEWFALSE": lambda _: push(False),
            "EMPTY_LIST": lambda _: push([]),
            "LIST": lambda _: push(self._pop_batch()),
            "APPEND": lambda _: self._extend([self._pop()]),
            "APPENDS": lambda _: self._extend(self._pop_batch()),
            "EMPTY_TUPLE": lambda _: push(()),
            "TUPLE": lambda _: push(tuple(self._pop_batch())),
            "TUPLE1": lambda _: push(self._pop_tuple(1)),
            "TUPLE2": lambda _: push(self._pop_tuple(2)),
            "TUPLE3": lambda _: push(self._pop_tuple(3)),
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "GLOBAL": lambda name: push(_admit(*str(name).split(" ", 1))),
            "STACK_GLOBAL": lambda _: push(self._stack_global()),
            "REDUCE": lambda _: self._reduce(),
            "BUILD": lambda _: self._build(),
        }
        table |= dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), push)
        table |= dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), push)
        table |= dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), push)
        # pickletools gives Python 2's strings as latin-1 text.
        table |= dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), lambda text: push(text.encode("latin-1")))
        table |= dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._put)
        table |= dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), self._get)
        table["BYTEARRAY8"] = lambda array: push(bytes(array))
        return table

    def _set_protocol(self, protocol: int) -> None:
        self.protocol = protocol

    def _stop(self) -> None:
        self.result = self._pop()
        if self._stack:
            raise ValueError(f"{len(self._stack)} values are left on the stack at its end")

    def _top(self) -> Any:
        if self._stack[-1] is _MARK:
            raise ValueError("a mark stands where a value is expected")
        return self._stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _pop_tuple(self, length: int) -> tuple[Any, ...]:
        values = [self._pop() for _ in range(length)]
        return tuple(reversed(values))

    def _pop_batch(self) -> list[Any]:
        values = []
        while self._stack[-1] is not _MARK:
            values.append(self._stack.pop())
        self._stack.pop()
        values.reverse()
        return values

    def _drop_batch(self) -> None:
        self._pop_batch()

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise ValueError(f"it appends to {describe(target)}")
        target.extend(values)

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError(f"the memo has no entry {describe(index)}")
        self._stack.append(self._memo[index])

    def _stack_global(self) -> Name:
        module, name = self._pop_tuple(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a global's name is no text")
        return _admit(module, name)

    def _reduce(self) -> None:
        function, arguments = self._pop_tuple(2)
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise UnsafePickleError(f"it calls {describe(function)} with {describe(arguments)}; refused")
        self._stack.append(_stand_in(function, arguments))

    def _build(self) -> None:
        state = self._pop()
        target = self._top()
        if not isinstance(target, PickledArray | PickledDType):
            raise UnsafePickleError(f"it sets the state of {describe(target)}; refused")
        target.set_state(state)


def _admit(module: str, name: str) -> Name:
    """Gives the word for a global that is on the list; refuses every other by its name."""
    full = f"{module}.{name}"
    if full in _NUMPY:
        return Name(full, _NUMPY[full])
    if full == "_codecs.encode" or (module in {"builtins", "__builtin__"} and name in _BUILTINS):
        return Name(full, name)
    return _refuse(full)


def _refuse(full: str) -> NoReturn:
    raise UnsafePickleError(
        f"it names {full[:100]!r}, which a verification bin has no need of. Nothing of it was run. "
        "Do not load this file by other means; get it from a source that you trust"
    )


def _stand_in(function: Name, arguments: tuple[Any, ...]) -> object:
    """Gives the data that a call of an admitted name stands for."""
    match function.word, arguments:
        case "_reconstruct", (Name(word="ndarray"), tuple(), bytes() | str() | Encoded()):
            return PickledArray()
        case "ndarray", (tuple(), *_):
            return PickledArray()
        case "dtype", (str() | bytes() as code, *_):
            return PickledDType(code if isinstance(code, str) else code.decode("latin-1"))
        case "_frombuffer", (bytes() | Encoded() as data, PickledDType() as dtype, tuple() as shape, *_):
            return PickledArray(shape, dtype, data)
        case "scalar", (PickledDType() as dtype, bytes() | Encoded() as data):
            return PickledScalar(dtype, data)
        case ("encode", (str() as text, codec)) | ("bytearray", (str() as text, codec)) if _is_latin1(codec):
            return Encoded(text)
        case "bytes" | "bytearray", (Encoded() as encoded,):
            return encoded
        case word, () if word in _BUILTINS:
            return _BUILTINS[word]()
        case word, (value,) if word in _BUILTINS and isinstance(value, _BUILTINS[word]):
            return value
    described = ", ".join(describe(argument) for argument in arguments[:5])
    raise UnsafePickleError(f"it calls {function.full} with ({described}), which plain data have no need of; refused")


def _is_latin1(codec: object) -> bool:
    return codec in {"latin1", "latin-1", b"latin1", b"latin-1"} if isinstance(codec, str | bytes) else False
