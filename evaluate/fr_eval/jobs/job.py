"""The job of `fr-eval`: models, or embeddings in their place, on bins, and what became of each."""

import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from fr_data.bins.bins import VerificationBin
from fr_data.errors import ToolkitError
from fr_eval.faces.verification_shards import read_pairs
from fr_eval.jobs.evaluate import BinResult, measure_embeddings
from fr_eval.jobs.outcome import Failure, ModelCard, Outcome, choose_labels
from fr_eval.models.embed import BinEmbeddings, embed_bin
from fr_eval.models.load import load_model
from fr_eval.models.stored_embeddings import load_embeddings
from fr_eval.protocols.bootstrap import resample
from fr_eval.protocols.confidence import Comparison, compare, measure_confidence

__all__ = ["Job", "ModelFile", "find_versions", "run_job"]

# distribution: the module that is loaded where it computed
_COMPUTES = {
    "fr-toolkit": "fr_eval",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "tensorflow-cpu": "tensorflow",
    "onnxruntime": "onnxruntime",
    "onnxruntime-gpu": "onnxruntime",
    "ai-edge-litert": "ai_edge_litert",
    "numpy": "numpy",
    "scikit-learn": "sklearn",
    "pillow": "PIL",
}

Embed = Callable[[VerificationBin], BinEmbeddings]


@dataclass(frozen=True)
class ModelFile:
    """A model, and what it may not say of itself.

    Attributes:
        path: its file or folder.
        scaling: a key of `fr_eval.models.scaling.SCALINGS`; None where the model says it.
        layout: "nhwc" or "nchw"; None where the model says it.
    """

    path: Path
    scaling: str | None = None
    layout: str | None = None


@dataclass(frozen=True)
class Job:
    """What to measure, and how; the attributes are the options of `fr-eval`.

    Attributes:
        models: the networks.
        bins: the pairs: files, or folders of shards.
        embeddings: files of embeddings, each in the place of a network.
        batch_size: images that go through a network at a time.
        num_folds: contiguous folds.
        pca: dimensions of a PCA to measure as well.
        mirror: measure the mirror sum too.
        workers: threads that decode; None for one a core.
        num_resamples: bootstrap sets that give intervals; 0 leaves these out.
    """

    models: tuple[ModelFile, ...]
    bins: tuple[Path, ...]
    embeddings: tuple[Path, ...] = ()
    batch_size: int = 64
    num_folds: int = 10
    pca: int | None = None
    mirror: bool = True
    workers: int | None = None
    num_resamples: int = 2_000

    @property
    def command(self) -> str:
        """The command line that does this job, with the options that change figures and differ from their defaults."""
        words = ["fr-eval"]
        words += [word for model in self.models for word in ("--model", str(model.path))]
        words += [word for path in self.embeddings for word in ("--embeddings", str(path))]
        for option, values in (
            ("--scaling", [model.scaling for model in self.models]),
            ("--layout", [model.layout for model in self.models]),
        ):
            given = values if len(set(values)) > 1 else values[:1]
            words += [word for value in given if any(values) for word in (option, value or "auto")]
        options = [
            ("--folds", self.num_folds, 10),
            ("--pca", self.pca, None),
            ("--bootstrap", self.num_resamples, 2_000),
        ]
        words += [word for name, value, default in options if value != default for word in (name, str(value))]
        words += [] if self.mirror else ["--no-mirror"]
        return shlex.join([*words, *map(str, self.bins)])


def run_job(job: Job, *, progress: bool = False, on_failure: Callable[[Failure], None] | None = None) -> Outcome:
    """Measures models on bins. What fails is recorded, and the others go on.

    Networks are in memory one at a time, bins all together, encoded.

    Args:
        job: what to measure.
        progress: show bars on stderr, where that is a terminal.
        on_failure: is told of each failure, at once.

    Returns:
        The figures and the failures.
    """
    failures: list[Failure] = []

    def fail(error: ToolkitError, *, model: str | None = None, bin_name: str | None = None) -> None:
        failures.append(Failure(model, bin_name, str(error)))
        if on_failure:
            on_failure(failures[-1])

    bins = []
    for path in job.bins:
        try:
            bins.append(read_pairs(path))
        except ToolkitError as error:
            fail(error, bin_name=str(path))
    names = choose_labels([(bin_.name, str(bin_.path)) for bin_ in bins])
    bins = [replace(bin_, given_name=name) for bin_, name in zip(bins, names, strict=True)]

    models: list[ModelCard] = []
    results: dict[tuple[ModelCard, VerificationBin], BinResult] = {}
    sources: list[ModelFile | Path] = [*job.models, *job.embeddings] if bins else []
    for source, label in zip(sources, _label_sources(sources), strict=True):
        try:
            model, embed = _open(source, label, job, progress=progress)
        except ToolkitError as error:
            fail(error, model=label)
            continue
        models.append(model)
        for bin_ in bins:
            try:
                results[model, bin_] = measure_embeddings(embed(bin_), bin_, num_folds=job.num_folds, pca=job.pca)
            except ToolkitError as error:
                fail(error, model=label, bin_name=bin_.name)
    outcome = Outcome(job.command, models, bins, results, failures, find_versions())
    return replace(outcome, **_resample(outcome, job.num_resamples)) if job.num_resamples else outcome


def _resample(outcome: Outcome, num_resamples: int) -> dict[str, Any]:
    """Gives the intervals of an outcome's results, and its first model against the others."""
    resamples = {
        key: resample(result.verification, num_resamples=num_resamples) for key, result in outcome.results.items()
    }
    comparisons: dict[tuple[ModelCard, VerificationBin], Comparison] = {}
    for (model, bin_), second in resamples.items():
        first = resamples.get((outcome.models[0], bin_))
        both_mirrored = first and bool(first.verification.mirrored) == bool(second.verification.mirrored)
        if first and both_mirrored and first is not second:
            comparisons[model, bin_] = compare(first, second)
    confidences = {key: measure_confidence(drawn) for key, drawn in resamples.items()}
    return {"confidences": confidences, "comparisons": comparisons}


def _label_sources(sources: Sequence[ModelFile | Path]) -> list[str]:
    """Gives each model a name for tables: one model may be there twice, with another scaling or layout."""
    names = []
    for source in sources:
        file = source if isinstance(source, ModelFile) else ModelFile(source)
        how = f"scaling {file.scaling or 'auto'}"
        names.append((file.path.name, str(file.path), f"{file.path.name}, {how}", f"{file.path}, {how}"))
    return choose_labels(names)


def _open(source: ModelFile | Path, label: str, job: Job, *, progress: bool) -> tuple[ModelCard, Embed]:
    """Loads a network, or a file of embeddings in its place."""
    if isinstance(source, Path):
        stored = load_embeddings(source)
        card = ModelCard(label, source, stored.digest, "embeddings")
        return card, lambda bin_: stored.take(bin_, is_only=len(job.bins) == 1, mirror=job.mirror)
    embedder = load_model(source.path, scaling=source.scaling, layout=source.layout)
    card = ModelCard(
        label,
        source.path,
        embedder.digest,
        embedder.format,
        embedder.scaling,
        embedder.image_input.layout,
        embedder.input_size,
        embedder.embedding_size,
    )
    return card, lambda bin_: embed_bin(
        bin_,
        embedder,
        batch_size=job.batch_size,
        mirror=job.mirror,
        workers=job.workers,
        progress=progress,
    )


def find_versions() -> dict[str, str]:
    """Gives the versions of Python and of the packages that were loaded."""
    versions = {"python": platform.python_version()}
    for package, module in _COMPUTES.items():
        try:
            if module in sys.modules:
                versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
