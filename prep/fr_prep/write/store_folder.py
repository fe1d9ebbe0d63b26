"""The folder of a data set on an object store while it is being written.

Shards appear under their final names, each whole, the manifest last: a folder with a manifest is whole. What says which shards are
done stands in `<folder>/conversion.incomplete/` until then. Where a set is replaced, the new one is made in that folder, and takes
the place of the old one when it is whole.
"""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from fr_data.locations import Store
from fr_prep.errors import OutputError, ShardError
from fr_prep.write.manifest import KINDS, MANIFEST_FILE, is_set_file, read_manifest
from fr_prep.write.output_folder import PLAN_FILE, PUBLISHING_FILE, STAGING_FOLDER, require_same
from fr_prep.write.shard_task import ShardTask
from fr_prep.write.shard_writer import ShardResult, receipt_path, write_shard

__all__ = ["StoreFolder", "write_shard_to_store"]

_PLAN = f"{STAGING_FOLDER}/{PLAN_FILE}"
_PUBLISHING = f"{STAGING_FOLDER}/{PUBLISHING_FILE}"  # is there when a set that is replaced is gone


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an unfinished conversion left about itself: what its result depends on, the files that it replaces, and its own."""

    fingerprint: Mapping[str, Any]
    replaced: list[str]
    names: list[str]


def write_shard_to_store(task: ShardTask, store: Store) -> ShardResult:
    """Write a shard to a temporary file of the machine that runs this, and copy its receipt and it to `StoreFolder.made`."""
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
        made: where the shards are written; once prepared.
        staging: a temporary folder of this machine, for what stands beside the shards.
    """

    def __init__(self, store: Store) -> None:
        self.path = self.made = self._store = store
        self._stack = ExitStack()
        self._receipts: dict[str, ShardResult] = {}
        self._plan: _Plan | None = None

    def __enter__(self) -> Self:
        self.staging = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fr-prep-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(
        self, fingerprint: Mapping[str, Any], *, overwrite: bool, resume: bool, names: Collection[str] = ()
    ) -> None:
        """Begin, continue, or refuse, as `OutputFolder.prepare` does.

        Raises:
            OutputError: something is there that neither option covers, or the interrupted run was another one.
        """
        fingerprint = json.loads(json.dumps(fingerprint))
        begun = self._read_plan()
        if begun and resume:
            require_same(str(self._store), begun.fingerprint, fingerprint)
            self._use(begun)
            self._read_receipts()
            sizes = self.sizes()
            self._receipts = {
                name: result for name, result in self._receipts.items() if sizes.get(name) == result.num_bytes
            }
            return
        if begun and not overwrite:
            raise OutputError(
                f"{self._store}: an unfinished conversion is there. Go on with it by --resume, or start anew by --overwrite."
            )
        replaced: list[str] = []
        if overwrite:
            replaced = list(dict.fromkeys([*self._old_names(), *(begun.replaced if begun else [])]))
            self._require_free_places(names, {*replaced, *(begun.names if begun else [])})
        else:
            self._refuse_others(resume=resume)
        if begun:
            self._use(begun)
        self.discard()
        present = self._store.sizes()
        plan = _Plan(fingerprint, [name for name in replaced if name in present], [*names])
        self._use(plan)
        self._store.write(_PLAN, json.dumps(asdict(plan)))

    def _use(self, plan: _Plan) -> None:
        self._plan = plan
        self.made = Store(f"{self._store.url.rstrip('/')}/{STAGING_FOLDER}") if plan.replaced else self._store

    def _read_plan(self) -> _Plan | None:
        text = self._store.read(_PLAN)
        if not text:
            return None
        try:
            content = json.loads(text)
            plan = _Plan(content["fingerprint"], content["replaced"], content.get("names", []))
            if not isinstance(plan.fingerprint, dict) or not all(map(is_set_file, [*plan.replaced, *plan.names])):
                raise ValueError("expected names that fr-prep gives the files of a data set")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise OutputError(
                f"{self._store}/{_PLAN}: is damaged ({error}). Nothing was removed. Move {STAGING_FOLDER} away, and start anew."
            ) from error
        return plan

    def _require_free_places(self, names: Collection[str], own: Collection[str]) -> None:
        """Refuse where a file is to go and one is that no conversion is known to have written."""
        strange = sorted(self._store.sizes().keys() & set(names) - set(own))
        if strange:
            raise OutputError(
                f"{self._store}/{strange[0]}: is no file of the data set that is to be replaced. Move it away, or choose another "
                "folder."
            )

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
        self._receipts.clear()
        for name in self.made.sizes(STAGING_FOLDER):
            text = self.made.read(f"{STAGING_FOLDER}/{name}") if is_set_file(name.removesuffix(".json")) else None
            with suppress(ValueError):
                result = ShardResult.from_json(text or "")
                if f"{result.file}.json" == name:
                    self._receipts[result.file] = result

    def finished_result(self, task: ShardTask) -> ShardResult | None:
        """Gives the receipt of a shard that an interrupted run finished, if the shard is there."""
        result = self._receipts.get(task.path.name)
        return result if result and result.num_records == task.num_records else None

    def publish(self, names: Sequence[str]) -> None:
        """Give the files their places, the manifest last, instead of the set that they replace; remove the receipts.

        Raises:
            OutputError: something cannot be written.
        """
        if self._plan and self._plan.replaced:
            if not self._is_publishing():
                self._store.remove(self._plan.replaced)
                self._store.write(_PUBLISHING, "")
            made = self.made.sizes()
            self._store.take(self.made, [name for name in names if name in made])
        for name in [*(name for name in names if name != MANIFEST_FILE), MANIFEST_FILE]:
            if (self.staging / name).exists():
                self._store.put(self.staging / name)
        self._remove_receipts()

    def _is_publishing(self) -> bool:
        return PUBLISHING_FILE in self._store.sizes(STAGING_FOLDER)

    def sizes(self) -> dict[str, int]:
        """Gives the files that are being made, and their bytes."""
        made = self.made.sizes()
        return {**self._store.sizes(), **made} if self.made == self._store or self._is_publishing() else made

    def discard(self) -> None:
        """Removes what this run or an interrupted one wrote."""
        if self._plan:
            if self.made == self._store or self._is_publishing():
                self._store.remove(self._plan.names)
            self.made.remove(self._plan.names)
        self._remove_receipts()

    def _remove_receipts(self) -> None:
        # The plan first: what is left without it is nothing to go on with.
        self._store.remove([_PLAN, _PUBLISHING])
        for folder in dict.fromkeys([Store(f"{self._store.url.rstrip('/')}/{STAGING_FOLDER}"), self._store]):
            receipts = [name for name in folder.sizes(STAGING_FOLDER) if is_set_file(name.removesuffix(".json"))]
            folder.remove(f"{STAGING_FOLDER}/{name}" for name in receipts)
            folder.remove_folder(STAGING_FOLDER)
        self._receipts.clear()
