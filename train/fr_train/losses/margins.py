"""Margins: what becomes of the target's cosine before the softmax. Other cosines stay as they are.

Names are the field's: m1 multiplies the angle, m2 is added to it, m3 is subtracted from the cosine. All of it runs in float32,
with cosines kept away from -1 and 1, where the gradient of the angle is infinite.
"""

import math
from typing import Any

from keras import ops

__all__ = ["EPSILON", "adaptive", "additive_angular", "additive_cosine", "combined", "linear_angular"]

Tensor = Any
EPSILON = 1e-6  # 1 - 1e-6 is the nearest to 1 whose square float32 still tells from 1 with a few digits


def _inside(cosine: Tensor) -> Tensor:
    return ops.clip(ops.cast(cosine, "float32"), -1.0 + EPSILON, 1.0 - EPSILON)


def additive_angular(cosine: Tensor, *, margin_radians: Tensor = 0.5) -> Tensor:
    """ArcFace: cos(θ + m) while θ + m ≤ π, beyond that cos θ − m·sin m, which keeps falling.

    Args:
        cosine: (B,) cosines of the targets.
        margin_radians: m, a number or (B,).

    Returns:
        (B,) float32.

    Reference:
        Deng et al. 2019, ArcFace: Additive Angular Margin Loss for Deep Face Recognition.
    """
    cosine, margin = _inside(cosine), ops.convert_to_tensor(margin_radians, dtype="float32")
    sine = ops.sqrt(1.0 - ops.square(cosine))
    turned = cosine * ops.cos(margin) - sine * ops.sin(margin)
    beyond = cosine - margin * ops.sin(margin)
    return ops.where(cosine > ops.cos(math.pi - margin), turned, beyond)


def additive_cosine(cosine: Tensor, *, margin: float = 0.35) -> Tensor:
    """CosFace: cos θ − m.

    Args:
        cosine: (B,) cosines of the targets.
        margin: m.

    Returns:
        (B,) float32.

    Reference:
        Wang et al. 2018, CosFace: Large Margin Cosine Loss for Deep Face Recognition.
    """
    return ops.cast(cosine, "float32") - margin


def combined(cosine: Tensor, *, m1: float = 0.9, m2: float = 0.15, m3: float = 0.4) -> Tensor:
    """Combined margin: cos(m1·θ + m2) − m3 while m1·θ + m2 ≤ π, else cos θ without margin.

    Args:
        cosine: (B,) cosines of the targets.
        m1: factor of the angle.
        m2: added to the angle, in radians.
        m3: subtracted from the cosine.

    Returns:
        (B,) float32.

    Reference:
        Deng et al. 2019, section 2.3, equation 4.
    """
    cosine = _inside(cosine)
    angle = m1 * ops.arccos(cosine) + m2
    return ops.where(angle <= math.pi, ops.cos(angle) - m3, cosine)


def linear_angular(cosine: Tensor, *, margin_radians: float = 0.4) -> Tensor:
    """AirFace: 1 − 2(θ + m)/π, which falls evenly with the angle.

    Args:
        cosine: (B,) cosines of the targets.
        margin_radians: m.

    Returns:
        (B,) float32.

    Reference:
        Li et al. 2019, AirFace: Lightweight and Efficient Model for Face Recognition.
    """
    return 1.0 - 2.0 / math.pi * (ops.arccos(_inside(cosine)) + margin_radians)


def adaptive(cosine: Tensor, *, quality: Tensor, margin: float = 0.4) -> Tensor:
    """AdaFace: cos(θ − m·z) − (m·z + m), the angle kept within [0.001, π − 0.001].

    Args:
        cosine: (B,) cosines of the targets.
        quality: z, (B,) from −1 (poor image: an additive angle) to 1 (good image: an additive cosine).
        margin: m.

    Returns:
        (B,) float32.

    Reference:
        Kim et al. 2022, AdaFace: Quality Adaptive Margin for Face Recognition; the bounds are those of their code.
    """
    angle = ops.clip(ops.arccos(_inside(cosine)) - margin * quality, 1e-3, math.pi - 1e-3)
    return ops.cos(angle) - margin * (1.0 + quality)
