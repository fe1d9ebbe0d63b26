"""The way of an export: load, write a draft, hold it against the Keras model, and only then put it in its place."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fr_data.files import require_output, require_output_folder, whole_file, whole_folder
from fr_eval.digests import hash_path
from fr_eval.errors import ExportError
from fr_eval.export.network import KerasNetwork, load_network
from fr_eval.export.sample_images import draw_images, read_shard_images
from fr_eval.export.saved_model import require_replaceable, write_saved_model
from fr_eval.models.embedder import Embedder, Images
from fr_eval.models.load import load_model
from fr_eval.protocols.distances import Floats, normalise_rows

__all__ = ["FORMATS", "MIN_COSINES", "SCALINGS", "ExportJob", "ExportResult", "run_export"]

# Format → ending, precisions; the ending of a folder is free.
FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {
    "onnx": (".onnx", ("float32",)),
    "tflite": (".tflite", ("float32", "float16", "int8")),
    "saved_model": ("", ("float32",)),
}
# How pixels reach each; None: as bytes.
SCALINGS = {"onnx": "127.5", "tflite": None, "saved_model": None}
# The least cosine of any image's embedding with the Keras model's.
MIN_COSINES = {"float32": 0.9999, "float16": 0.9999, "int8": 0.8}
NUM_DRAWN = 32


@dataclass(frozen=True)
class ExportJob:
    """What to export, and how; the attributes are the options of `fr-eval export`.

    Attributes:
        model: the Keras model.
        output: the file or folder.
        format: a key of `FORMATS`.
        precision: one of the format's.
        scaling: of the model; None where it holds its scaling.
        shards: a data set of `fr-prep` to take images from; without it, images are drawn.
        num_images: images to take from there.
        overwrite: replace a file that is there, or an older export as a folder.

    Raises:
        ExportError: these do not go together.
    """

    model: Path
    output: Path
    format: str
    precision: str = "float32"
    scaling: str | None = None
    shards: Path | None = None
    num_images: int = 200
    overwrite: bool = False

    def __post_init__(self) -> None:
        ending, precisions = FORMATS[self.format]
        if self.precision not in precisions:
            raise ExportError(f"{self.format} is written in {', '.join(precisions)}; received {self.precision}")
        if ending and self.output.suffix != ending:
            raise ExportError(f"{self.output}: programs know {self.format} by the ending {ending}; name the output so")
        if self.precision == "int8" and self.shards is None:
            raise ExportError("int8 needs real images to find the ranges of activations: give --shards")


@dataclass(frozen=True)
class ExportResult:
    """What was written, and how it compares.

    Attributes:
        path: the file or folder.
        format: a key of `FORMATS`.
        precision: of its numbers.
        num_bytes: of all its files.
        sha256: of the file, or of the folder as `fr_eval.digests.hash_path` gives it.
        num_images: images that it was compared on.
        kind: what images these were: "drawn" or "real".
        min_cosine, mean_cosine: of its embeddings with those of the Keras model.
        warnings: what is odd about it, in sentences.
    """

    path: str
    format: str
    precision: str
    num_bytes: int
    sha256: str
    num_images: int
    kind: str
    min_cosine: float
    mean_cosine: float
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Gives everything, as JSON stores it."""
        return asdict(self)


def run_export(job: ExportJob) -> ExportResult:
    """Export a model. What is at the output's place is replaced only where the job says so, and by an export that agrees.

    Raises:
        OutputError: the output is a source, is there already, is no place for such a file or folder, or cannot be written.
        ModelError: the model cannot be loaded.
        FaceSetError: the shards cannot be read.
        MissingPackageError: a package is not installed.
        ExportError: the network cannot be converted, or its embeddings differ too much; or the folder to be replaced holds
            something that no export wrote.
    """
    _require_output(job)
    network = load_network(job.model, scaling=job.scaling)
    size = network.embedder.input_size
    if job.shards is None:
        images = draw_images(NUM_DRAWN, size=size)
    else:
        images = read_shard_images(job.shards, job.num_images, size=size)
    whole = whole_folder if job.format == "saved_model" else whole_file
    with whole(job.output) as draft:
        _find_writer(job, images)(network, draft)
        cosines = _compare(network.embedder, load_model(draft, scaling=SCALINGS[job.format]), images)
        least = float(cosines.min())
        if not least >= MIN_COSINES[job.precision]:
            raise ExportError(
                f"{job.output}: not written: of {len(images)} images, the least cosine with the Keras model's embedding is "
                f"{least:.6f}; expected at least {MIN_COSINES[job.precision]}. {_ADVICE[job.precision]}"
            )
        sha256 = hash_path(draft)
        num_bytes = sum(file.stat().st_size for file in (draft, *draft.rglob("*")) if file.is_file())
        _require_output(job)  # again: exports take minutes
    return ExportResult(
        path=str(job.output),
        format=job.format,
        precision=job.precision,
        num_bytes=num_bytes,
        sha256=sha256,
        num_images=len(images),
        kind="drawn" if job.shards is None else "real",
        min_cosine=least,
        mean_cosine=float(cosines.mean()),
        warnings=tuple(_find_warnings(job, network)),
    )


def _require_output(job: ExportJob) -> None:
    """Refuse an output that may not be written or replaced."""
    is_folder = job.format == "saved_model"
    require = require_output_folder if is_folder else require_output
    require(job.output, overwrite=job.overwrite, sources=[job.model, *([job.shards] if job.shards else [])])
    if is_folder and job.output.exists():
        require_replaceable(job.output)


_ADVICE = {
    "float32": "This is a fault of the conversion: please report it with the model",
    "float16": "Some weight lies outside the range of float16: export float32",
    "int8": "Calibrate on more images (--calibration-images) of the kind that it will see, or export float16",
}


def _find_warnings(job: ExportJob, network: KerasNetwork) -> Iterator[str]:
    from fr_eval.export.onnx_file import is_recognised  # noqa: PLC0415

    height, width = network.embedder.input_size
    if job.format == "onnx" and not is_recognised((height, width)):
        yield (
            f"insightface takes ONNX files of square images, 112 or a greater multiple of 16 but 192, for recognition models, and "
            f"not those of {height} x {width}; ONNX Runtime runs it"
        )


def _find_writer(job: ExportJob, images: Images) -> Callable[[KerasNetwork, Path], None]:
    """Gives the function that writes a format. Each brings its own packages, so they are imported late."""
    if job.format == "onnx":
        from fr_eval.export.onnx_file import write_onnx  # noqa: PLC0415

        return write_onnx
    if job.format == "saved_model":
        return write_saved_model
    from fr_eval.export.tflite_file import write_tflite  # noqa: PLC0415

    return lambda network, path: write_tflite(network, path, precision=job.precision, calibration=images)


def _compare(reference: Embedder, export: Embedder, images: Images) -> Floats:
    """Gives the cosine of each image's two embeddings, float64, shape (N,), computed in batches of several sizes."""
    rows = [np.concatenate([e.embed(images[:1]), e.embed(images[1:])]) for e in (reference, export)]
    for embedder, found in zip((reference, export), rows, strict=True):
        if not (np.isfinite(found).all() and found.any(axis=1).all()):
            raise ExportError(f"{embedder.name}: gives embeddings that are NaN, infinite or zero")
    cosines: Floats = np.einsum("ij,ij->i", *map(normalise_rows, rows))
    return cosines
