"""What became of a job: models, bins, and the results by both."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fr_data.bins.bins import VerificationBin
from fr_eval.jobs.evaluate import BinResult
from fr_eval.protocols.confidence import Comparison, Confidence

__all__ = ["Failure", "ModelCard", "Outcome", "choose_labels"]


@dataclass(frozen=True, eq=False)
class ModelCard:
    """What is known of a model, or of a file of embeddings that stands for one.

    Attributes:
        label: its name in tables, which no other model of the job has.
        path: its file or folder.
        sha256: of the file, or of the folder (`fr_eval.digests`).
        format: "Keras", "ONNX" and so on; "embeddings" for a file of these.
        scaling: a key of `fr_eval.models.scaling.SCALINGS`; None for embeddings, like the two below.
        layout: of its input, "nhwc" or "nchw".
        input_size: (height, width) of its images.
        embedding_size: D; None for embeddings, where each bin may have its own.
    """

    label: str
    path: Path
    sha256: str
    format: str
    scaling: str | None = None
    layout: str | None = None
    input_size: tuple[int, int] | None = None
    embedding_size: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives everything as JSON stores it."""
        return {
            "model": self.label,
            "path": str(self.path),
            "sha256": self.sha256,
            "format": self.format,
            "scaling": self.scaling,
            "layout": self.layout,
            "input_size": self.input_size and list(self.input_size),
            "embedding_size": self.embedding_size,
        }


@dataclass(frozen=True)
class Failure:
    """What could not be measured: a model on all bins, a bin with all models, or one model on one bin.

    Attributes:
        model: the model's label; None where it is the bin that cannot be read.
        bin_name: the bin's name or path; None where it is the model that cannot be loaded.
        error: the message.
    """

    model: str | None
    bin_name: str | None
    error: str

    def __str__(self) -> str:
        named = not self.model or not self.bin_name or self.error.startswith(f"{self.model}: ")
        return self.error if named else f"{self.model}: {self.error}"

    def to_dict(self) -> dict[str, Any]:
        """Gives everything as JSON stores it."""
        return {"model": self.model, "bin": self.bin_name, "error": self.error}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a job gave.

    Attributes:
        command: the command line that does the job again.
        models: those that could be loaded, in the order given.
        bins: those that could be read, in the order given; no two have the same name.
        results: by model and bin; where one of these could not be measured, it is among `failures`.
        failures: all that went wrong.
        versions: of the toolkit and of what computed.
        confidences: intervals of each of the results; empty where they were not asked for.
        comparisons: the first model with each other one, by the other one and the bin, where both could be measured, and by
            the same protocol.
    """

    command: str
    models: list[ModelCard]
    bins: list[VerificationBin] = field(repr=False)
    results: dict[tuple[ModelCard, VerificationBin], BinResult] = field(repr=False)
    failures: list[Failure]
    versions: dict[str, str]
    confidences: dict[tuple[ModelCard, VerificationBin], Confidence] = field(default_factory=dict, repr=False)
    comparisons: dict[tuple[ModelCard, VerificationBin], Comparison] = field(default_factory=dict, repr=False)

    def of_model(self, model: ModelCard) -> list[tuple[VerificationBin, BinResult]]:
        """Gives a model's results, in the order of the bins."""
        return [(bin_, self.results[model, bin_]) for bin_ in self.bins if (model, bin_) in self.results]

    def to_dict(self) -> dict[str, Any]:
        """Gives everything but curves and images, as JSON stores it."""
        return {
            "command": self.command,
            "versions": self.versions,
            "models": [model.to_dict() for model in self.models],
            "results": [
                {
                    "model": model.label,
                    **result.to_dict(),
                    "confidence": self.confidences[model, bin_].to_dict() if self.confidences else None,
                }
                for model in self.models
                for bin_, result in self.of_model(model)
            ],
            "comparisons": [
                {"first": self.models[0].label, "second": model.label, "bin": bin_.name, **comparison.to_dict()}
                for (model, bin_), comparison in self.comparisons.items()
            ],
            "failures": [failure.to_dict() for failure in self.failures],
        }


def choose_labels(candidates: Sequence[Sequence[str]]) -> list[str]:
    """Gives each thing the shortest of its names that no other thing has.

    Args:
        candidates: for each thing as many names, from short to long.

    Returns:
        A name each. Where even the longest ones are equal, a number stands behind.
    """
    labels = [""] * len(candidates)
    for level in zip(*candidates, strict=True):
        counts = Counter(level)
        labels = [label or (name if counts[name] == 1 else "") for label, name in zip(labels, level, strict=True)]
    return [
        label or f"{names[-1]} #{place}" for place, (label, names) in enumerate(zip(labels, candidates, strict=True), 1)
    ]
