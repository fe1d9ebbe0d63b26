"""Template sets as InsightFace distributes IJB-B and IJB-C: three lists and a folder of images.

| file | a line |
|---|---|
| `meta/<name>_face_tid_mid.txt` | image, template, media |
| `meta/<name>_template_pair_label.txt` | template, template, 1 for one person or 0 |
| `meta/<name>_name_5pts_score.txt` | image, x and y of five points, score of the detector |
| `loose_crop/` | the images |
"""

import csv
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_eval.errors import FaceSetError
from fr_eval.protocols.distances import Bools, Floats

__all__ = ["TemplateSet", "read_template_set"]

LISTS_FOLDER = "meta"
IMAGES_FOLDER = "loose_crop"
FACES_FILE, PAIRS_FILE, POINTS_FILE = "face_tid_mid.txt", "template_pair_label.txt", "name_5pts_score.txt"

_MAX_NAMED = 5  # names that an error gives

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TemplateSet:
    """T templates of F faces in N images, and P pairs of templates. Numbers count from 0 and follow the lists' order.

    Attributes:
        name: such as "ijbc".
        images: the N image files.
        points: x and y of the five points in each, float64, shape (N, 5, 2).
        face_images: the image of each face, ascending, shape (F,).
        face_templates: the template of each face, shape (F,).
        face_weights: the detector's score, divided by the faces of the same template and media, shape (F,).
        template_ids: their numbers in the lists, ascending, shape (T,).
        first, second: the templates of each pair, shape (P,).
        issame: bool, shape (P,).
    """

    name: str
    images: list[Path] = field(repr=False)
    points: Floats = field(repr=False)
    face_images: Ints = field(repr=False)
    face_templates: Ints = field(repr=False)
    face_weights: Floats = field(repr=False)
    template_ids: Ints = field(repr=False)
    first: Ints = field(repr=False)
    second: Ints = field(repr=False)
    issame: Bools = field(repr=False)


def read_template_set(folder: str | os.PathLike[str]) -> TemplateSet:
    """Reads the lists of a template set, and sees that all images are there.

    Args:
        folder: holds `meta/` and `loose_crop/`.

    Returns:
        The set; images are not opened.

    Raises:
        FaceSetError: a list or an image is missing, a line is no line of its list, or the lists do not fit together.
    """
    folder = Path(folder)
    faces_path = _find_list(folder / LISTS_FOLDER)
    name = faces_path.name.removesuffix(FACES_FILE)
    pairs_path, points_path = (faces_path.with_name(name + ending) for ending in (PAIRS_FILE, POINTS_FILE))
    faces = _read_list(faces_path, "image template media", {"image": str, "template": int, "media": int})
    points = _read_list(
        points_path,
        "image x1 y1 x2 y2 x3 y3 x4 y4 x5 y5 score",
        {"image": str, **{f"{axis}{i}": float for i in range(1, 6) for axis in "xy"}, "score": float},
    )
    pairs = _read_list(pairs_path, "template template label", {"first": int, "second": int, "label": int})

    numbers = _find_points(faces["image"], points["image"], points_path)
    used, face_images = np.unique(numbers, return_inverse=True)
    values = points.iloc[used, 1:].to_numpy()
    images = [folder / IMAGES_FOLDER / image for image in points["image"].iloc[used]]
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1) | (values[:, -1] < 0))
    if len(bad):
        raise FaceSetError(
            f"{points_path}: {images[bad[0]].name}: expected finite numbers and a score of at least 0; "
            f"received {values[bad[0]].tolist()}"
        )
    _require_all([path for path in images if not path.is_file()], "images are missing", folder)

    template_ids, face_templates = np.unique(faces["template"].to_numpy(), return_inverse=True)
    num_beside = faces.groupby(["template", "media"])["image"].transform("size").to_numpy()
    first, second = (
        _find_templates(pairs[column].to_numpy(), template_ids, pairs_path) for column in ("first", "second")
    )
    labels = pairs["label"].to_numpy()
    if not np.isin(labels, (0, 1)).all():
        row = int(np.flatnonzero(~np.isin(labels, (0, 1)))[0])
        raise FaceSetError(
            f"{pairs_path}: expected labels of 1 and 0; received {' '.join(map(str, pairs.iloc[row]))!r}"
        )
    order = np.argsort(face_images, kind="stable")
    return TemplateSet(
        name=name.rstrip("_"),
        images=images,
        points=values[:, :-1].reshape(-1, 5, 2),
        face_images=face_images[order],
        face_templates=face_templates[order],
        face_weights=(values[face_images, -1] / num_beside)[order],
        template_ids=template_ids,
        first=first,
        second=second,
        issame=labels == 1,
    )


def _find_list(folder: Path) -> Path:
    """Finds the list of faces, whose name begins with the set's."""
    found = sorted(folder.glob(f"*{FACES_FILE}"))
    if len(found) != 1:
        received = ", ".join(path.name for path in found) or "none"
        raise FaceSetError(
            f"{folder}: expected one list <name>_{FACES_FILE}, as of IJB-B and IJB-C; received {received}"
        )
    return found[0]


def _read_list(path: Path, form: str, columns: dict[str, type]) -> Any:
    """Reads a list as a data frame: fast where it is sound; where it is not, line by line to the bad one."""
    import pandas as pd  # noqa: PLC0415  pandas takes a while to import

    types = dict(enumerate(columns.values()))
    try:
        frame = pd.read_csv(path, sep=r"\s+", header=None, dtype=types, quoting=csv.QUOTE_NONE, na_filter=False)
        if frame.shape[1] == len(columns):
            return frame.set_axis(list(columns), axis=1)
        raise ValueError(f"it has {frame.shape[1]} columns")
    except FileNotFoundError:
        raise FaceSetError(f"{path}: is missing; expected a list of lines {form!r}") from None
    except OSError as error:
        raise FaceSetError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError) as error:  # pandas' own errors are of the first kind
        number, line = _find_bad_line(path, list(columns.values()))
        place = f"line {number}: " if number else ""
        raise FaceSetError(f"{path}: {place}expected {form!r}; received {line or str(error)!r}") from error


def _find_bad_line(path: Path, types: list[type]) -> tuple[int, str]:
    """Gives number and text of the first line that is none of a list; (0, "") where all are."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            try:
                for type_, value in zip(types, line.split(), strict=True):
                    type_(value)
            except ValueError:
                if line.strip():
                    return number, line.strip()[:200]
    return 0, ""


def _find_points(images: Any, listed: Any, path: Path) -> Ints:
    """Gives the row of each image in the list of points."""
    import pandas as pd  # noqa: PLC0415

    index = pd.Index(listed)
    _require_all(list(listed[index.duplicated()]), "images have several lines", path)
    rows: Ints = index.get_indexer(images)
    _require_all(list(images[rows < 0].unique()), f"images have no line, but have one in the list *{FACES_FILE}", path)
    return rows


def _find_templates(templates: Ints, template_ids: Ints, path: Path) -> Ints:
    """Gives the number of each template among the known ones."""
    rows = np.searchsorted(template_ids, templates).clip(max=len(template_ids) - 1)
    unknown = np.unique(templates[template_ids[rows] != templates])
    _require_all(unknown.tolist(), f"templates have no faces in the list *{FACES_FILE}", path)
    return rows


def _require_all(bad: list[Any], problem: str, path: Path) -> None:
    """Raises where there is something bad, and names the first few."""
    if bad:
        more = ", …" if len(bad) > _MAX_NAMED else ""
        raise FaceSetError(f"{path}: {len(bad)} {problem}: {', '.join(map(str, bad[:_MAX_NAMED]))}{more}")
