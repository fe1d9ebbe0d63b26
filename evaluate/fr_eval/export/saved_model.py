"""SavedModel with a serving signature: uint8 RGB images in, embeddings out, scaling inside."""

import json
from pathlib import Path
from typing import Any

from fr_data.files import find_strangers
from fr_eval.digests import hash_file
from fr_eval.errors import ExportError
from fr_eval.export.network import KerasNetwork
from fr_eval.models.frameworks import hold_stderr

__all__ = ["LIST_FILE", "require_replaceable", "write_saved_model"]

SIGNATURE = "serving_default"
LIST_FILE = "fr_export.json"  # the files of an export, with their digests
FORMAT_VERSION = 1
_MAX_LIST_BYTES = 2**20
_MAX_NAMED = 3


def write_saved_model(network: KerasNetwork, folder: Path, *, dtype: str = "uint8") -> None:
    """Writes a network as the folder of a SavedModel.

    Its signature `serving_default` goes from `images` (N, H, W, 3), 0 to 255, to `embeddings` (N, D) float32.

    Args:
        network: the network.
        folder: where to write; made anew. Its `fr_export.json` lists the files: see `require_replaceable`.
        dtype: of the images.
    """
    import tensorflow as tf  # noqa: PLC0415

    @tf.function(input_signature=[tf.TensorSpec((None, *network.embedder.input_size, 3), dtype, name="images")])
    def embed(images: Any) -> Any:
        return {"embeddings": network.embed_pixels(tf.cast(images, tf.float32))}

    module = tf.Module()  # Keras's own ExportArchive stores every variable twice
    module.kept = [variable.value for variable in network.model.variables]
    with hold_stderr():
        tf.saved_model.save(module, str(folder), signatures={SIGNATURE: embed})
    assets = folder / "assets"
    if assets.is_dir() and not any(assets.iterdir()):  # TensorFlow makes it without need, and a list holds files alone
        assets.rmdir()
    files = {
        path.relative_to(folder).as_posix(): hash_file(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    listed = {"format_version": FORMAT_VERSION, "sha256": files}
    (folder / LIST_FILE).write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def require_replaceable(folder: Path) -> None:
    """Refuse to replace a folder unless all that it holds was written by `write_saved_model`, and is as it was written.

    Raises:
        ExportError: it holds something else.
        OutputError: a folder in it cannot be listed.
    """
    if not find_strangers(folder, []):
        return  # it is empty
    try:
        listed = _read_list(folder / LIST_FILE)
        changed = {
            name for name, sha256 in listed.items() if (folder / name).is_file() and hash_file(folder / name) != sha256
        }
        strangers = sorted({*find_strangers(folder, [*listed, LIST_FILE]), *changed})
    except OSError as error:
        raise ExportError(f"{error.filename}: cannot be read: {error.strerror}.") from error
    if strangers:
        more = f" and {len(strangers) - _MAX_NAMED:,} more" if len(strangers) > _MAX_NAMED else ""
        raise ExportError(
            f"{folder}: holds {', '.join(strangers[:_MAX_NAMED])}{more}, not as an export wrote it. It is not replaced: move that "
            "away, or choose another path."
        )


def _read_list(path: Path) -> dict[str, str]:
    """Read the names and digests of an export's files."""
    advice = "It is not replaced: remove the folder yourself, if it is of no use, or choose another path."
    if path.is_symlink() or not path.is_file():
        raise ExportError(
            f"{path.parent}: expected an export, with {path.name}, the list of its files; received a folder without it, as others "
            f"and release 0.1.0 make them. {advice}"
        )
    try:
        with path.open("rb") as file:
            listed = json.loads(file.read(_MAX_LIST_BYTES))
        if listed["format_version"] != FORMAT_VERSION:
            raise ValueError(f"its format version is {listed['format_version']!r}, and not {FORMAT_VERSION}")
        return {str(name): str(sha256) for name, sha256 in listed["sha256"].items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ExportError(f"{path}: is damaged: {error}. {advice}") from error
