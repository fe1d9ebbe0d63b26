"""What was found, as lines to read."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

__all__ = ["text_lines"]

SHOWN = 10  # lines of a long list


def text_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of a report.

    Args:
        found: what `describe_counts` gives, together with what `describe_survey` gives where images were read.
    """
    yield f"{found['path']}: {found['dialect']}"
    facts = [*_count_facts(found), *(_survey_facts(found) if "exact_duplicates" in found else ())]
    yield from (f"  {name:<19} {text}" for name, text in facts)
    if "exact_duplicates" in found:
        across = [(found[kind] or {}).get("across_classes", {}) for kind in ("exact_duplicates", "near_duplicates")]
        num_wrong = across[0]["num_groups"] + across[1].get("num_pairs", 0)
        yield from _shorten("In several classes, so that some labels are wrong:", _wrong_labels(found), num_wrong)
    if undecodable := found.get("undecodable"):
        problems = (f"{_name(image)}: {image['problem']}" for image in undecodable["images"])
        yield from _shorten("Cannot be decoded:", problems, undecodable["num_images"])


def _count_facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    counts = found["images_per_class"]
    quantiles = ", ".join(f"{float(part):.0%} {count:,}" for part, count in counts["quantiles"].items())
    small = ", ".join(f"{limit}: {count:,}" for limit, count in counts["classes_with_fewer_than"].items())
    yield "images", f"{found['num_images']:,}"
    yield "classes", f"{found['num_classes']:,}"
    yield "images per class", f"smallest {counts['smallest']:,}, largest {counts['largest']:,}, mean {counts['mean']:,}"
    yield "  quantiles", quantiles
    yield "classes with fewer", f"than {small} images"


def _survey_facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    within, across = (found["exact_duplicates"][part] for part in ("within_classes", "across_classes"))
    yield (
        "exact duplicates",
        f"within a class {within['num_repeats']:,} images too many ({within['num_groups']:,} groups), "
        f"across classes {across['num_images']:,} images ({across['num_groups']:,} groups)",
    )
    if near := found["near_duplicates"]:
        within, across = near["within_classes"], near["across_classes"]
        yield (
            "near-duplicates",
            f"within a class {within['num_pairs']:,} pairs of {within['num_images']:,} images, "
            f"across classes {across['num_pairs']:,} pairs of {across['num_images']:,} images",
        )
    for overlap in found["overlaps"]:
        text = (
            f"{overlap['num_images_exact']:,} images exactly, {overlap['num_images_near']:,} nearly, "
            f"of {len(overlap['classes']):,} classes"
        )
        if overlap["num_images_compared"] < found["num_images"]:
            text += f", among {overlap['num_images_compared']:,} images that are trained on"
        if overlap["num_bin_images_undecodable"]:
            text += f"; {overlap['num_bin_images_undecodable']:,} images of the bin cannot be decoded"
        yield f"in {Path(overlap['bin']).name}", text
    if overlay := found.get("overlay"):
        yield (
            "overlay",
            f"drops {overlay['num_classes_dropped']:,} classes and {overlay['num_records_dropped']:,} images of others, "
            f"leaves {overlay['num_images_left']:,} images in {overlay['num_classes_left']:,} classes",
        )
    if found["undecodable"] is not None:
        yield "cannot be decoded", f"{found['undecodable']['num_images']:,} images"


def _wrong_labels(found: Mapping[str, Any]) -> Iterator[str]:
    for group in found["exact_duplicates"]["across_classes"]["groups"]:
        yield " = ".join(map(_name, group))
    if near := found["near_duplicates"]:
        for pair in near["across_classes"]["pairs"]:
            other = {"class": pair["other_class"], "source_key": pair["other_key"]}
            yield f"{_name(pair)} ~ {_name(other)} (distances {pair['distance']} and {pair['fine_distance']})"


def _shorten(title: str, lines: Iterator[str], num_lines: int) -> Iterator[str]:
    if num_lines:
        yield title
        yield from (f"  {line}" for line in islice(lines, SHOWN))
    if num_lines > SHOWN:
        yield f"  and {num_lines - SHOWN:,} more: see --list"


def _name(image: Mapping[str, Any]) -> str:
    return f"class {image['class']} key {image['source_key']}"
