"""Configs from TOML and command-line overrides. A typo is an error; the resolved config is saved with the run."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tomli_w

from fr_train.config.config import DEFAULT_LOSS, Config, PhaseConfig, require
from fr_train.errors import ConfigError

__all__ = ["dump_config", "find_config", "load_config", "parse_augment", "parse_config", "parse_override"]

T = TypeVar("T")
# What stands outside of phases holds for each of them.
PHASE_KEYS = tuple(item.name for item in fields(PhaseConfig) if item.name != "name")
DEFAULT_LOSS_OPTIONS = ("margin_radians", "scale", "weight")
# Overrides that forget what a table holds; they go first, so that keys which are given beside them stay, in whatever order.
REPLACING = (("loss", "name"), ("augment", "preset"), ("overlay",))
AUGMENT_PRESETS: Mapping[str, Mapping[str, float]] = {
    "none": {},
    "light": {"crop": 0.2, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2},  # as AdaFace (Kim et al. 2022)
    "strong": {
        "crop": 0.5,
        "shift": 0.5,
        "brightness": 0.5,
        "contrast": 0.5,
        "saturation": 0.5,
        "gray": 0.1,
        "lower_face": 0.1,
        "jpeg": 0.2,
    },
}


def find_config(name: str) -> Path:
    """Gives the file that `--config` means: a path, or the name of a config that comes with the toolkit.

    Raises:
        ConfigError: if there is no such file; names the configs there are.
    """
    own = Path(__file__).parent / "recipes"
    for path in (Path(name), own / f"{name}.toml"):
        if path.is_file():
            return path
    known = (
        ", ".join(sorted(path.stem for path in own.glob("*.toml")))
        or "none: this installation lacks them; install it anew"
    )
    raise ConfigError(f"--config: expected a TOML file, or the name of a config ({known}), received {name!r}.")


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


def parse_augment(texts: Iterable[str]) -> dict[tuple[str, ...], Any]:
    """Reads what `--augment` is given: presets, which forget what stands before them, and `key=value` of the table `[augment]`."""
    changes: dict[tuple[str, ...], Any] = {}
    for text in texts:
        if "=" not in text:
            changes.clear()
        keys, value = parse_override(f"augment.{text}" if "=" in text else f"augment.preset={text}")
        changes[keys] = value
    return changes


def parse_config(values: Mapping[str, Any], *, overrides: Mapping[tuple[str, ...], Any] | None = None) -> Config:
    """Makes a config from nested values, those of `overrides` on top.

    What stands outside of phases holds for each phase that does not say otherwise; overrides hold for all of them. The order of
    overrides means nothing: whole tables go before keys of them, and a loss's name before its options.

    Raises:
        ConfigError: if a key is unknown or a value has the wrong type or range; names the key.
    """
    merged, changes = _copy(values), dict(overrides or {})
    common = {key: merged.pop(key) for key in PHASE_KEYS if key in merged}
    phases = merged.pop("phases", [{}])
    phases = changes.pop(("phases",), phases)
    require(isinstance(phases, list) and bool(phases), "phases", "a list of tables", phases)
    merged["phases"] = [_merge_phase(common, phase, number) for number, phase in enumerate(phases, start=1)]
    for keys, value in sorted(changes.items(), key=lambda change: (len(change[0]), change[0] not in REPLACING)):
        for table in merged["phases"] if keys[0] in PHASE_KEYS else [merged]:
            _override(table, keys, value)
    for phase in merged["phases"]:
        _name_loss(phase)
    if isinstance(merged.get("augment"), Mapping) and "preset" in merged["augment"]:
        merged["augment"] = _expand_preset(**merged["augment"])
    return _from_mapping(Config, merged, prefix="")


def _override(table: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{'.'.join(keys)}: expected a key of a table, but {key} is a value.")
    if isinstance(value, Mapping):
        value = _add_loss(table, value) if keys == ("loss",) else _copy(value)  # a table a phase
    if keys == ("loss", "name") and table.get("name", DEFAULT_LOSS) != value:
        table.clear()  # margins and scale of one loss mean nothing to another
    if keys == ("augment", "preset"):
        table.clear()
    if keys == ("overlay",):
        table.pop("overlay_sha256", None)  # which is of the overlay that this one replaces
    table[keys[-1]] = value


def _add_loss(table: Mapping[str, Any], loss: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the loss of a table with another one on top: a named one replaces it, options without a name add to it."""
    before = table.get("loss", {})
    require("name" in loss or isinstance(before, Mapping), "loss", "a table", before)
    return _copy(loss if "name" in loss else {**before, **loss})


def _name_loss(phase: dict[str, Any]) -> None:
    """Names the default where a loss has options alone; those of another loss are refused."""
    loss = phase.get("loss")
    if isinstance(loss, dict) and "name" not in loss:
        others = sorted(set(loss) - set(DEFAULT_LOSS_OPTIONS))
        expected = f"the name of a loss beside {', '.join(others)}, which {DEFAULT_LOSS}, the default, does not take"
        require(not others, "loss.name", expected, loss)
        loss["name"] = DEFAULT_LOSS


def _expand_preset(*, preset: Any, **values: Any) -> dict[str, Any]:
    known = ", ".join(AUGMENT_PRESETS)
    require(isinstance(preset, str) and preset in AUGMENT_PRESETS, "augment.preset", f"one of {known}", preset)
    return {**AUGMENT_PRESETS[preset], **values}


def _merge_phase(common: Mapping[str, Any], phase: Any, number: int) -> dict[str, Any]:
    """Gives a phase with what it takes over from outside; its tables add to the common ones, but a named loss replaces that."""
    require(isinstance(phase, Mapping), f"phases[{number}]", "a table", phase)
    merged = _copy(common)
    for key, value in phase.items():
        if key in ("optimizer", "schedule") and isinstance(value, Mapping):
            before = merged.get(key, {})
            require(isinstance(before, Mapping), key, f"a table, to which that of phases[{number}] adds", before)
            merged[key] = {**before, **value}
        elif key == "loss" and isinstance(value, Mapping):
            merged[key] = _add_loss(merged, value)
        else:
            merged[key] = _copy({key: value})[key]
    return merged


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _from_mapping(cls: type[T], values: Mapping[str, Any], *, prefix: str) -> T:
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            names = [*known, *(PHASE_KEYS if not prefix else ())]
            near = get_close_matches(key, names, n=1)
            raise ConfigError(
                f"{prefix}{key}: is no key of a config. "
                + (f"Did you mean {prefix}{near[0]}?" if near else f"Expected one of {', '.join(names)}.")
            )
        arguments[key] = _convert(hints[key], value, key=f"{prefix}{key}")
    return cls(**arguments)


def _convert(hint: Any, value: Any, *, key: str) -> Any:
    if is_dataclass(hint):
        require(isinstance(value, Mapping), key, "a table", value)
        return _from_mapping(hint, value, prefix=f"{key}.")  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    origin = getattr(hint, "__origin__", hint)
    if origin is tuple:
        require(isinstance(value, list | tuple), key, "a list", value)
        return tuple(_convert(hint.__args__[0], item, key=f"{key}[{n}]") for n, item in enumerate(value, start=1))
    expected = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}.get(origin, "a table")
    matches = isinstance(value, Mapping if expected == "a table" else origin)
    require(matches and (origin is bool or not isinstance(value, bool)), key, expected, value)
    return value


def dump_config(config: Config) -> str:
    """Gives a config as TOML that `load_config` and `parse_config` read back."""
    return tomli_w.dumps(asdict(config))
