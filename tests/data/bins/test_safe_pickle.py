import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fr_data.bins import safe_pickle
from fr_data.bins.pickled_arrays import Encoded, PickledArray
from fr_data.bins.safe_pickle import UnsafePickleError, read_pickle


class Reduce:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments, state=None):
        self.value = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.value


PLAIN = [[b"one", b"two"], [True, False, 1, 0, -3, 2**70], ("text", None, [], ())]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_of_every_protocol_come_back(protocol):
    value, found = read_pickle(pickle.dumps(PLAIN, protocol))
    assert found == (protocol if protocol >= 2 else 0)
    texts = [entry.encode() if isinstance(entry, Encoded) else entry for entry in value[0]]
    assert [texts, *value[1:]] == PLAIN


@pytest.mark.parametrize("protocol", [2, 4])
def test_empty_bytes_and_bytearrays_come_back(protocol):
    value, _ = read_pickle(pickle.dumps([b"", bytearray(b"ab")], protocol))
    assert value[0] == b""
    assert (value[1].encode() if isinstance(value[1], Encoded) else value[1]) == b"ab"


def test_strings_of_python_2_come_as_bytes():
    assert read_pickle(b"\x80\x02U\x03\x00\xff\x41.") == (b"\x00\xffA", 2)
    assert read_pickle(b"S'\\xff\\x00a\\n'\n.") == (b"\xff\x00a\n", 0)


@pytest.mark.parametrize(
    ("stream", "named"),
    [
        (b"cos\nsystem\n(S'touch PWNED'\ntR.", "os.system"),
        (b"cposix\nsystem\n(S'touch PWNED'\ntR.", "posix.system"),
        (pickle.dumps(Reduce(os.mkdir, "PWNED"), 4), "posix.mkdir"),
        (pickle.dumps(Reduce(eval, "open('PWNED', 'w')"), 2), "eval"),
        (pickle.dumps([[[Reduce(os.mkdir, "PWNED")]]], 5), "posix.mkdir"),
        (pickle.dumps(Reduce(getattr, "x", "upper"), 4), "builtins.getattr"),
        (pickle.dumps(Reduce(np.load, "PWNED"), 4), "numpy"),
        (pickle.dumps(Reduce(np.frombuffer, b"12"), 4), "numpy"),
        (b"(S'touch PWNED'\nios\nsystem\n.", "INST"),
        (b"(cos\nsystem\nS'touch PWNED'\no.", "os.system"),
        (b"\x80\x02cos\nsystem\n)\x81.", "os.system"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        (b"(cnumpy\nndarray\no.", "OBJ"),
        (b"Pevil\n.", "PERSID (evil)"),
        (b"S'evil'\nQ.", "BINPERSID"),
        (b"\x82\x01.", "EXT1 (1)"),
        (b"\x83\x01\x00.", "EXT2"),
        (b"\x84\x01\x00\x00\x00.", "EXT4"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"}.", "EMPTY_DICT"),
        (b"\x8f.", "EMPTY_SET"),
        (b"G@\x00\x00\x00\x00\x00\x00\x00.", "BINFLOAT"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_name_and_not_run(stream, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafePickleError) as caught:
        read_pickle(stream)
    assert named in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "stream",
    [
        b"c_codecs\nencode\n(Vx\nVidna\ntR.",  # another codec
        b"c__builtin__\nbytes\n(I999999999\ntR.",  # would allocate
        b"c__builtin__\nint\n(V9\ntR.",
        b"c__builtin__\nlist\n(c__builtin__\nlist\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(c__builtin__\nlist\n(I0\ntVb\ntR.",  # of another class
        b"cnumpy.core.multiarray\nscalar\n(VO8\nVx\ntR.",
        b"(lI1\nb.",  # state for a list
        b"c__builtin__\nlist\nI1\nb.",  # state for a name
        b"I1\n(tR.",  # a call of a number
        b"c__builtin__\nlist\nI1\nR.",  # arguments that are no tuple
    ],
)
def test_admitted_names_take_only_the_arguments_that_data_have(stream):
    with pytest.raises(UnsafePickleError):
        read_pickle(stream)


def test_state_reaches_no_numpy_code():
    evil = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    for state in (b"I1\nb.", b"(I1\nI2\nI3\nI4\nI5\ntb.", b"(I1\n(I9\ntNI00\nU\x01xtb."):
        with pytest.raises(UnsafePickleError):
            read_pickle(evil + state)
    # A shape of a million terabytes is a record, nothing is allocated for it.
    state = b"(I1\n(I1000000000000000000\ntcnumpy\ndtype\n(U\x02u1tRI00\nU\x01xtb."
    array, _ = read_pickle(evil + state)
    assert isinstance(array, PickledArray)
    with pytest.raises(ValueError, match="shape"):
        array.raw_bytes()


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\x80",
        b"\x80\x04",
        b"K\x01",
        b"K\x01K\x02.",  # two values are left
        b"K\x01.K\x01.",  # something follows
        b".",
        b"(.",
        b"a.",
        b"0.",
        b"(2.",
        b"h\x07.",
        b"\x8e" + struct.pack("<Q", 2**63) + b"x.",  # absurd lengths
        b"\x8e" + struct.pack("<Q", 2**62) + b"x.",
        b"\x8d" + struct.pack("<Q", 2**62) + b"x.",
        b"\x96" + struct.pack("<Q", 2**62) + b"x.",
        b"B" + struct.pack("<I", 2**32 - 1) + b"x.",
        b"T" + struct.pack("<i", -1) + b"x.",
        b"\x8b" + struct.pack("<i", -1) + b"x.",
        b"I" + b"9" * 5000 + b"\n.",
        b"L" + b"9" * 5000 + b"L\n.",
        b"S'no end\n.",
        b"Sxyz\n.",
        b"S'\\x4'\n.",
        b"X\x02\x00\x00\x00\xff\xff.",
        b"\x80\x04\x8c\x02os\x93.",
        b"K\x01K\x02\x93.",
        b"cos\n",
    ],
)
def test_damaged_streams_are_refused(stream):
    with pytest.raises(UnsafePickleError, match="at byte"):
        read_pickle(stream)


@pytest.mark.parametrize("opcode", [b"r" + struct.pack("<I", 2**31 - 1), b"p2147483647\n", b"p-5\n"])
def test_a_giant_memo_index_costs_no_memory(opcode):
    tracemalloc.start()
    try:
        assert read_pickle(b"N" + opcode + b".") == (None, 0)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_repeated_calls_on_one_large_text_cost_no_copies():
    text = pickle.dumps("x" * 1_000_000, 2)[2:-1]
    stream = b"\x80\x02(c_codecs\nencode\nq\x01" + text + b"X\x06\x00\x00\x00latin1\x86q\x02R"
    stream += b"h\x01h\x02R" * 5_000 + b"l."
    tracemalloc.start()
    try:
        value, _ = read_pickle(stream)
        assert len(value) == 5_001
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_deep_nesting_overflows_no_stack():
    depth = 100_000
    value, _ = read_pickle(b"(" * depth + b"t" * depth + b".")
    assert isinstance(value, tuple)
    value, _ = read_pickle(b"]2a.")  # a list inside itself
    assert value[0] is value


def test_a_program_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(safe_pickle, "MAX_OPCODES", 1000)
    with pytest.raises(UnsafePickleError, match="1,000 opcodes"):
        read_pickle(b"N0" * 5_000 + b"N.")


def test_arrays_are_recorded_and_converted_later():
    array = np.arange(7, dtype=np.uint8)
    for protocol in range(2, 6):
        value, _ = read_pickle(pickle.dumps(array, protocol))
        assert isinstance(value, PickledArray)
        assert value.raw_bytes() == array.tobytes()
    for value in (np.array([1.5]), np.array(["x"]), np.array([(1, 2)], "u1,u1"), np.array([1], "M8[s]")):
        with pytest.raises(ValueError, match=r"expected|state|refused"):
            read_pickle(pickle.dumps(value, 4))[0].raw_bytes()
    with pytest.raises(ValueError, match="f8"):
        read_pickle(pickle.dumps(np.float64(1)))[0].convert()


def test_truths_of_every_integer_type_and_byte_order_are_converted():
    for dtype in ("?", "i1", "u1", "<i2", ">i4", "<i8", ">u8"):
        array = np.array([1, 0, 1]).astype(dtype)
        assert read_pickle(pickle.dumps(array))[0].convert().tolist() == [1, 0, 1]


def test_the_machine_has_no_use_for_the_readers_of_python(monkeypatch):
    def refuse(*_):
        raise AssertionError("pickle's own reader was used")

    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    assert read_pickle(pickle.dumps(PLAIN))[0] == PLAIN
    assert "find_class" not in Path(safe_pickle.__file__).read_text()
