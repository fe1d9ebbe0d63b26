"""Options that several commands share, and the type of a size in bytes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from fr_data.locations import Store
    from fr_prep.sources.record_sets.face_records import RecordSettings

__all__ = [
    "ByteSize",
    "FolderOrUrl",
    "dry_run_option",
    "json_option",
    "on_error_option",
    "overwrite_option",
    "quiet_option",
    "record_options",
    "record_settings",
    "scheduler_option",
    "shared_paths",
    "workers_option",
]

Function = TypeVar("Function", bound=Callable[..., Any])

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30}


class ByteSize(click.ParamType[int]):
    """A size such as `500MB`, `128MiB` or `1000000`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Gives the size in bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)\s*([KMG]?I?)B?", value.strip().upper())
        if not match or match[2] not in _UNITS:
            self.fail(f"expected a size such as 128MiB or 500MB, received {value!r}.", param, ctx)
        return int(float(match[1]) * _UNITS[match[2]])


class FolderOrUrl(click.ParamType["Path | Store"]):
    """A folder of this machine, or of a store, such as `s3://bucket/folder`."""

    name = "folder or URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Path | Store":
        """Gives the folder."""
        if "://" not in str(value):
            return Path(value)
        from fr_data.locations import Store

        return Store(value.rstrip("/"))


def json_option(function: Function) -> Function:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write the result as JSON to stdout.")(function)


def on_error_option(function: Function) -> Function:
    """Adds `--on-error`, for images that cannot be decoded."""
    return click.option(
        "--on-error",
        type=click.Choice(["fail", "skip"]),
        default="fail",
        show_default=True,
        help="What to do about damaged images: end, or leave them out and say which.",
    )(function)


def record_options(left_out: str) -> Callable[[Function], Function]:
    """Gives what adds `--label-position` and `--on-error`, for record sets.

    Args:
        left_out: what else becomes of damaged records that are left out, for the help.
    """

    def add(function: Function) -> Function:
        function = click.option(
            "--on-error",
            type=click.Choice(["fail", "skip"]),
            default="fail",
            show_default=True,
            help=f"End at the first damaged record, or leave such records out and {left_out}.",
        )(function)
        return click.option(
            "--label-position",
            type=click.IntRange(0),
            default=0,
            show_default=True,
            help="Which label is the class, where records have several.",
        )(function)

    return add


def record_settings(
    source: Path,
    *,
    label_position: int,
    on_error: Literal["fail", "skip"],
    workers: int | None = None,
    quiet: bool = True,
) -> "RecordSettings":
    """Gives how a source is to be read if it is a record set.

    Raises:
        click.UsageError: if it is something else, and an option of `record_options` was given.
    """
    from fr_prep.sources.record_sets.face_records import RecordSettings
    from fr_prep.workers.pool import default_workers

    context = click.get_current_context()
    names = {"label_position": "--label-position", "on_error": "--on-error"}
    given = [
        option for name, option in names.items() if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        from fr_prep.sources.open_source import may_be_record_set  # brings pandas along, which takes its time

        if not may_be_record_set(source):
            raise click.UsageError(f"{' and '.join(given)}: for a record set alone, which {source} is not.")
    return RecordSettings(
        label_position=label_position, on_error=on_error, num_workers=workers or default_workers(), quiet=quiet
    )


def quiet_option(function: Function) -> Function:
    """Adds `--quiet`."""
    return click.option("--quiet", "-q", is_flag=True, help="No progress bar and no warnings on stderr.")(function)


def overwrite_option(function: Function) -> Function:
    """Adds `--overwrite`."""
    return click.option("--overwrite", is_flag=True, help="Replace what is there.")(function)


def dry_run_option(function: Function) -> Function:
    """Adds `--dry-run`."""
    return click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing.")(function)


def workers_option(function: Function) -> Function:
    """Adds `--workers`."""
    return click.option(
        "--workers",
        type=click.IntRange(min=1),
        show_default="one a processor",
        help="Worker processes. The result does not depend on them.",
    )(function)


def scheduler_option(function: Function) -> Function:
    """Adds `--scheduler`."""
    return click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Let the workers of this Dask scheduler do it, instead of this machine: tcp://HOST:PORT.",
    )(function)


def shared_paths(*places: Any, scheduler: str | None, workers: int | None) -> tuple[Any, ...]:
    """Gives folders, or URLs, that mean the same on other machines, where those are to use them.

    Raises:
        click.UsageError: if workers of both kinds are asked for.
    """
    if scheduler and workers:
        raise click.UsageError("Expected either --workers or --scheduler, received both.")
    return tuple(place.absolute() if scheduler and isinstance(place, Path) else place for place in places)
