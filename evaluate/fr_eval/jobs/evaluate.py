"""One bin and one model: the whole evaluation in one call."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fr_data.bins.bins import VerificationBin
from fr_eval.errors import ProtocolError
from fr_eval.models.embed import BinEmbeddings, DecodedBin, embed_bin
from fr_eval.models.embedder import Embedder
from fr_eval.protocols.verification import Verification, verify

__all__ = ["BinResult", "evaluate_bin", "measure_embeddings"]


@dataclass(frozen=True, eq=False)
class BinResult:
    """A model's figures on one bin.

    Attributes:
        name: the bin's name.
        path: its file, or its folder of shards.
        sha256: SHA-256 of the file, or of the folder's manifest: files of one name differ.
        entry_kinds: how its images were stored, with counts.
        num_unique_images: distinct images, each of which was embedded once.
        verification: the figures.
    """

    name: str
    path: Path
    sha256: str
    entry_kinds: dict[str, int]
    num_unique_images: int
    verification: Verification = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Gives everything but the curves, as JSON stores it."""
        return {
            "bin": self.name,
            "path": str(self.path),
            "sha256": self.sha256,
            "entry_kinds": self.entry_kinds,
            "num_unique_images": self.num_unique_images,
            **self.verification.to_dict(),
        }


def evaluate_bin(
    embedder: Embedder,
    bin_: VerificationBin,
    *,
    num_folds: int = 10,
    pca: int | None = None,
    mirror: bool = True,
    batch_size: int = 64,
    workers: int | None = None,
    decoded: DecodedBin | None = None,
    progress: bool = False,
) -> BinResult:
    """Embeds a bin and measures every protocol on it.

    Args:
        embedder: the network.
        bin_: the pairs.
        num_folds: contiguous folds of the InsightFace protocol.
        pca: dimensions of a PCA to measure as well.
        mirror: measure the mirror sum too; without it the evaluation takes half the time.
        batch_size: images that go through the network at a time.
        workers: threads that decode; one a core by default.
        decoded: the bin's decoded images, where they are kept between epochs.
        progress: show a bar on stderr, where that is a terminal.

    Returns:
        The figures.

    Raises:
        BinError: an image is damaged.
        ProtocolError: the pairs or the embeddings cannot be measured; the message names the bin.
    """
    embeddings = embed_bin(
        bin_, embedder, batch_size=batch_size, mirror=mirror, workers=workers, decoded=decoded, progress=progress
    )
    return measure_embeddings(embeddings, bin_, num_folds=num_folds, pca=pca)


def measure_embeddings(
    embeddings: BinEmbeddings, bin_: VerificationBin, *, num_folds: int = 10, pca: int | None = None
) -> BinResult:
    """Measures every protocol on the embeddings of a bin.

    Args:
        embeddings: of the bin's images, in its order.
        bin_: the pairs.
        num_folds: contiguous folds of the InsightFace protocol.
        pca: dimensions of a PCA to measure as well.

    Returns:
        The figures.

    Raises:
        ProtocolError: the pairs or the embeddings cannot be measured; the message names the bin.
    """
    try:
        verification = verify(
            embeddings.plain, bin_.issame, mirrored=embeddings.mirrored, num_folds=num_folds, num_components=pca
        )
    except ProtocolError as error:
        raise ProtocolError(f"{bin_.path}: {error}") from error
    return BinResult(bin_.name, bin_.path, bin_.sha256, bin_.entry_kinds, len(set(bin_.images)), verification)
