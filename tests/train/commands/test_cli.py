import json
import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import pytest
from click.testing import CliRunner

from fr_data.files import locked_folder
from fr_train.cli import main
from fr_train.config.config_file import parse_config
from fr_train.run.run_folder import RunFolder

SCRIPT = str(Path(sys.executable).with_name("fr-train"))
SMALL = ["--backbone", "plaincnn", "--width", "0.25", "--embedding-size", "8", "--batch-size", "10", "--quiet"]


def fr_train(*arguments, **options):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=240, **options)


def test_help_shows_the_job_and_the_commands():
    ended = fr_train("--help")
    assert "fr-train [OPTIONS]\n       fr-train COMMAND [ARGS]..." in ended.stdout
    assert "--shards" in ended.stdout
    assert "\n  models       List the networks" in ended.stdout
    assert "Example: fr-train --shards" in ended.stdout


def test_models_are_listed():
    assert "mobilefacenet" in fr_train("models").stdout
    ended = fr_train("models", "--json")
    assert {"mobilefacenet", "mobilenetv2", "resnet50v2"} <= {row["name"] for row in json.loads(ended.stdout)}
    assert ended.stderr == ""


def test_a_run_by_command_says_where_everything_is(shards, tmp_path):
    options = ["--shards", shards, "--out", "run", "--epochs", 1, "--loss", "cosface", "--set", "loss.margin=0.2"]
    ended = fr_train(*options, *SMALL, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("epoch   1  loss ")
    for name in ("run/best.keras", "run/last.keras", "run/curves.png", "run/history.csv"):
        assert name in ended.stdout
        assert (tmp_path / name).exists()
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    (phase,) = config["phases"]
    assert phase["loss"] == {"name": "cosface", "margin": 0.2}
    assert (phase["epochs"], config["model"]["backbone"], config["shards"]) == (1, "plaincnn", str(shards))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "run"], 2, "--shards"),
        (["--shards", "nothing"], 2, "--out"),
        (["--shards", "nothing", "--out", "run"], 1, "nothing: expected a folder of shards"),
        (["--shards", "x", "--out", "run", "--set", "epoch=3"], 2, "Did you mean epochs"),
        (["--shards", "x", "--out", "run", "--config", "nothing"], 2, "the name of a config (demo, finetune, lfw-cpu)"),
        (["--shards", "x", "--out", "run", "--epochs", "-1"], 2, "--epochs"),
        (["--shards", "x", "--out", "run", "--set", "phases=[]"], 2, "phases: expected a list of tables, received []"),
        (["--shards", "x", "--out", "run", "--width", "inf"], 2, "model.width: expected a finite number, received inf"),
        (["--resume", "--out", "run"], 1, "no run to resume"),
        (["--resume", "--out", "run", "--config", "demo"], 2, "--resume goes on with the config of the run"),
        (["mdels"], 2, "No such command 'mdels'. Did you mean 'models'?"),
    ],
)
def test_a_failure_is_one_line_with_its_code(tmp_path, arguments, code, message):
    ended = fr_train(*arguments, cwd=tmp_path)
    assert ended.returncode == code, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_common_choices_are_options_and_hold_for_each_phase(shards, tmp_path):
    network = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(8)])
    network.save(tmp_path / "some.keras")
    (tmp_path / "two.toml").write_text("batch_size = 12\n[[phases]]\n[[phases]]\nepochs = 1\n")
    options = "--xla --ema 0.99 --checkpoint-steps 7 --images-per-class 3 --augment light --augment jpeg=0.3"
    options += " --model some.keras --scaling 128 --config two.toml --epochs 0 --out run --shards"
    ended = fr_train(*options.split(), shards, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    config = tomllib.loads((tmp_path / "run/config.toml").read_text())
    assert (config["xla"], config["ema"], config["checkpoint_steps"]) == (True, 0.99, 7)
    assert (config["augment"]["crop"], config["augment"]["jpeg"]) == (0.2, 0.3)
    assert (config["model"]["file"], config["model"]["scaling"]) == (str(tmp_path / "some.keras"), "128")
    assert [phase["images_per_class"] for phase in config["phases"]] == [3, 3]


def test_a_partial_loss_is_chosen_by_options(shards, tmp_path):
    options = "--scale 32 --optimizer adamax --epochs 0 --out run --shards"
    ended = fr_train(*options.split(), shards, *SMALL, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    (phase,) = tomllib.loads((tmp_path / "run/config.toml").read_text())["phases"]
    assert (phase["loss"], phase["optimizer"]["learning_rate"]) == ({"name": "arcface", "scale": 32.0}, 1e-3)


def test_weights_of_imagenet_are_an_option_and_a_run_that_fails_leaves_no_folder(shards, tmp_path):
    ended = fr_train("--imagenet", "--out", "runs/first", "--shards", shards, *SMALL, cwd=tmp_path)
    assert (ended.returncode, "imagenet" in ended.stderr) == (2, True), ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--resume", "--overwrite"])
def test_a_folder_in_which_a_run_is_training_is_refused_in_one_line(tmp_path, option):
    with locked_folder(tmp_path / "run"):
        ended = CliRunner().invoke(main, ["--shards", "x", "--out", str(tmp_path / "run"), option])
        assert list((tmp_path / "run").iterdir()) == []
    assert ended.exit_code == 1
    assert ended.output == (
        f"Error: {tmp_path / 'run'}: another process is writing there. Wait until it has ended, or choose another folder.\n"
    )


def test_an_old_run_whose_successor_was_killed_is_back_at_the_next_start(shards, tmp_path):
    def run(*options):
        ended = CliRunner().invoke(main, ["--out", str(tmp_path / "run"), "--quiet", *map(str, options)])
        return ended.exit_code, ended.output

    assert run("--shards", shards, "--epochs", 1, *SMALL, "--set", "model.activation=relu")[0] == 0
    folder = RunFolder(tmp_path / "run")
    before = folder.last.read_bytes()
    folder.start(parse_config({"shards": "y"}), overwrite=True)
    assert not folder.last.exists()
    code, output = run("--shards", shards)
    assert (code, "the run that was to be replaced is back" in output, "a run is there" in output) == (1, True, True)
    assert folder.last.read_bytes() == before
    assert run("--resume")[0] == 0
    assert not folder.replaced.exists()


def test_a_config_that_a_forced_resume_changed_is_saved_so_that_the_next_resume_goes_on(shards, tmp_path):
    def run(*options):
        ended = CliRunner().invoke(main, ["--out", str(tmp_path / "run"), "--quiet", *map(str, options)])
        return ended, tomllib.loads((tmp_path / "run/config.toml").read_text())

    started, before = run("--shards", shards, "--epochs", 1, *SMALL, "--set", "model.activation=relu")
    assert started.exit_code == 0, started.output
    failed, config = run("--resume", "--force", "--embedding-size", 4)
    assert (failed.exit_code, "is of another model" in failed.output) == (1, True)
    assert config == before
    refused, config = run("--resume", "--epochs", 2)
    assert (refused.exit_code, "phases[1].epochs was 1 and is 2." in refused.output) == (1, True)
    assert config == before
    forced, config = run("--resume", "--epochs", 2, "--force")
    assert forced.exit_code == 0, forced.output
    assert config["phases"][0]["epochs"] == 2
    resumed, after = run("--resume")
    assert resumed.exit_code == 0, resumed.output
    assert after == config


def test_a_refused_bin_is_said_before_training(shards, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    ended = fr_train("--shards", shards, "--out", "run", "--bins", "x.bin", "--epochs", 1, *SMALL, cwd=tmp_path)
    assert ended.returncode == 1
    assert "os.system" in ended.stderr
    assert "epoch" not in ended.stdout
