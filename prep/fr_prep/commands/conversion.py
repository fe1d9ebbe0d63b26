"""What every command that writes a data set shares: its options, and the conversion itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fr_prep.commands.conversion_output import show_plan, show_result, warn
from fr_prep.commands.interruption import say_how_to_go_on
from fr_prep.commands.options import (
    ByteSize,
    dry_run_option,
    json_option,
    overwrite_option,
    quiet_option,
    scheduler_option,
    workers_option,
)

if TYPE_CHECKING:
    from fr_data.locations import Store
    from fr_prep.sources.image_set import ImageSource
    from fr_prep.write.build import BuildSettings, Conversion
    from fr_prep.write.estimate import Estimate

__all__ = ["conversion_options", "convert", "refuse_source_as_out", "split_option"]

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--name", default="faces", show_default=True, help="Name of the data set, with which its files begin."
    ),
    click.option(
        "--shards", type=click.IntRange(1, 99_999), help="Number of train shards.  [default: from --shard-size]"
    ),
    click.option(
        "--shard-size", type=ByteSize(), help="About how large a shard is.  [default: 128MiB, and at least 8 shards]"
    ),
    click.option(
        "--seed", type=click.IntRange(0, (1 << 63) - 1), default=0, show_default=True, help="Seed of shuffle and split."
    ),
    click.option(
        "--shuffle/--no-shuffle", default=True, show_default=True, help="Global shuffle, or the order of the source."
    ),
    click.option(
        "--validation-fraction",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        show_default=True,
        help="Part of the images, or of the identities, that goes to a validation split.",
    ),
    click.option(
        "--split-by",
        type=click.Choice(["image", "identity"]),
        default="image",
        show_default=True,
        help="Validate on images of each class in proportion, or on whole identities, which training never sees.",
    ),
    click.option(
        "--verification-pairs",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Write a verification bin of so many pairs, a multiple of 20, of the identities that --split-by identity sets apart.",
    ),
    click.option(
        "--min-images", type=click.IntRange(1), default=1, show_default=True, help="Drop classes with fewer images."
    ),
    workers_option,
    scheduler_option,
    click.option("--resume", is_flag=True, help="Go on with an interrupted conversion."),
    overwrite_option,
    dry_run_option,
    json_option,
    quiet_option,
)


def conversion_options(function: Function) -> Function:
    """Adds the options of a conversion, which `convert` takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def split_option(function: Function) -> Function:
    """Adds `--split`, for a source that has splits already."""
    return click.option(
        "--split",
        type=click.Choice(["keep", "pool", "train", "validation"]),
        default="keep",
        show_default=True,
        help="Leave each image in its split; pool all, to divide them anew; or take one split only.",
    )(function)


def refuse_source_as_out(out: Path | Store, *sources: Path) -> None:
    """Refuses to write a set over its own source: a crash in between could leave neither."""
    if isinstance(out, Path) and out.resolve() in [source.resolve() for source in sources]:
        raise click.UsageError(f"{out}: expected another folder than the source's.")


def convert(
    source: ImageSource, out: Path | Store, *, dry_run: bool, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Carries out a conversion, or only plans it, and shows what came of it.

    Args:
        source: where the images come from.
        out: the data set's folder.
        dry_run: only plan.
        as_json: show it as JSON.
        quiet: no progress bar and no warnings.
        options: the other options of `conversion_options`.
    """
    import time

    begun = time.perf_counter() - time.process_time()  # Python's own start is part of it
    with say_how_to_go_on(out):
        from fr_prep.sources.source_states import file_states, source_fingerprint
        from fr_prep.write.build import build_dataset, plan_dataset
        from fr_prep.write.output_folder import require_free, require_other_files

        settings = _settings(quiet=quiet, **options)
        if dry_run:
            if not isinstance(out, Path):
                raise click.UsageError(f"Expected a folder of this machine with --dry-run, received {out}.")
            conversion = plan_dataset(source, settings)
            depends_on = source_fingerprint(source, conversion.images, file_states(source))
            fingerprint = {**depends_on, **settings.arguments()}
            require_other_files(out, source.files())
            names = conversion.file_names(settings.name)
            require_free(out, fingerprint, overwrite=settings.overwrite, resume=settings.resume, names=names)
            place = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
            estimate = _estimate(conversion, source, place, settings, time.perf_counter() - begun)
            arguments = {**settings.arguments(), **source.arguments()}
            show_plan(conversion, arguments, out, place, estimate, as_json=as_json, quiet=quiet)
            return
        manifest = build_dataset(source, out, settings=settings)
    show_result(manifest, out, as_json=as_json, quiet=quiet)


def _settings(
    *,
    name: str,
    shards: int | None,
    shard_size: int | None,
    workers: int | None,
    scheduler: str | None,
    overwrite: bool,
    resume: bool,
    quiet: bool,
    **plan_options: Any,
) -> BuildSettings:
    from fr_prep.plan.plan import DEFAULT_SHARD_BYTES, PlanSettings
    from fr_prep.workers.pool import default_workers
    from fr_prep.write.build import BuildSettings

    if shards is not None and shard_size is not None:
        raise click.UsageError("Expected either --shards or --shard-size, received both.")
    shard_bytes = DEFAULT_SHARD_BYTES if shard_size is None else shard_size
    try:
        return BuildSettings(
            name=name,
            plan=PlanSettings(num_shards=shards, shard_bytes=shard_bytes, **plan_options),
            num_workers=workers or default_workers(),
            scheduler=scheduler,
            overwrite=overwrite,
            resume=resume,
            quiet=quiet,
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error


def _estimate(
    conversion: Conversion, source: ImageSource, place: Path, settings: BuildSettings, index_seconds: float
) -> Estimate | None:
    from fr_prep.sources.record_sets.record_set import RecordSetSource
    from fr_prep.write.estimate import estimate_time

    checked = source.files()[0] if isinstance(source, RecordSetSource) else None
    try:
        return estimate_time(
            conversion,
            place,
            num_workers=settings.num_workers,
            scheduler=settings.scheduler,
            index_seconds=index_seconds,
            checked=checked,
        )
    except OSError as error:
        reason = f"The time is not known, since {place} cannot be written: {error.strerror}."
        warn([reason], quiet=settings.quiet)
        return None
