import tomllib
from pathlib import Path

import pytest

from fr_train.augment.settings import AugmentSettings
from fr_train.config import Config
from fr_train.config_file import (
    dump_config,
    find_config,
    load_config,
    parse_augment,
    parse_config,
    parse_override,
)
from fr_train.errors import ConfigError
from fr_train.losses.registry import build_loss, build_losses

CONFIGS = sorted((Path(__file__).parents[2] / "train" / "fr_train" / "configs").glob("*.toml"))


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
