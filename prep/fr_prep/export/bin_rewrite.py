"""Making verification bins readable everywhere: a bin of plain JPEG bytes, or a folder of images with a table of pairs."""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fr_data.bins.bins import VerificationBin, decode_image, write_bin
from fr_data.files import find_strangers, require_output, whole_file, whole_folder
from fr_prep.errors import OutputError
from fr_prep.files import write_error
from fr_prep.sources.bins.bins import read_verification_bin
from fr_prep.sources.bins.pairs_file import CSV_HEADER
from fr_prep.write.output_folder import require_place

__all__ = ["BinRewrite", "export_bin", "rewrite_bin"]

DEFAULT_QUALITY = 95
PAIRS_FILE = "pairs.csv"
BACKUP_SUFFIX = ".backup"
JPEG_SIGNATURE = b"\xff\xd8\xff"
SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png"}
OTHER_SUFFIX = ".image"


@dataclass(frozen=True, slots=True)
class BinRewrite:
    """What became of a bin.

    Attributes:
        source: the bin that was read.
        source_sha256: SHA-256 of that file.
        output: what was written.
        num_pairs: pairs, before and after.
        num_images: images, two a pair.
        num_unchanged: images whose bytes were taken over.
        num_encoded: images that were encoded as JPEG.
        quality: JPEG quality of the encoded ones; None where there were none.
        entries_before: how the entries were stored, with counts.
        encoded_from: formats of the images that were encoded, with counts.
        backup: where the old file is kept, for a rewrite in place.
    """

    source: Path
    source_sha256: str
    output: Path
    num_pairs: int
    num_images: int
    num_unchanged: int
    num_encoded: int
    quality: int | None
    entries_before: dict[str, int]
    encoded_from: dict[str, int]
    backup: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives all of it as JSON values."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


def rewrite_bin(
    source: Path,
    output: Path,
    *,
    reencode: bool = False,
    quality: int = DEFAULT_QUALITY,
    overwrite: bool = False,
    dry_run: bool = False,
) -> BinRewrite:
    """Writes a bin of plain JPEG bytes.

    JPEG entries are taken over byte for byte; PNG and others are encoded.

    Args:
        source: the bin.
        output: the new bin. The source itself means in place: the old file is first kept as `<name>.backup`.
        reencode: encode JPEG entries anew as well.
        quality: JPEG quality, 1 to 100, of what is encoded.
        overwrite: replace an output that is there.
        dry_run: write nothing.

    Raises:
        SourceError: if the bin is refused.
        OutputError: if the output is there, or is no file.
        OutputError: if it cannot be written.
    """
    bin_ = read_verification_bin(source)
    in_place = output.exists() and output.samefile(source)
    backup = source.with_name(source.name + BACKUP_SUFFIX) if in_place else None
    target = require_output(output, overwrite=in_place or overwrite)
    if backup and os.path.lexists(backup):
        raise OutputError(f"{backup}: a backup is there already, perhaps of an earlier rewrite. Move it away first.")
    images, encoded_from = _to_jpeg(bin_, reencode=reencode, quality=quality)
    if not dry_run:
        try:
            if backup:
                with whole_file(backup) as draft:
                    shutil.copy2(source, draft)
            write_bin(target, images, bin_.issame.tolist())
        except OSError as error:
            raise write_error(output, error, then="try again") from error
    num_encoded = sum(encoded_from.values())
    return BinRewrite(
        source=source,
        source_sha256=bin_.sha256,
        output=output,
        num_pairs=bin_.num_pairs,
        num_images=len(images),
        num_unchanged=len(images) - num_encoded,
        num_encoded=num_encoded,
        quality=quality if num_encoded else None,
        entries_before=dict(bin_.entry_kinds),
        encoded_from=dict(encoded_from),
        backup=backup,
    )


def export_bin(source: Path, folder: Path, *, overwrite: bool = False, dry_run: bool = False) -> BinRewrite:
    """Writes the images of a bin, byte for byte, and `pairs.csv`: pair, first, second, same.

    Args:
        source: the bin.
        folder: a new or empty folder.
        overwrite: replace what an earlier export left there; a folder that holds anything else is refused.
        dry_run: write nothing.

    Raises:
        SourceError: if the bin is refused.
        OutputError: if the folder is taken.
        OutputError: if it cannot be written.
    """
    bin_ = read_verification_bin(source)
    _require_free(folder, overwrite=overwrite)
    names = [f"{index:06d}{_suffix(image)}" for index, image in enumerate(bin_.images)]
    if not dry_run:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder.resolve()) as draft:  # "." has no name beside which a draft could be
            draft.mkdir()
            for name, image in zip(names, bin_.images, strict=True):
                (draft / name).write_bytes(image)
            (draft / PAIRS_FILE).write_text(_pairs_csv(names, bin_.issame.tolist()), encoding="utf-8")
    return BinRewrite(
        source=source,
        source_sha256=bin_.sha256,
        output=folder,
        num_pairs=bin_.num_pairs,
        num_images=len(names),
        num_unchanged=len(names),
        num_encoded=0,
        quality=None,
        entries_before=dict(bin_.entry_kinds),
        encoded_from={},
    )


def _to_jpeg(bin_: VerificationBin, *, reencode: bool, quality: int) -> tuple[list[bytes], Counter[str]]:
    images, encoded_from = [], Counter[str]()
    for image in bin_.images:
        is_jpeg = image.startswith(JPEG_SIGNATURE)
        if is_jpeg and not reencode:
            images.append(image)
        else:
            encoded_from["jpeg" if is_jpeg else _suffix(image).lstrip(".")] += 1
            images.append(_encode_jpeg(image, quality))
    return images, encoded_from


def _encode_jpeg(image: bytes, quality: int) -> bytes:
    buffer = io.BytesIO()
    # 4:4:4: what is a PNG today has full colour resolution, and keeps it.
    Image.fromarray(decode_image(image)).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _suffix(image: bytes) -> str:
    return next((suffix for start, suffix in SUFFIXES.items() if image.startswith(start)), OTHER_SUFFIX)


def _pairs_csv(names: Sequence[str], same: Sequence[bool]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    rows = zip(names[0::2], names[1::2], same, strict=True)
    writer.writerows([number, first, second, int(same)] for number, (first, second, same) in enumerate(rows))
    return text.getvalue()


def _require_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds anything but, with `overwrite`, what an export left there."""
    require_place(folder)
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise OutputError(
            f"{folder}: expected a new or empty folder. Choose another one, or replace an export there by --overwrite."
        )
    strangers = find_strangers(folder, _exported_names(folder))
    if strangers:
        raise OutputError(
            f"{folder / strangers[0]}: is no part of an export of a bin. Move it away, or choose another folder."
        )


def _exported_names(folder: Path) -> list[str]:
    """The files of the export in a folder; none where its table is not to the letter what an export writes."""
    if not (folder / PAIRS_FILE).is_file():
        return []
    try:
        text = (folder / PAIRS_FILE).read_text(encoding="utf-8")
        rows = [line.split(",") for line in text.splitlines()[1:]]
        names = [name for row in rows for name in row[1:3]]
        written = text == _pairs_csv(names, [row[3] == "1" for row in rows])
    except (OSError, ValueError, LookupError):
        return []
    numbered = all(
        name.startswith(f"{index:06d}.") and name[name.index(".") :] in (*SUFFIXES.values(), OTHER_SUFFIX)
        for index, name in enumerate(names)
    )
    return [*names, PAIRS_FILE] if written and numbered else []
