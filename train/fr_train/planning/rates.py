"""How fast a device is: measured, or published."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from fr_train.errors import ConfigError

__all__ = ["PUBLISHED", "Rates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Useful operations a second of one device; everything that a step does beside them is in it.

    Attributes:
        network_flops: of forward pass, gradient and update of the network.
        head_flops: of the same of the head, which has 6 · batch · D operations for each class.
        precision: under which that was.
        source: where it comes from, a phrase.
        on_cpu: whether the device is a processor, where normalisation and PReLU keep one array for both, as
            `fr_train.step.cpu.accelerate` has it.
    """

    network_flops: float
    head_flops: float
    precision: str
    source: str
    on_cpu: bool = False

    def __post_init__(self) -> None:
        for key in ("network_flops", "head_flops"):
            value = getattr(self, key)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigError(f"{key}: expected operations a second, received {value!r}.")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `fr-train plan --measure --json` wrote.

        Raises:
            ConfigError: if it is something else.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            values = content["rates"]
            return cls(**{item.name: values[item.name] for item in fields(cls)})
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: expected what `fr-train plan --measure --json` writes ({error}).") from error

    def to_dict(self) -> Mapping[str, Any]:
        """Gives them as JSON values."""
        return asdict(self)


# InsightFace, recognition/arcface_torch/docs/speed_benchmark.md: 8 Tesla V100-SXM2-32GB, 3,000,000 classes, iResNet-50, 512-d,
# mixed precision, a batch of 1,024: 2,271 images/s with the head sharded, 5,300 with 0.1 of the classes sampled. A device has
# 375,000 and 37,500 classes then, which gives 0.764 µs a class and, of the rest, 1.286 ms an image.
PUBLISHED = Rates(
    network_flops=29.4e12,
    head_flops=4.12e12,
    precision="mixed_float16",
    source="published: InsightFace's arcface_torch on a V100, iResNet-50",
)
