"""Verification of templates, 1:1, as IJB-B and IJB-C are measured.

A template is several images of one person, stills and frames of videos; frames of one video are one media. Its embedding
is the sum over media of the mean of score · (f(x) + f(mirror(x))), normalised. As this is a sum over faces with fixed
weights, images stream by, and only the templates are kept.

Reference: InsightFace, `recognition/_evaluation_/ijb`, with all three of its switches on (norm score, detector score, flip).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fr_data.images.align import align_face
from fr_data.images.decode import decode_image
from fr_eval.errors import BinError, FaceSetError, ProtocolError
from fr_eval.faces.template_lists import TemplateSet
from fr_eval.models.embedder import Embedder, Images
from fr_eval.models.image_stream import show_progress, stream_images
from fr_eval.protocols.distances import Floats, check_truths, normalise_rows
from fr_eval.protocols.roc import tar_at_fars

__all__ = ["TemplateFigures", "embed_templates", "score_pairs", "verify_templates"]

_BLOCK_VALUES = 2**19  # of the rows that are multiplied at a time: they stay in the processor's cache


@dataclass(frozen=True)
class TemplateFigures:
    """What a model reaches on a template set.

    Attributes:
        name: of the set.
        num_images: distinct images; each was embedded once, and mirrored.
        num_templates: templates.
        num_pairs: pairs of templates; so many of them `num_same` and `num_different`.
        tars: TAR by FAR over all pairs; None where the "different" pairs are fewer than 1/FAR.
    """

    name: str
    num_images: int
    num_templates: int
    num_pairs: int
    num_same: int
    num_different: int
    tars: dict[float, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Gives it as JSON stores it. FARs become texts such as "1e-03"."""
        fields = asdict(self)
        return {**fields, "tars": {f"{far:.0e}": tar for far, tar in fields["tars"].items()}}


def verify_templates(
    embedder: Embedder,
    templates: TemplateSet,
    *,
    mirror: bool = True,
    batch_size: int = 64,
    workers: int | None = None,
    progress: bool = False,
) -> TemplateFigures:
    """Embeds the templates of a set, and measures TAR at FAR over its pairs.

    Args:
        embedder: the network.
        templates: the set.
        mirror: embed f(x) + f(mirror(x)), as the protocol does, and not f(x).
        batch_size: images that go through the network at a time.
        workers: threads that decode and align; one a core by default.
        progress: show a bar on stderr, where that is a terminal.

    Returns:
        The figures.

    Raises:
        FaceSetError: an image is damaged, or its points are all in one place.
        ProtocolError: all pairs are of one kind, or a template has no usable embedding.
    """
    issame = check_truths(templates.issame)
    sums = embed_templates(
        embedder, templates, mirror=mirror, batch_size=batch_size, workers=workers, progress=progress
    )
    scores = score_pairs(sums, templates)
    return TemplateFigures(
        name=templates.name,
        num_images=len(templates.images),
        num_templates=len(templates.template_ids),
        num_pairs=len(issame),
        num_same=int(issame.sum()),
        num_different=int((~issame).sum()),
        tars=tar_at_fars(-scores, issame),
    )


def embed_templates(
    embedder: Embedder,
    templates: TemplateSet,
    *,
    mirror: bool = True,
    batch_size: int = 64,
    workers: int | None = None,
    progress: bool = False,
) -> Floats:
    """Aligns and embeds all images, and sums them up by template.

    Args, Raises: as `verify_templates`.

    Returns:
        Float64, shape (T, D), not normalised.
    """

    def load(index: int) -> Images:
        path = templates.images[index]
        try:
            return align_face(decode_image(path.read_bytes()), templates.points[index], size=embedder.input_size)
        except OSError as error:
            raise FaceSetError(f"{path}: cannot be read: {error.strerror}") from error
        except (BinError, ValueError) as error:
            raise FaceSetError(f"{path}: {error}") from error

    sums = np.zeros((len(templates.template_ids), embedder.embedding_size))
    num_images, start = len(templates.images), 0
    batches = stream_images(load, num_images, batch_size=batch_size, workers=workers)
    for batch in show_progress(batches, num_images, name=templates.name, enabled=progress):
        embeddings = embedder.embed(batch, mirror=mirror, batch_size=batch_size)
        begin, end = np.searchsorted(templates.face_images, (start, start + len(batch)))
        faces = embeddings[templates.face_images[begin:end] - start]
        np.add.at(sums, templates.face_templates[begin:end], templates.face_weights[begin:end, np.newaxis] * faces)
        start += len(batch)
    return sums


def score_pairs(sums: Floats, templates: TemplateSet) -> Floats:
    """Gives the cosine of each pair of templates.

    Args:
        sums: embeddings of the templates, shape (T, D), not normalised.
        templates: the set.

    Returns:
        Float64, shape (P,), of the precision of float32.

    Raises:
        ProtocolError: a template's embedding is NaN, infinite or zero.
    """
    bad = np.flatnonzero(~np.isfinite(sums).all(axis=1) | ~sums.any(axis=1))
    if len(bad):
        raise ProtocolError(
            f"{templates.name}: expected an embedding with a direction; template {templates.template_ids[bad[0]]} and "
            f"{len(bad) - 1} more have NaN, infinite values or zeros only. Is the model fed its own pixel scaling?"
        )
    rows = normalise_rows(sums).astype(np.float32)
    scores = np.empty(len(templates.first))
    block = max(1, _BLOCK_VALUES // rows.shape[1])
    for start in range(0, len(scores), block):
        part = slice(start, start + block)
        scores[part] = np.einsum("ij,ij->i", rows.take(templates.first[part], 0), rows.take(templates.second[part], 0))
    return scores
