import inspect
import math
import re
import tomllib
from dataclasses import fields
from itertools import permutations
from pathlib import Path

import pytest

from fr_train.config.config import DEFAULT_LOSS, Config, ModelConfig, OptimizerConfig, PhaseConfig, ScheduleConfig
from fr_train.config.config_file import (
    DEFAULT_LOSS_OPTIONS,
    dump_config,
    find_config,
    load_config,
    parse_augment,
    parse_config,
    parse_override,
)
from fr_train.data.augment.settings import AugmentSettings
from fr_train.errors import ConfigError
from fr_train.losses.registry import LOSSES, NO_OPTIONS, build_loss, build_losses

CONFIGS = sorted((Path(__file__).parents[3] / "train" / "fr_train" / "config" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_config_of_the_toolkit_is_sound_and_opens_with_its_command(path):
    config = parse_config(load_config(path))
    for phase in config.phases:
        build_losses(phase.loss, num_classes=5, embedding_size=8)
    assert path.read_text().startswith("# fr-train --config ")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_saved_config_is_read_back_as_it_was(path, tmp_path):
    config = parse_config(load_config(path), overrides={("bins",): ["a.bin"], ("image_size",): [64, 48]})
    (tmp_path / "config.toml").write_text(dump_config(config))
    assert parse_config(load_config(tmp_path / "config.toml")) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "epoch: is no key of a config. Did you mean epochs?"),
        ({"model": {"backbon": "x"}}, r"model\.backbon: .* Did you mean model\.backbone\?"),
        ({"epochs": "3"}, "epochs: expected a whole number"),
        ({"epochs": True}, "epochs: expected a whole number"),
        ({"mirror": 1}, "mirror: expected true or false"),
        ({"model": 3}, "model: expected a table"),
        ({"bins": "a.bin"}, "bins: expected a list"),
        ({"epochs": -1}, "epochs: expected 0 or more"),
        ({"optimizer": {"name": "adamx"}}, r"optimizer\.name: expected adamax, adamw, lamb or sgd"),
        ({"schedule": {"name": "step"}}, r"schedule\.step_epochs: expected at least one epoch"),
        ({"schedule": {"step_epochs": [5, 3]}}, "rising"),
        ({"image_size": [112]}, "image_size"),
        ({"model": {"center_crop": [64, 8]}}, "model.center_crop"),
        ({"loss": {"margin": 3}}, r"loss\.name"),
        ({"model": {"dropout": 1.0}}, r"model\.dropout"),
        ({"mine_classes": 1}, "mine_classes: expected 2 or more, received 1"),
        ({"steps_per_epoch": -1}, "steps_per_epoch: expected 0 or more"),
        ({"phases": []}, r"phases: expected a list of tables, received \[\]"),
        ({"model": {"width": math.inf}}, r"model\.width: expected a finite number, received inf"),
        (
            {"optimizer": {"learning_rate": math.inf}},
            r"optimizer\.learning_rate: expected a finite number, received inf",
        ),
        ({"optimizer": {"weight_decay": math.inf}}, r"optimizer\.weight_decay: expected a finite number, received inf"),
        (
            {"schedule": {"step_epochs": [1.0, math.inf]}},
            r"schedule\.step_epochs: expected a finite number, received \(1\.0, inf\)",
        ),
        (
            {"optimizer": "sgd", "phases": [{"optimizer": {"momentum": 0.5}}]},
            r"optimizer: expected a table, to which that of phases\[1\] adds, received 'sgd'",
        ),
        ({"loss": "arcface", "phases": [{"loss": {"scale": 3.0}}]}, "loss: expected a table, received 'arcface'"),
        ({"loss": {"margin": 3}}, r"loss\.name: expected the name of a loss beside margin, which arcface, the default"),
        ({"augment": {"preset": "loud"}}, r"augment\.preset: expected one of none, light, strong, received 'loud'"),
    ],
)
def test_a_config_that_cannot_be_is_refused_by_its_key(values, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(values)


def test_overrides_come_on_top_and_a_new_loss_forgets_the_old_options():
    values = {"epochs": 3, "loss": {"name": "cosface", "margin": 0.2}}
    config = parse_config(values, overrides={("model", "width"): 0.5, ("loss", "name"): "arcface"})
    assert (config.epochs, config.model.width, dict(config.phases[0].loss)) == (3, 0.5, {"name": "arcface"})
    config = parse_config(values, overrides={("loss", "name"): "cosface", ("loss", "scale"): 32.0})
    assert dict(config.phases[0].loss) == {"name": "cosface", "margin": 0.2, "scale": 32.0}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["loss.margin=0.1", "loss.name=cosface"], {"name": "cosface", "margin": 0.1}),
        (["loss.scale=32.0", "loss={name='cosface'}"], {"name": "cosface", "scale": 32.0}),
        (["loss.scale=32.0"], {"name": "arcface", "margin_radians": 0.3, "scale": 32.0}),
        (["loss={scale=32.0}"], {"name": "arcface", "margin_radians": 0.3, "scale": 32.0}),
        (
            ["loss.center.weight=0.1", "loss.center={alpha=0.5}", "loss.name=center+softmax"],
            {"name": "center+softmax", "center": {"alpha": 0.5, "weight": 0.1}},
        ),
    ],
)
def test_the_order_of_overrides_means_nothing(texts, expected):
    for values in ({"loss": {"margin_radians": 0.3}}, {"phases": [{"loss": {"margin_radians": 0.3}}]}):
        for order in permutations(texts):
            config = parse_config(values, overrides=dict(parse_override(text) for text in order))
            assert dict(config.phases[0].loss) == expected


def test_augmentations_and_an_overlay_are_chosen_in_any_order_too():
    for texts in permutations(["augment.jpeg=0.1", "augment.preset=light", "overlay=a.csv", "overlay_sha256=00"]):
        config = parse_config({"augment": {"gray": 0.5}}, overrides=dict(parse_override(text) for text in texts))
        assert (config.augment.jpeg, config.augment.gray, config.augment.crop) == (0.1, 0.0, 0.2)
        assert (config.overlay, config.overlay_sha256) == ("a.csv", "00")


def test_options_of_a_loss_without_its_name_are_those_of_the_default_and_add_to_a_common_loss():
    assert set(DEFAULT_LOSS_OPTIONS) == {"weight", *inspect.signature(LOSSES[DEFAULT_LOSS]).parameters} - {*NO_OPTIONS}
    assert dict(parse_config({"loss": {"scale": 32.0}}).phases[0].loss) == {"name": "arcface", "scale": 32.0}
    phases = [{"loss": {"scale": 32.0}}, {"loss": {"name": "softmax"}}, {}]
    config = parse_config({"loss": {"name": "cosface", "margin": 0.2}, "phases": phases})
    assert [dict(phase.loss) for phase in config.phases] == [
        {"name": "cosface", "margin": 0.2, "scale": 32.0},
        {"name": "softmax"},
        {"name": "cosface", "margin": 0.2},
    ]


def test_phases_on_the_command_line_take_over_what_stands_outside_of_them():
    overrides = {("phases",): [{"epochs": 1}, {}], ("optimizer", "momentum"): 0.5}
    config = parse_config({"epochs": 7, "freeze": ["head"]}, overrides=overrides)
    found = [(phase.epochs, phase.freeze, phase.optimizer.momentum) for phase in config.phases]
    assert found == [(1, ("head",), 0.5), (7, ("head",), 0.5)]
    with pytest.raises(ConfigError, match=r"phases: expected a list of tables, received \[\]"):
        parse_config({}, overrides={("phases",): []})


@pytest.mark.parametrize(("name", "rate"), [("sgd", 0.1), ("adamw", 1e-3), ("adamax", 1e-3), ("lamb", 1e-3)])
def test_each_optimizer_has_a_learning_rate_of_its_own_where_none_is_given(name, rate):
    config = parse_config({}, overrides={("optimizer", "name"): name})
    (saved,) = tomllib.loads(dump_config(config))["phases"]
    assert saved["optimizer"]["learning_rate"] == rate
    given = parse_config({"optimizer": {"learning_rate": 0.5}}, overrides={("optimizer", "name"): name})
    assert given.phases[0].optimizer.learning_rate == 0.5


def test_what_stands_outside_of_phases_holds_for_each_that_does_not_say_otherwise():
    values = {"images_per_class": 4, "freeze": ["head"], "phases": [{"images_per_class": 2}, {"freeze": []}]}
    config = parse_config(values, overrides={("steps_per_epoch",): 7})
    found = [(phase.images_per_class, phase.freeze, phase.steps_per_epoch) for phase in config.phases]
    assert found == [(2, ("head",), 7), (4, (), 7)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["light"], {"crop": 0.2, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2}),
        (["none"], {}),
        (["gray=0.5"], {"jpeg": 0.9, "gray": 0.5}),  # beside what the file says
        (
            ["strong", "gray=0.5", "light", "crop=0.1"],
            {"crop": 0.1, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2},
        ),
    ],
)
def test_augmentations_are_chosen_by_preset_and_key(texts, expected):
    config = parse_config({"augment": {"jpeg": 0.9}}, overrides=parse_augment(texts))
    assert config.augment == AugmentSettings(**expected)


def test_a_preset_may_stand_in_a_file_with_keys_on_top():
    config = parse_config({"augment": {"preset": "light", "crop": 0.0}})
    assert config.augment == AugmentSettings(brightness=0.2, contrast=0.2, saturation=0.2)
    assert parse_config(tomllib.loads(dump_config(config))) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs=3", (("epochs",), 3)),
        ("model.width=0.5", (("model", "width"), 0.5)),
        ("model.backbone=resnet50v2", (("model", "backbone"), "resnet50v2")),
        ("bins=['a.bin']", (("bins",), ["a.bin"])),
        ("mirror=false", (("mirror",), False)),
    ],
)
def test_an_override_is_read_as_toml_or_as_text(text, expected):
    assert parse_override(text) == expected


def test_an_override_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="key=value"):
        parse_override("epochs")


def test_a_config_is_found_by_path_and_by_name(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("epochs = 1\n")
    assert find_config(str(path)) == path
    assert find_config("lfw-cpu").name == "lfw-cpu.toml"
    with pytest.raises(ConfigError, match="lfw-cpu"):
        find_config("nothing")


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "x.toml").write_text("epochs = = 3")
    with pytest.raises(ConfigError, match=r"x\.toml: is no TOML.*line 1"):
        load_config(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("arcfac", {}, "Did you mean arcface"),
        ("arcface", {"margin": 0.5}, "margin_radians and scale"),
        ("softmax", {"scale": 3}, "no options"),
        ("cosface", {"margin": 5}, "expected a margin"),
    ],
)
def test_a_loss_that_cannot_be_is_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        build_loss(name, options)


def test_the_default_config_is_sound():
    assert parse_config({}) == Config()


def test_the_documentation_shows_the_defaults_and_names_every_key():
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    values = tomllib.loads(re.search(r"```toml\n(epochs = .*?)```", text, re.DOTALL)[1])
    arcface = inspect.signature(LOSSES[DEFAULT_LOSS]).parameters
    options = {key: arcface[key].default for key in values["loss"] if key != "name"}
    assert values.pop("loss") == {"name": DEFAULT_LOSS, **options}
    assert parse_config(values) == Config()
    tables = (Config, ModelConfig, OptimizerConfig, PhaseConfig, ScheduleConfig)
    names = {item.name.replace("_", "[_-]") for table in tables for item in fields(table)}
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
