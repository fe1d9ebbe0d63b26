"""What a survey found, as JSON values and as rows of a list."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_prep.survey.classes import ClassedImages, summarise_classes
from fr_prep.survey.overlap import Overlap
from fr_prep.survey.survey import Survey

__all__ = ["LIST_COLUMNS", "describe_counts", "describe_survey", "list_findings"]

LIST_COLUMNS = (
    *("kind", "distance", "fine_distance", "class", "source_key", "other_class", "other_key"),
    *("bin", "bin_entry", "problem"),
)
LISTED = 1000  # of a list in the report; `list_findings` gives all


def describe_counts(classed: ClassedImages) -> dict[str, Any]:
    """Gives what the index alone says, as JSON values."""
    return {
        "path": str(classed.images.path),
        "dialect": classed.images.dialect,
        "num_images": classed.num_images,
        "num_classes": classed.num_classes,
        "images_per_class": summarise_classes(classed.counts),
        "warnings": list(classed.images.warnings),
    }


def describe_survey(survey: Survey) -> dict[str, Any]:
    """Gives what was found in the images, as JSON values; null for what was not looked for, and no more than `LISTED` of a list."""
    closeness = survey.settings.closeness
    distances = {"distance": closeness.coarse, "fine_distance": closeness.fine}
    return {
        "exact_duplicates": {"digest": "SHA-256, first 128 bits", **_describe_exact(survey)},
        "near_duplicates": None if survey.near is None else {"hash": "pHash", **distances, **_describe_near(survey)},
        "overlaps": [_describe_overlap(survey, overlap) for overlap in survey.overlaps],
        "undecodable": _describe_problems(survey) if survey.settings.decodes else None,
    }


def _describe_exact(survey: Survey) -> dict[str, Any]:
    contents = survey.contents
    within, across = contents.within, contents.across
    return {
        "within_classes": {
            "num_groups": int(within.sum()),
            "num_images": int(contents.num_images[within].sum()),
            "num_repeats": int((contents.num_images[within] - 1).sum()),
        },
        "across_classes": {
            "num_groups": int(across.sum()),
            "num_images": int(contents.num_images[across].sum()),
            "groups": [[_image(survey, row) for row in rows.tolist()] for rows in contents.rows_of(_first_few(across))],
        },
    }


def _describe_near(survey: Survey) -> dict[str, Any]:
    pairs = survey.near
    if pairs is None:
        return {}
    of_row = survey.contents.of_row
    across = survey.contents.are_across(of_row[pairs.first], of_row[pairs.second])

    def count(chosen: NDArray[np.bool_]) -> dict[str, int]:
        members = np.append(pairs.first[chosen], pairs.second[chosen])
        return {"num_pairs": int(chosen.sum()), "num_images": len(np.unique(members))}

    rows = _list_near(survey, _first_few(across))
    listed = [dict(zip(LIST_COLUMNS[1:7], row[1:7], strict=True)) for row in rows]
    return {"within_classes": count(~across), "across_classes": {**count(across), "pairs": listed}}


def _describe_problems(survey: Survey) -> dict[str, Any]:
    problems = islice(survey.problems.items(), LISTED)
    images = [{**_image(survey, row), "problem": reason} for row, reason in problems]
    return {"num_images": len(survey.problems), "images": images}


def _first_few(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leaves the first `LISTED` that are chosen."""
    return chosen & (np.cumsum(chosen) <= LISTED)


def _describe_overlap(survey: Survey, overlap: Overlap) -> dict[str, Any]:
    contents, pairs = survey.contents, overlap.pairs
    exact, near = (np.unique(contents.of_row[pairs.first[part]]) for part in (overlap.exact, ~overlap.exact))
    shared = np.zeros(len(contents), dtype=np.bool_)
    shared[np.append(exact, near)] = True
    trained = survey.classed.trained
    num_images = np.bincount(contents.of_row[trained], minlength=len(contents))
    return {
        "bin": str(overlap.path),
        "sha256": overlap.sha256,
        "num_bin_images": overlap.num_entries,
        "num_bin_images_shared": len(np.unique(pairs.second)),
        "num_bin_images_undecodable": len(overlap.problems),
        "num_images_compared": int(trained.sum()),
        "num_images_exact": int(num_images[exact].sum()),
        "num_images_near": int(num_images[np.setdiff1d(near, exact)].sum()),
        "classes": np.unique(survey.classed.labels[shared[contents.of_row] & trained]).tolist(),
    }


def list_findings(survey: Survey) -> Iterator[tuple[Any, ...]]:
    """Yields everything that was found, a row each, as `LIST_COLUMNS` say; what does not apply is empty."""
    contents = survey.contents
    for rows in contents.rows_of(contents.num_images > 1):
        first, *others = rows.tolist()
        for other in others:
            yield ("duplicate", 0, 0, *_name(survey, first), *_name(survey, other), "", "", "")
    if survey.near is not None:
        yield from _list_near(survey, np.ones(len(survey.near), dtype=np.bool_))
    for overlap in survey.overlaps:
        pairs = overlap.pairs
        columns = (pairs.first, pairs.second, pairs.coarse, pairs.fine, overlap.exact)
        for row, entry, coarse, fine, exact in zip(*(column.tolist() for column in columns), strict=True):
            kind = "in bin" if exact else "nearly in bin"
            yield (kind, coarse, fine, *_name(survey, row), "", "", str(overlap.path), entry, "")
        for entry, reason in overlap.problems.items():
            yield ("undecodable", "", "", "", "", "", "", str(overlap.path), entry, reason)
    for row, reason in survey.problems.items():
        yield ("undecodable", "", "", *_name(survey, row), "", "", "", "", reason)


def _list_near(survey: Survey, chosen: NDArray[np.bool_]) -> Iterator[tuple[Any, ...]]:
    pairs = survey.near
    if pairs is None:
        return
    columns = [column[chosen].tolist() for column in (pairs.first, pairs.second, pairs.coarse, pairs.fine)]
    for first, second, coarse, fine in zip(*columns, strict=True):
        yield ("near-duplicate", coarse, fine, *_name(survey, first), *_name(survey, second), "", "", "")


def _name(survey: Survey, row: int) -> tuple[int, int]:
    """Gives class and source key of an image."""
    return int(survey.classed.labels[row]), int(survey.classed.images.keys[row])


def _image(survey: Survey, row: int) -> dict[str, int]:
    return dict(zip(("class", "source_key"), _name(survey, row), strict=True))
