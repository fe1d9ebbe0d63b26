"""What a run is made of, from TOML and command-line overrides. A typo is an error; the resolved config is saved with the run."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tomli_w

from fr_train.errors import ConfigError

__all__ = [
    "Config",
    "ModelConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "dump_config",
    "find_config",
    "load_config",
    "parse_config",
    "parse_override",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The embedding network.

    Attributes:
        backbone: a registered name; see `fr-train models`.
        width: factor of the channels, where the backbone has one.
        embedding_size: D.
        dropout: rate in front of the embedding, in [0, 1).
        output: `gap`, `e` or `gdc`; empty is what the field gives the backbone.
    """

    backbone: str = "mobilefacenet"
    width: float = 1.0
    embedding_size: int = 512
    dropout: float = 0.0
    output: str = ""

    def __post_init__(self) -> None:
        _require(self.width > 0, "model.width", "a positive factor", self.width)
        _require(self.embedding_size > 0, "model.embedding_size", "a positive number", self.embedding_size)
        _require(0 <= self.dropout < 1, "model.dropout", "a rate in [0, 1)", self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """The optimizer.

    Attributes:
        name: `sgd` (Nesterov momentum) or `adamw`; both with decoupled weight decay.
        learning_rate: at the peak of the schedule.
        momentum: of `sgd`.
        weight_decay: part of a weight that a step takes away, in units of the learning rate; not of normalisation and biases.
        clip_norm: largest global norm of the gradients; 0 is none.
    """

    name: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        _require(self.name in ("sgd", "adamw"), "optimizer.name", "sgd or adamw", self.name)
        _require(self.learning_rate > 0, "optimizer.learning_rate", "a positive number", self.learning_rate)
        _require(0 <= self.momentum < 1, "optimizer.momentum", "a number in [0, 1)", self.momentum)
        _require(self.weight_decay >= 0, "optimizer.weight_decay", "0 or more", self.weight_decay)
        _require(self.clip_norm >= 0, "optimizer.clip_norm", "0 or more", self.clip_norm)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate goes over the run.

    Attributes:
        name: `constant`, `cosine` (to `final_fraction` of the peak) or `step`.
        warmup_epochs: linear rise from 0 at the start; may be a fraction.
        final_fraction: where the cosine ends, as part of the peak.
        step_epochs: epochs after which `step` multiplies the rate by `step_factor`.
        step_factor: that factor.
    """

    name: str = "cosine"
    warmup_epochs: float = 0.0
    final_fraction: float = 0.0
    step_epochs: tuple[float, ...] = ()
    step_factor: float = 0.1

    def __post_init__(self) -> None:
        _require(self.name in ("constant", "cosine", "step"), "schedule.name", "constant, cosine or step", self.name)
        _require(self.warmup_epochs >= 0, "schedule.warmup_epochs", "0 or more", self.warmup_epochs)
        _require(0 <= self.final_fraction <= 1, "schedule.final_fraction", "a part from 0 to 1", self.final_fraction)
        _require(0 < self.step_factor <= 1, "schedule.step_factor", "a factor in (0, 1]", self.step_factor)
        rising = list(self.step_epochs) == sorted(set(self.step_epochs))
        _require(rising, "schedule.step_epochs", "rising epochs", list(self.step_epochs))
        _require(self.name != "step" or bool(self.step_epochs), "schedule.step_epochs", "at least one epoch", [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A run.

    Attributes:
        shards: the data set's folder.
        bins: verification bins that are evaluated after each epoch.
        epochs: passes over the train split; 0 saves the network as it is initialised.
        batch_size: images a step.
        seed: of weights, shuffle and mirroring.
        image_size: (height, width); empty takes it from the data set.
        mirror: whether training images are mirrored at random.
        shuffle_buffer: records that are mixed in memory.
        model: the embedding network.
        loss: `name` and its options: margins and scale.
        optimizer: the optimizer.
        schedule: the learning rate's course.
    """

    shards: str = ""
    bins: tuple[str, ...] = ()
    epochs: int = 20
    batch_size: int = 128
    seed: int = 0
    image_size: tuple[int, ...] = ()
    mirror: bool = True
    shuffle_buffer: int = 8192
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: Mapping[str, Any] = field(default_factory=lambda: {"name": "arcface"})
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        _require(self.epochs >= 0, "epochs", "0 or more", self.epochs)
        _require(self.batch_size >= 1, "batch_size", "1 or more", self.batch_size)
        _require(self.shuffle_buffer >= 1, "shuffle_buffer", "1 or more", self.shuffle_buffer)
        _require(0 <= self.seed < 1 << 31, "seed", "0 to 2^31 - 1", self.seed)
        sized = len(self.image_size) in (0, 2) and all(size >= 16 for size in self.image_size)
        _require(sized, "image_size", "[height, width], 16 or more each", list(self.image_size))
        _require(isinstance(self.loss.get("name"), str), "loss.name", "the name of a loss", dict(self.loss))


def _require(holds: bool, key: str, expected: str, received: object) -> None:
    if not holds:
        raise ConfigError(f"{key}: expected {expected}, received {received!r}.")


def find_config(name: str) -> Path:
    """Gives the file that `--config` means: a path, or the name of a config that comes with the toolkit.

    Raises:
        ConfigError: if there is no such file; names the configs there are.
    """
    own = Path(__file__).parent / "configs"
    for path in (Path(name), own / f"{name}.toml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in own.glob("*.toml")))
    raise ConfigError(f"--config: expected a TOML file or one of {known}, received {name!r}.")


def load_config(path: Path) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        ConfigError: if it cannot be read, or is no TOML; says at which line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no TOML: {error}.") from error


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Reads `key.key=value`; the value is TOML, or a string where it is none.

    Raises:
        ConfigError: if there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set: expected key=value, received {text!r}.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    return tuple(key.strip().split(".")), parsed


def parse_config(values: Mapping[str, Any], *, overrides: Mapping[tuple[str, ...], Any] | None = None) -> Config:
    """Makes a config from nested values, those of `overrides` on top.

    Raises:
        ConfigError: if a key is unknown or a value has the wrong type or range; names the key.
    """
    merged = _copy(values)
    for keys, value in (overrides or {}).items():
        table = merged
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{'.'.join(keys)}: expected a key of a table, but {key} is a value.")
        if keys == ("loss", "name") and table.get("name") != value:
            table.clear()  # margins and scale of one loss mean nothing to another
        table[keys[-1]] = value
    return _from_mapping(Config, merged, prefix="")


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _from_mapping(cls: type[T], values: Mapping[str, Any], *, prefix: str) -> T:
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise ConfigError(
                f"{prefix}{key}: is no key of a config. "
                + (f"Did you mean {prefix}{near[0]}?" if near else f"Expected one of {', '.join(known)}.")
            )
        arguments[key] = _convert(hints[key], value, key=f"{prefix}{key}")
    return cls(**arguments)


def _convert(hint: Any, value: Any, *, key: str) -> Any:
    if is_dataclass(hint):
        _require(isinstance(value, Mapping), key, "a table", value)
        return _from_mapping(hint, value, prefix=f"{key}.")  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    origin = getattr(hint, "__origin__", hint)
    if origin is tuple:
        _require(isinstance(value, list | tuple), key, "a list", value)
        return tuple(_convert(hint.__args__[0], item, key=key) for item in value)
    expected = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}.get(origin, "a table")
    matches = isinstance(value, Mapping if expected == "a table" else origin)
    _require(matches and (origin is bool or not isinstance(value, bool)), key, expected, value)
    return value


def dump_config(config: Config) -> str:
    """Gives a config as TOML that `load_config` and `parse_config` read back."""
    return tomli_w.dumps(asdict(config))
