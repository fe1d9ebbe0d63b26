"""Files and folders that appear whole or not at all, and the rules for what may be replaced or removed.

Two rules hold for every output of the toolkit:

- What is replaced stays until the new one is whole. A draft has a name that nobody else uses, so no draft of another program, or of
  another run, is ever touched.
- What is removed is decided by what the toolkit itself wrote there, never by a name. A list of files that is read back may be
  damaged or forged, so `remove_listed` follows no link and no `..`, and removes regular files only.
"""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from fr_data.errors import OutputError, OutputExistsError

__all__ = [
    "INCOMPLETE_SUFFIX",
    "find_strangers",
    "locked_folder",
    "remove_drafts",
    "remove_listed",
    "require_output",
    "require_output_folder",
    "require_outputs",
    "whole_file",
    "whole_files",
    "whole_folder",
    "write_whole",
]

INCOMPLETE_SUFFIX = ".incomplete"
_NAME_CHARACTERS = 40
_DRAFT_NAME = re.compile(
    rf"(?P<name>.+)\.[a-z0-9_]{{8}}{re.escape(INCOMPLETE_SUFFIX)}", re.DOTALL
)  # as mkdtemp makes it

AnyPath = str | os.PathLike[str]


def require_output(path: AnyPath, *, overwrite: bool, sources: Iterable[AnyPath] = ()) -> Path:
    """Return where an output file may be written, or refuse before any work is done.

    Args:
        path: the output, as the user named it.
        overwrite: whether a regular file that is there may be replaced.
        sources: files that are read, or folders that are read from; the output must not be one of them, nor a file that is there in
            such a folder, by whatever name or link.

    Returns:
        The path, with a link to a file followed, so that the link stays.

    Raises:
        OutputExistsError: the output is there and `overwrite` is not given.
        OutputError: the output is a source, a folder, a device, pipe or socket, or its folder is missing or cannot be written to.
    """
    return _require_place(path, stat.S_IFREG, overwrite=overwrite, sources=sources)


def require_output_folder(path: AnyPath, *, overwrite: bool, sources: Iterable[AnyPath] = ()) -> Path:
    """Return where an output folder may be made, or refuse before any work is done: as `require_output`, for a folder.

    What an older folder holds is looked at by `find_strangers`, and here only for sources.

    Raises:
        OutputExistsError: the output is there and `overwrite` is not given.
        OutputError: the output is a source or holds one, is no folder, or its folder is missing or cannot be written to.
    """
    sources = list(sources)
    target = _require_place(path, stat.S_IFDIR, overwrite=overwrite, sources=sources)
    for source in sources:
        if _lies_in(Path(source), target):
            raise OutputError(f"{path}: holds {source}, which is read by this command. Choose another path.")
    return target


def require_outputs(
    outputs: Mapping[str, AnyPath | None], *, overwrite: bool, sources: Iterable[AnyPath] = ()
) -> dict[str, Path]:
    """Return where each of several output files may be written, or refuse: as `require_output`, and no two may be one file.

    Args:
        outputs: option → path; None is left out.
        overwrite: whether regular files that are there may be replaced.
        sources: what is read.

    Raises:
        OutputError: as `require_output`, or two options name one file.
    """
    sources = list(sources)
    targets: dict[str, Path] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        target = require_output(path, overwrite=overwrite, sources=sources)
        for other, taken in targets.items():
            if _is_same(target, taken):
                raise OutputError(f"{path}: is named by {other} and by {option}. Choose a path for each.")
        targets[option] = target
    return targets


@contextmanager
def whole_file(path: AnyPath) -> Iterator[Path]:
    """Give a path to write to; when the block ends well, the file that was written there is synced and takes its place.

    The draft has the final name, since programs go by endings, and lies in a new folder beside it, `<name>.<random>.incomplete`,
    which is removed at the end, whatever happens. A file that is there stays until then; anything else is not replaced.

    Raises:
        OutputError: it cannot be written, or something that is no regular file is there.
    """
    path = Path(path)
    with _draft(path) as (draft, target):
        yield draft
        _require_kind(path, _mode(target), stat.S_IFREG)
        _sync(draft)
        draft.replace(target)
        _sync(target.parent)


@contextmanager
def whole_folder(path: AnyPath) -> Iterator[Path]:
    """Give a path at which to make a folder; when the block ends well, it is synced and takes its place.

    The folder that it replaces is removed as a whole: see `find_strangers` for who may ask for that.

    Raises:
        OutputError: it cannot be written, or something that is no folder is there.
    """
    path = Path(path)
    with _draft(path) as (draft, target):
        yield draft
        mode = _mode(target)
        _require_kind(path, mode, stat.S_IFDIR)
        for file in (draft, *draft.rglob("*")):
            _sync(file)
        replaced = draft.with_name(f"{draft.name}.replaced")
        if mode is not None:
            target.replace(replaced)  # a folder takes the place of none that holds something
        try:
            draft.replace(target)
        except OSError:
            if mode is not None:
                replaced.replace(target)
            raise
        _sync(target.parent)


def write_whole(path: AnyPath, content: str | bytes | memoryview) -> None:
    """Write a small file so that it is whole or not there, also after a power failure; text as UTF-8, with its line ends.

    Raises:
        OutputError: it cannot be written, or something that is no regular file is there.
    """
    with whole_file(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def find_strangers(folder: AnyPath, names: Iterable[str]) -> list[str]:
    """Return what a folder holds besides some files: relative paths with /, sorted. Links and empty folders count as strangers.

    Args:
        folder: the folder.
        names: relative paths of the files that are known, with /.

    Raises:
        OutputError: a folder in it cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise OutputError(f"{error.filename}: cannot be listed: {error.strerror}.") from error

    folder = Path(folder)
    known = {PurePosixPath(name).as_posix() for name in names}
    parents = {parent.as_posix() for name in known for parent in PurePosixPath(name).parents}
    strangers = []
    for place, folders, files in os.walk(folder, onerror=fail):
        inside = Path(place).relative_to(folder)
        for name in [*folders, *files]:
            relative = (inside / name).as_posix()
            path = folder / relative
            expected = parents if name in folders else known
            if path.is_symlink() or relative not in expected or not (name in folders or path.is_file()):
                strangers.append(relative)
    return sorted(strangers)


def remove_listed(folder: AnyPath, names: Iterable[str], *, list_name: str) -> None:
    """Remove the files of a folder that a list names. Those that are gone already are passed over.

    All names are checked before the first file is removed, since a list may be damaged or forged.

    Args:
        folder: the folder.
        names: relative paths with /.
        list_name: the list, for messages.

    Raises:
        OutputError: a name is absolute, leads out of the folder or through a link, or is that of something else than a file.
        OSError: a file cannot be removed.
    """
    folder = Path(folder)
    paths = [_inside(folder, name, list_name) for name in names]
    for path in paths:
        path.unlink(missing_ok=True)


def _inside(folder: Path, name: str, list_name: str) -> Path:
    parts = name.split("/") if isinstance(name, str) else []
    if not parts or any(part in ("", ".", "..") or "\0" in part or os.sep in part for part in parts):
        raise OutputError(
            f"{list_name}: lists {name!r}; expected the name of a file in {folder}. Nothing was removed. Move the list away."
        )
    path = folder
    for number, part in enumerate(parts, start=1):
        path /= part
        mode = _mode(path)
        if mode is None:
            break
        if not (stat.S_ISREG(mode) if number == len(parts) else stat.S_ISDIR(mode)):
            raise OutputError(
                f"{list_name}: lists {name!r}, where {path} is a {_kind_of(mode)}; expected files of its own. Nothing was removed. "
                "Move the list away."
            )
    return folder.joinpath(*parts)


@contextmanager
def _draft(path: Path) -> Iterator[tuple[Path, Path]]:
    """Give the path of a draft, in a new folder that goes at the end, and the path whose place it takes."""
    folder = None
    try:
        target = _follow_links(path)
        if not target.name:
            raise OutputError(f"{path}: is the root folder, which cannot be replaced. Choose another path.")
        prefix = target.name[:_NAME_CHARACTERS]  # so that the draft's folder may have a name wherever the output may
        folder = Path(tempfile.mkdtemp(prefix=f"{prefix}.", suffix=INCOMPLETE_SUFFIX, dir=target.parent))
        yield folder / target.name, target
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}.") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _require_place(path: AnyPath, kind: int, *, overwrite: bool, sources: Iterable[AnyPath]) -> Path:
    """Return where a file or folder may be written, or refuse; `kind` is `stat.S_IFREG` or `stat.S_IFDIR`."""
    path = Path(path)
    target = _follow_links(path)
    mode = _mode(path, follow_links=True)
    for source in map(Path, sources):
        if _is_same(path, source):
            raise OutputError(
                f"{path}: is read by this command, and cannot be its output as well. Choose another path."
            )
        if mode is not None and _is_folder(source) and (_lies_in(path, source) or _is_held(path, source)):
            raise OutputError(
                f"{path}: belongs to {source}, which is read by this command. Choose a path that is not there yet."
            )
    _require_kind(path, mode, kind)
    if mode is not None and not overwrite:
        raise OutputExistsError(f"{path}: exists already. Replace it with --overwrite, or choose another path.")
    if not _is_folder(target.parent):
        raise OutputError(f"{path}: its folder does not exist. Create it first.")
    if not os.access(target.parent, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise OutputError(f"{path}: its folder cannot be written to. Choose another path.")
    return target


def _require_kind(path: Path, mode: int | None, kind: int) -> None:
    if mode is not None and stat.S_IFMT(mode) != kind:
        raise OutputError(
            f"{path}: expected a {_kind_of(kind)}, or nothing; received a {_kind_of(mode)}. Choose another path."
        )


def _follow_links(path: Path) -> Path:
    """Return where a link leads, and the full path of what is named by `.` or `..`; any other path stays as it was typed."""
    is_named = path.name not in {"", ".."}
    return path if is_named and not os.path.islink(path) else _resolve(path)  # noqa: PTH114  as in `_is_folder`


def _resolve(path: Path) -> Path:
    return Path(os.path.realpath(path))  # `Path.resolve` raises where links lead in a circle


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  `Path.is_dir` raises where a name is too long


def _sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mode(path: Path, *, follow_links: bool = False) -> int | None:
    try:
        return path.stat(follow_symlinks=follow_links).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}.") from error


def _kind_of(mode: int) -> str:
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "folder",
        stat.S_IFLNK: "link",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there
        return _resolve(path) == _resolve(other)


def _lies_in(path: Path, folder: Path) -> bool:
    return _resolve(path).is_relative_to(_resolve(folder))


def _is_held(path: Path, folder: Path) -> bool:
    """Whether a folder holds a file by another name: a hard link, or a link that leads out of the folder."""
    wanted = path.stat()
    seen: set[tuple[int, int]] = set()
    pending = [os.fspath(folder)]
    while pending:
        with (
            suppress(OSError),
            os.scandir(pending.pop()) as entries,
        ):  # who reads the folder will say what is wrong with it
            for entry in entries:
                if not (entry.is_symlink() or entry.is_dir() or entry.inode() == wanted.st_ino):
                    continue  # without a call for each of a million images
                with suppress(OSError):
                    found = entry.stat()
                    if os.path.samestat(found, wanted):
                        return True
                    identity = found.st_dev, found.st_ino
                    if stat.S_ISDIR(found.st_mode) and identity not in seen:
                        seen.add(identity)
                        pending.append(entry.path)
    return False


@contextmanager
def whole_files(folder: AnyPath, names: Sequence[str]) -> Iterator[Path]:
    """Give a folder in which to write files that belong together; when the block ends well, they take their places in this order.

    What is there stays until all are written and synced. Then old files but the first are removed before the first takes its place,
    so that no old one ever stands beside a new one.

    Args:
        folder: where the files are to stand; it must be there.
        names: the files' names.

    Raises:
        OutputError: something that is no regular file has one of these names.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    places = [folder / name for name in names]
    _require_files(places)
    draft = Path(tempfile.mkdtemp(prefix=f"{names[0]}.", suffix=INCOMPLETE_SUFFIX, dir=folder))
    try:
        yield draft
        for name in names:
            _sync(draft / name)
        _require_files(places)
        for place in places[1:]:
            place.unlink(missing_ok=True)
        for name in names:
            (draft / name).replace(folder / name)
        _sync(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove_drafts(folder: AnyPath, is_own: Callable[[str], bool]) -> None:
    """Remove what `whole_file` and `whole_files` left in a folder where a process was killed; only for who holds the folder's lock.

    Args:
        folder: the folder.
        is_own: whether a file's name is one of those that are written there; a draft that holds anything else stays.
    """
    for draft in sorted(Path(folder).glob(f"*{INCOMPLETE_SUFFIX}")):
        match = _DRAFT_NAME.fullmatch(draft.name)
        if match is None or not is_own(match["name"]) or draft.is_symlink() or not draft.is_dir():
            continue
        files = list(draft.iterdir())
        if all(is_own(file.name) and not file.is_symlink() and file.is_file() for file in files):
            for file in files:
                file.unlink()
            draft.rmdir()


@contextmanager
def locked_folder(path: AnyPath) -> Iterator[Path]:
    """Lock a folder for one writer; it is made where it is missing, and removed at the end where it stayed empty.

    Processes that are forked meanwhile hold the lock as well. Some network file systems lock no folder; there it keeps nobody out.

    Raises:
        OutputError: another process holds the lock, the folder cannot be made, or something else is there.
    """
    path = Path(path)
    missing = [place for place in (path, *path.parents) if not os.path.isdir(place)]  # noqa: PTH112  which raises nothing
    try:
        descriptor = _lock(path)
        while not _is_in_place(path, descriptor):  # another writer removed its empty folder before the lock was there
            os.close(descriptor)
            descriptor = _lock(path)
    except FileExistsError as error:
        raise OutputError(f"{path}: expected a folder, or nothing; received a file. Choose another folder.") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}. Choose another folder.") from error
    try:
        yield path
    finally:
        with suppress(OSError):  # a folder goes only if it is empty
            for folder in missing:
                folder.rmdir()
        os.close(descriptor)


def _lock(path: Path) -> int:
    import fcntl  # noqa: PLC0415  which Windows lacks, where all else here works

    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OutputError(
            f"{path}: another process is writing there. Wait until it has ended, or choose another folder."
        ) from error
    except OSError:
        pass  # of a network file system that locks no folders
    return descriptor


def _is_in_place(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _require_files(paths: Iterable[Path]) -> None:
    for path in paths:
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            raise OutputError(f"{path}: expected a file, or nothing; received a {_kind_of(mode)}. Choose another path.")
