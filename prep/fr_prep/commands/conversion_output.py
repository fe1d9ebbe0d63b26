"""What the commands that write a data set say of it, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fr_prep.commands.wording import count, noun

if TYPE_CHECKING:
    from fr_data.locations import Store
    from fr_prep.write.build import Conversion
    from fr_prep.write.estimate import Estimate
    from fr_prep.write.manifest import Manifest

__all__ = ["show_plan", "show_result", "warn"]


def show_plan(
    conversion: Conversion,
    arguments: dict[str, Any],
    out: Path,
    place: Path,
    estimate: Estimate | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Says what a conversion would write.

    Args:
        conversion: what was planned.
        arguments: its arguments, for the JSON.
        out: the data set's folder.
        place: the nearest folder that exists, where space is looked for.
        estimate: how long it takes; None where that is not known.
        as_json: as JSON.
        quiet: no warnings.
    """
    import json
    import shutil
    from dataclasses import asdict

    from fr_prep.write.estimate import say_seconds

    plan = conversion.plan
    dropped = {
        "num_classes": len(plan.classes.dropped_labels),
        "num_images": int(plan.classes.dropped_num_images.sum()),
    }
    free_bytes = shutil.disk_usage(place).free
    content = {
        "dry_run": True,
        "source": str(conversion.images.path),
        "dialect": conversion.images.dialect,
        "out": str(out),
        "num_images": plan.num_images,
        "num_classes": plan.classes.num_classes,
        "splits": {
            split: {"num_images": sum(map(len, shards)), "num_shards": len(shards)}
            for split, shards in plan.splits.items()
        },
        "dropped": dropped,
        "left_out": {"num_records": len(conversion.images.left_out)},
        **conversion.images.origin,
        "num_bytes": conversion.num_bytes,
        "free_bytes": free_bytes,
        "time": estimate and {**asdict(estimate), "seconds": estimate.seconds},
        "arguments": arguments,
        "warnings": conversion.images.warnings,
    }
    warn(conversion.images.warnings, quiet=quiet)
    if as_json:
        click.echo(json.dumps(content, indent=1))
        return
    click.echo(f"{conversion.images.path}: {conversion.images.dialect}")
    click.echo(f"Would write {_count_images(plan.num_images, plan.classes.num_classes)} to {out}:")
    for split, shards in plan.splits.items():
        click.echo(_split_line(split, sum(map(len, shards)), len(shards)))
    if conversion.num_pairs:
        click.echo(f"  bin        {conversion.num_pairs:>12,} pairs in a verification bin")
    _show_dropped(dropped)
    _show_left_out(len(conversion.images.left_out))
    _show_overlay(conversion.images.origin)
    click.echo(f"At most {conversion.num_bytes / 1e6:,.1f} MB of {free_bytes / 1e6:,.1f} MB free.")
    if estimate:
        click.echo(
            f"About {say_seconds(estimate.seconds)} with {count(estimate.num_workers, 'worker')}, as "
            f"{count(estimate.sampled_images, 'image')} written on trial show."
        )


def _count_images(num_images: int, num_classes: int) -> str:
    return f"{count(num_images, 'image')} in {count(num_classes, 'class', 'classes')}"


def _split_line(split: str, num_images: int, num_shards: int) -> str:
    return f"  {split:<11}{num_images:>12,} {noun(num_images, 'image'):<6} {num_shards:>6} {noun(num_shards, 'shard')}"


def show_result(manifest: Manifest, out: Path | Store, *, as_json: bool, quiet: bool) -> None:
    """Says what a conversion wrote, and which commands go on with it."""
    import json

    content = manifest.content
    present = [path.name for path in out.iterdir()] if isinstance(out, Path) else []
    warn([*content["warnings"], *manifest.warn_of_strangers(present)], quiet=quiet)
    if as_json:
        click.echo(json.dumps({"out": str(out), **content}, indent=1))
        return
    click.echo(f"{out}: {_count_images(manifest.num_images, manifest.num_classes)}")
    for split, entry in content["splits"].items():
        line = _split_line(split, entry["num_images"], len(entry["shards"]))
        click.echo(f"{line:<46} {entry['num_bytes'] / 1e6:>12,.1f} MB")
    if "verification_bin" in content:
        bin_ = content["verification_bin"]
        click.echo(f"  bin        {bin_['num_pairs']:>12,} pairs in {bin_['file']}")
    _show_dropped(content["dropped"])
    _show_left_out(content["left_out"]["num_records"])
    _show_overlay(content["source"])
    click.echo(f"Check it with: fr-prep verify {out}")
    if not isinstance(out, Path):
        return
    bins = f" --bins {out / content['verification_bin']['file']}" if "verification_bin" in content else ""
    click.echo(f"Train on it with: fr-train --shards {out}{bins}")


def _show_left_out(num_records: int) -> None:
    if num_records:
        records = noun(num_records, "damaged record or stretch", "damaged records or stretches, each")
        click.echo(f"  left out   {num_records:>12,} {records} listed in the manifest")


def _show_dropped(dropped: dict[str, int]) -> None:
    if dropped["num_classes"]:
        click.echo(
            f"  dropped    {dropped['num_images']:>12,} {noun(dropped['num_images'], 'image')} of "
            f"{count(dropped['num_classes'], 'class', 'classes')} with too few images"
        )


def _show_overlay(source: Mapping[str, Any]) -> None:
    if "overlay" in source:
        counts = source["overlay"]
        click.echo(f"  overlay    {counts['num_moved']:>12,} images moved, {counts['num_dropped']:,} dropped")


def warn(warnings: list[str], *, quiet: bool) -> None:
    """Says warnings on stderr."""
    if not quiet:
        for warning in warnings:
            click.echo(f"Warning: {warning}", err=True)
