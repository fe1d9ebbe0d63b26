"""What is wrong with a data set: a place and a sentence each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["KEPT_PER_FILE", "Problem", "ProblemLog", "unreadable"]

KEPT_PER_FILE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: the file's name.
        record: number of the record in the file, or of the row in a table; None if it is about the file.
        offset: byte offset in the file.
        key: the record's key in the source.
        problem: what was expected, and what was received.
    """

    file: str
    record: int | None = None
    offset: int | None = None
    key: int | None = None
    problem: str

    def __str__(self) -> str:
        place = [f"record {self.record}" if self.record is not None else ""]
        place += [f"at byte {self.offset}" if self.offset is not None else ""]
        place += [f"(key {self.key})" if self.key is not None else ""]
        return ": ".join(filter(None, (self.file, " ".join(filter(None, place)), self.problem)))


def unreadable(file: str, error: OSError) -> Problem:
    """Says that a file is missing or cannot be read."""
    missing = isinstance(error, FileNotFoundError)
    return Problem(file=file, problem="is missing" if missing else f"cannot be read: {error.strerror}")


class ProblemLog:
    """Takes problems in any order and gives them in order, the first of each file.

    Args:
        problems: those that are known already.

    Attributes:
        num_problems: how many were taken.
    """

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self.num_problems = 0
        self._kept: dict[str, list[Problem]] = {}
        self.add(problems)

    def add(self, problems: Iterable[Problem]) -> None:
        """Takes some problems."""
        for problem in problems:
            self.num_problems += 1
            self._kept.setdefault(problem.file, []).append(problem)
        for kept in self._kept.values():
            kept.sort(key=_place)
            del kept[KEPT_PER_FILE:]

    def in_order(self, files: Sequence[str]) -> list[Problem]:
        """Gives the problems by file, those of the given files first and in their order, and by place in the file."""
        ranks = {file: rank for rank, file in enumerate(files)}
        ordered = sorted(self._kept, key=lambda file: (ranks.get(file, len(ranks)), file))
        return [problem for file in ordered for problem in self._kept[file]]


def _place(problem: Problem) -> tuple[int, int]:
    return (-1 if problem.record is None else problem.record, -1 if problem.offset is None else problem.offset)
