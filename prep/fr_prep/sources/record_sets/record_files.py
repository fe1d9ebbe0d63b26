"""The files of a record set: `train.rec`, `train.idx` and `property` in a folder."""

from pathlib import Path

from fr_prep.errors import SourceError

__all__ = ["find_record_file", "set_files", "warn_of_other_indices"]


def find_record_file(source: Path) -> Path:
    """Gives the `.rec` that a path means: itself, or the only one (or `train.rec`) in the folder.

    Raises:
        SourceError: if there is none, or more than one to choose from.
    """
    try:
        return _choose_record_file(source)
    except OSError as error:
        raise SourceError(f"{source}: cannot be read: {error.strerror}. Check the path and its permissions.") from error


def _choose_record_file(source: Path) -> Path:
    if source.is_file():
        if source.suffix != ".rec":
            raise SourceError(
                f"{source}: expected a folder or a .rec file, received a {source.suffix or 'file without suffix'}."
            )
        return source
    if not source.is_dir():
        raise SourceError(f"{source}: there is no such file or folder. Give the folder of a set, or its .rec file.")
    found = sorted(source.glob("*.rec"))
    named = [path for path in found if path.name == "train.rec"]
    if len(named or found) == 1:
        return (named or found)[0]
    listed = (
        ", ".join(path.name for path in found)
        or ", ".join(sorted(path.name for path in source.iterdir())[:8])
        or "nothing"
    )
    raise SourceError(
        f"{source}: expected one .rec file, received {listed}. "
        + ("Give the path of the one that is meant." if found else "Give the folder that holds train.rec.")
    )


def set_files(source: Path) -> tuple[Path, ...]:
    """Gives the files that a set consists of: the `.rec`, then `.idx` and `property` where they are there.

    Raises:
        SourceError: if there is no `.rec`, or more than one to choose from.
    """
    path = find_record_file(source)
    return (path, *(extra for extra in (path.with_suffix(".idx"), path.parent / "property") if extra.is_file()))


def warn_of_other_indices(path: Path) -> list[str]:
    """Says which `.idx` files stand beside a `.rec` that has none and belong to no `.rec` there, each in a sentence."""
    own = path.with_suffix(".idx")
    if own.is_file():
        return []
    others = [other for other in sorted(path.parent.glob("*.idx")) if not other.with_suffix(".rec").exists()]
    return [
        f"{other.name} is not used, since it does not belong to {path.name}, whose index would be {own.name}. Rename it if it is "
        "that index; without one, keys are positions in the file."
        for other in others
    ]
