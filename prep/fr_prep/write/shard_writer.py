"""Writing one shard: an independent, deterministic, atomic task.

A block of records at a time is laid out in memory, hashed and appended to `<shard>.incomplete`, which is renamed when
it is whole.
"""

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Self

from fr_data.images.header import ImageKind
from fr_data.system import preallocate, start_writeback
from fr_prep.files import INCOMPLETE_SUFFIX, write_error
from fr_prep.write.record_blocks import Block, RecordBlocks
from fr_prep.write.shard_task import ShardTask

__all__ = ["ShardResult", "receipt_path", "write_blocks", "write_shard"]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What the manifest says of a shard."""

    file: str
    num_records: int
    num_bytes: int
    sha256: str
    image_kinds: Counter[ImageKind]

    def to_json(self) -> str:
        """Gives the text of the shard's receipt."""
        kinds = [[*kind, count] for kind, count in sorted(self.image_kinds.items())]
        return json.dumps({**asdict(self), "image_kinds": kinds})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a receipt.

        Raises:
            ValueError: if it is no whole receipt.
        """
        try:
            fields = json.loads(text)
            kinds = Counter({ImageKind(*kind): count for *kind, count in fields.pop("image_kinds")})
            return cls(**fields, image_kinds=kinds)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"expected the receipt of a shard, received {text[:60]!r}") from error


def receipt_path(shard: Path) -> Path:
    """Where a shard's receipt stands while the set is unfinished: a shard counts as done if both are there."""
    return shard.with_name(shard.name + ".json")


def write_shard(task: ShardTask, *, own_name: bool = False) -> ShardResult:
    """Writes a shard under `<path>.incomplete`, then its receipt, and gives it its name.

    It is on its way to the disk then; who publishes the set has all writers wait for that. Until then the receipt's digest says
    whether the shard is whole, also after a power failure.

    Args:
        task: the shard.
        own_name: put letters of its own before `.incomplete`, since another writer that was given up for dead may still be writing.

    Raises:
        DamagedRecordError: if an image is no JPEG or PNG.
        SourceError: if the source cannot be read or is shorter than it was.
        OutputError: if the shard cannot be written, for instance because the disk is full.
    """
    own = f".{secrets.token_hex(4)}" if own_name else ""
    partial = task.path.with_name(f"{task.path.name}{own}{INCOMPLETE_SUFFIX}")
    try:
        digest, num_bytes, kinds = hashlib.sha256(), 0, Counter[ImageKind]()
        with partial.open("wb") as out:
            for block in write_blocks(task, out):
                digest.update(block.data)
                num_bytes += len(block.data)
                kinds.update(block.image_kinds)
        result = ShardResult(task.path.name, task.num_records, num_bytes, digest.hexdigest(), kinds)
        receipt_path(task.path).write_text(result.to_json(), encoding="utf-8")
        partial.replace(task.path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise write_error(task.path, error) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return result


def write_blocks(task: ShardTask, out: BinaryIO) -> Iterator[Block]:
    """Writes the records of a shard to an empty file, and yields each block that is on its way to the disk.

    Raises:
        DamagedRecordError: if an image is no JPEG or PNG.
        SourceError: if the source cannot be read or is shorter than it was.
        OSError: if the file cannot be written.
    """
    with RecordBlocks(task) as blocks:
        preallocate(out.fileno(), blocks.num_bytes)
        num_bytes = 0
        for block in blocks:
            out.write(block.data)
            start_writeback(out.fileno(), num_bytes, len(block.data))
            num_bytes += len(block.data)
            yield block
