"""The folder of a data set on an object store while it is being written.

Shards appear under their final names, each whole, the manifest last: a folder with a manifest is whole. What says which shards are
done stands in `<folder>/conversion.incomplete/` until then.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from fr_data.locations import Store
from fr_prep.errors import OutputError, ShardError
from fr_prep.write.manifest import KINDS, MANIFEST_FILE, read_manifest
from fr_prep.write.output_folder import PLAN_FILE, STAGING_FOLDER, require_same
from fr_prep.write.shard_task import ShardTask
from fr_prep.write.shard_writer import ShardResult, receipt_path, write_shard

__all__ = ["StoreFolder", "write_shard_to_store"]

_PLAN = f"{STAGING_FOLDER}/{PLAN_FILE}"


def write_shard_to_store(task: ShardTask, store: Store) -> ShardResult:
    """Writes a shard to a temporary file of the machine that runs this, and copies its receipt and it to the store."""
    with tempfile.TemporaryDirectory(prefix="fr-prep-") as folder:
        path = Path(folder, task.path.name)
        result = write_shard(replace(task, path=path))
        store.write(
            f"{STAGING_FOLDER}/{receipt_path(path).name}", result.to_json()
        )  # first: what it names can be removed
        store.put(path)
    return result


class StoreFolder:
    """A data set's folder on a store, to be entered. A store has no locks: nobody else may write there meanwhile.

    Args:
        store: the folder.

    Attributes:
        path: the folder.
        staging: a temporary folder of this machine, for what stands beside the shards.
    """

    def __init__(self, store: Store) -> None:
        self.path = self._store = store
        self._stack = ExitStack()
        self._receipts: dict[str, ShardResult] = {}

    def __enter__(self) -> Self:
        self.staging = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fr-prep-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(self, fingerprint: Mapping[str, Any], *, overwrite: bool, resume: bool) -> None:
        """Begins, goes on, or refuses; as `OutputFolder.prepare` does, but an older set is removed first.

        Raises:
            OutputError: if something is there that neither option covers, or the interrupted run was another one.
        """
        fingerprint = json.loads(json.dumps(fingerprint))
        text = self._store.read(_PLAN)
        begun = json.loads(text) if text else None
        if begun and resume:
            require_same(str(self._store), begun["fingerprint"], fingerprint)
            self._read_receipts()
            sizes = self._store.sizes()
            self._receipts = {
                name: result for name, result in self._receipts.items() if sizes.get(name) == result.num_bytes
            }
            self._store.remove(name for name in begun["replaced"] if name not in self._receipts)
            return
        if begun and not overwrite:
            raise OutputError(
                f"{self._store}: an unfinished conversion is there. Go on with it by --resume, or start anew by --overwrite."
            )
        replaced = [*self._old_names(), *(begun or {"replaced": []})["replaced"]] if overwrite else []
        if not overwrite:
            self._refuse_others(resume=resume)
        if begun:
            self.discard()
        self._store.write(_PLAN, json.dumps({"fingerprint": fingerprint, "replaced": replaced}))
        self._store.remove(replaced)

    def _refuse_others(self, *, resume: bool) -> None:
        present = sorted(self._store.sizes())
        if MANIFEST_FILE in present:
            raise OutputError(
                f"{self._store}: a finished data set is there{', nothing is left to resume' if resume else ''}. "
                "Replace it by --overwrite, or choose another folder."
            )
        if present:
            raise OutputError(
                f"{self._store}: expected a new or empty folder, it holds {', '.join(present[:5])}"
                f"{' …' if len(present) > 5 else ''}. Choose another folder, or write there by --overwrite, which leaves alone "
                "what is no part of a data set."
            )

    def _old_names(self) -> list[str]:
        """The files of the set that is there, the manifest first: with it goes the set."""
        if MANIFEST_FILE not in self._store.sizes():
            return []
        copy = self.staging / MANIFEST_FILE
        self._store.fetch(MANIFEST_FILE, copy)
        with suppress(ShardError):  # what cannot be told apart from other files is left alone
            return read_manifest(self.staging, kinds=KINDS).file_names()[::-1]
        return [MANIFEST_FILE]

    def _read_receipts(self) -> None:
        for name in self._store.sizes(STAGING_FOLDER):
            text = self._store.read(f"{STAGING_FOLDER}/{name}") if name != PLAN_FILE else None
            with suppress(ValueError):
                result = ShardResult.from_json(text or "")
                self._receipts[result.file] = result

    def finished_result(self, task: ShardTask) -> ShardResult | None:
        """Gives the receipt of a shard that an interrupted run finished, if the shard is there."""
        result = self._receipts.get(task.path.name)
        return result if result and result.num_records == task.num_records else None

    def publish(self, names: Sequence[str]) -> None:
        """Copies what stands beside the shards, the manifest last, and removes the receipts.

        Raises:
            OutputError: if something cannot be written.
        """
        for name in [*(name for name in names if name != MANIFEST_FILE), MANIFEST_FILE]:
            if (self.staging / name).exists():
                self._store.put(self.staging / name)
        self._remove_receipts()

    def sizes(self) -> dict[str, int]:
        """Gives the files that are there, and their bytes."""
        return self._store.sizes()

    def discard(self) -> None:
        """Removes what this run or an interrupted one wrote."""
        self._read_receipts()
        self._store.remove(self._receipts)
        self._receipts.clear()
        self._remove_receipts()

    def _remove_receipts(self) -> None:
        # The plan first: what is left without it is nothing to go on with.
        names = [f"{STAGING_FOLDER}/{name}" for name in self._store.sizes(STAGING_FOLDER)]
        self._store.remove(sorted(names, key=_PLAN.__ne__))
        self._store.remove_folder(STAGING_FOLDER)
