"""What two runs differ in, named key by key."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

__all__ = ["find_differences"]


def find_differences(before: Mapping[str, Any], now: Mapping[str, Any], *, path: str = "") -> Iterator[str]:
    """Names what changed between two nested mappings of JSON values, as `phases[1].epochs was 2 and is 3`.

    Args:
        before: what was.
        now: what is.
        path: of the mapping, with its dot.
    """
    for key in dict.fromkeys([*now, *before]):
        yield from _compare(before.get(key), now.get(key), f"{path}{key}", gone=key not in now, new=key not in before)


def _compare(before: Any, now: Any, path: str, *, gone: bool = False, new: bool = False) -> Iterator[str]:
    if gone:
        yield f"{path} was {before!r} and is not there"
    elif new:
        yield f"{path} was not there and is {now!r}"
    elif isinstance(before, Mapping) and isinstance(now, Mapping):
        yield from find_differences(before, now, path=f"{path}.")
    elif _are_tables(before) and _are_tables(now):
        yield from _compare_tables(before, now, path)
    elif before != now:
        yield f"{path} was {before!r} and is {now!r}"


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _compare_tables(before: Sequence[Any], now: Sequence[Any], path: str) -> Iterator[str]:
    """Compares those of one name, and else of one place; their numbers are those of now, but of a removed one that of before."""
    old, new = ([str(table.get("name")) for table in tables] for tables in (before, now))
    for _, i, i_end, j, j_end in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        both = min(i_end - i, j_end - j)
        for offset in range(both):
            yield from find_differences(before[i + offset], now[j + offset], path=f"{path}[{j + offset + 1}].")
        yield from (f"{path}[{n + 1}] ({old[n]}) was removed" for n in range(i + both, i_end))
        yield from (f"{path}[{n + 1}] ({new[n]}) was added" for n in range(j + both, j_end))
