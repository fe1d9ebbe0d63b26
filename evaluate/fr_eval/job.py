"""The job of `fr-eval`: one model, several bins, and what became of each."""

import platform
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from fr_eval.bins import VerificationBin
from fr_eval.errors import EvalError
from fr_eval.evaluate import BinResult, evaluate_bin
from fr_eval.models import Embedder, load_model
from fr_eval.verification_shards import read_pairs

__all__ = ["Job", "Outcome", "find_versions", "run_job"]


@dataclass(frozen=True)
class Job:
    """What to measure, and how; the attributes are the options of `fr-eval`."""

    model_path: Path
    bins: tuple[Path, ...]
    scaling: str | None = None
    batch_size: int = 64
    num_folds: int = 10
    pca: int | None = None
    mirror: bool = True
    workers: int = 2

    @property
    def command(self) -> str:
        """The command line that does this job, with the options that differ from their defaults."""
        options = [("--scaling", self.scaling, None), ("--batch-size", self.batch_size, 64)]
        options += [("--folds", self.num_folds, 10), ("--pca", self.pca, None)]
        words = ["fr-eval", "--model", str(self.model_path)]
        words += [word for name, value, default in options if value != default for word in (name, str(value))]
        words += [] if self.mirror else ["--no-mirror"]
        return shlex.join([*words, *map(str, self.bins)])


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a job gave.

    Attributes:
        job: what was asked for.
        embedder: the model.
        results: of the bins that could be measured, in the order given.
        pairs: the bins themselves, beside `results`, for the report's images.
        failures: file and message of the bins that could not.
        versions: of the toolkit and of what computes.
    """

    job: Job
    embedder: Embedder
    results: list[BinResult]
    pairs: list[VerificationBin] = field(repr=False)
    failures: dict[Path, str]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Gives everything but curves and images, as JSON stores it."""
        height, width = self.embedder.input_size
        return {
            "model": {
                "path": str(self.embedder.path),
                "sha256": self.embedder.digest,
                "input_size": [height, width],
                "embedding_size": self.embedder.embedding_size,
                "scaling": self.embedder.scaling,
            },
            "versions": self.versions,
            "bins": [result.to_dict() for result in self.results],
            "failures": [{"path": str(path), "error": error} for path, error in self.failures.items()],
        }


def run_job(job: Job, *, progress: bool = False, on_failure: Callable[[EvalError], None] | None = None) -> Outcome:
    """Measures a model on bins. A bin that fails is recorded, and the others go on.

    Args:
        job: what to measure.
        progress: show bars on stderr, where that is a terminal.
        on_failure: is told of each bin that fails, at once.

    Returns:
        The figures and the failures.

    Raises:
        ModelError: the model cannot be used.
    """
    embedder = load_model(job.model_path, scaling=job.scaling)
    results: list[BinResult] = []
    pairs: list[VerificationBin] = []
    failures: dict[Path, str] = {}
    for path in job.bins:
        try:
            bin_ = read_pairs(path)
            result = evaluate_bin(
                embedder,
                bin_,
                num_folds=job.num_folds,
                pca=job.pca,
                mirror=job.mirror,
                batch_size=job.batch_size,
                workers=job.workers,
                progress=progress,
            )
        except EvalError as error:
            failures[path] = str(error)
            if on_failure:
                on_failure(error)
        else:
            results.append(result)
            pairs.append(bin_)
    return Outcome(job, embedder, results, pairs, failures, find_versions())


def find_versions() -> dict[str, str]:
    """Gives the versions of the toolkit, Python and the packages that compute; those that are installed."""
    versions = {"python": platform.python_version()}
    for package in ("fr-toolkit", "keras", "tensorflow", "tensorflow-cpu", "numpy", "scikit-learn", "pillow"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
