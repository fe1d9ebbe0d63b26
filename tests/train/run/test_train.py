import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from fr_data.errors import ToolkitError
from fr_train.config.config_file import parse_config
from fr_train.errors import CheckpointError, ConfigError, RunFolderError, TrainingError
from fr_train.run.checkpoint import Position, read_checkpoint
from fr_train.run.run_folder import RunFolder
from fr_train.run.train import train

VALUES = {
    "epochs": 3,
    "batch_size": 10,
    "seed": 1,
    # ReLU has no kernels that XLA compiles for seconds: PReLU's have tests of their own, and runs of it are below and in test_cli.
    "model": {"backbone": "plaincnn", "width": 0.5, "embedding_size": 16, "activation": "relu"},
    "loss": {"name": "cosface", "margin": 0.2, "scale": 16.0},
    "optimizer": {"name": "adamw", "learning_rate": 5e-3, "weight_decay": 1e-3},
}


def config_of(shards, **values):
    return parse_config({**VALUES, "shards": str(shards), **values})


def start(folder, config):
    run = RunFolder(folder)
    run.start(config, overwrite=False)
    return run


def weights(path):
    return [np.asarray(v) for v in keras.saving.load_model(path).variables]


@pytest.fixture(scope="module")
def bin_path(draw_image, tmp_path_factory):
    """Pairs of unseen images of the same patterns."""
    from fr_data.bins.bins import write_bin

    images, same = [], []
    for number in range(20):
        label = number % 5
        other = label if number % 2 else (label + 1) % 5
        images += [draw_image(label, 1000 + number), draw_image(other, 2000 + number)]
        same.append(bool(number % 2))
    path = tmp_path_factory.mktemp("bins") / "patterns.bin"
    write_bin(path, images, same)
    return path


@pytest.fixture(scope="module")
def finished(shards, bin_path, tmp_path_factory):
    config = config_of(shards, epochs=4, bins=[str(bin_path)])
    run = start(tmp_path_factory.mktemp("runs") / "finished", config)
    rows = []
    result = train(config, run, quiet=True, on_epoch=rows.append)
    return run, result, rows


def test_a_run_learns_and_leaves_models_history_and_curves(finished):
    run, result, rows = finished
    assert not result.interrupted
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert rows[-1]["accuracy"] > 0.9
    names = {path.name for path in run.path.iterdir()}
    assert names == {"best.keras", "last.keras", "checkpoints", "config.toml", "curves.png", "history.csv"}
    with run.history.open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1, 2, 3, 4]
    assert run.curves.read_bytes().startswith(b"\x89PNG")


def test_each_epoch_is_scored_on_the_bins_and_the_best_model_is_kept(finished):
    from fr_data.bins.bins import read_bin
    from fr_eval.jobs.evaluate import evaluate_bin
    from fr_eval.models.load import load_model

    run, result, rows = finished
    scores = [row["patterns_accuracy"] for row in rows]
    again = evaluate_bin(load_model(run.best), read_bin(Path(parse_bins(run)[0])))
    assert again.verification.best_protocol.accuracy_mean == pytest.approx(max(scores), abs=1e-6)
    assert result.position.best_score == pytest.approx(max(scores))


def parse_bins(run):
    return run.read_config().bins


def test_the_saved_model_is_the_embedding_network_with_its_scaling(finished):
    model = keras.saving.load_model(finished[0].last)
    assert (model.input_shape, model.output_shape) == ((None, 32, 32, 3), (None, 16))
    assert "scaling" in [layer.name for layer in model.layers]


def test_two_runs_of_one_seed_end_alike(shards, tmp_path):
    for name in ("a", "b"):
        config = config_of(shards, epochs=1)
        train(config, start(tmp_path / name, config), quiet=True)
    for one, two in zip(weights(tmp_path / "a/last.keras"), weights(tmp_path / "b/last.keras"), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_without_epochs_the_untrained_network_is_saved(shards, tmp_path):
    config = config_of(shards, epochs=0)
    result = train(config, start(tmp_path / "run", config), quiet=True)
    assert result.position == Position()
    assert weights(tmp_path / "run/last.keras")


def test_a_loss_that_is_no_number_ends_the_run_and_says_what_to_try(shards, tmp_path):
    config = config_of(shards, optimizer={"name": "sgd", "learning_rate": 1e30, "weight_decay": 0.0})
    with pytest.raises(TrainingError, match=r"Epoch 1, step \d+: the loss is .*learning_rate"):
        train(config, start(tmp_path / "run", config), quiet=True)


def test_a_folder_with_a_run_is_not_overwritten_unless_asked(finished, tmp_path):
    run, config = finished[0], finished[0].read_config()
    before = run.last.read_bytes()
    with pytest.raises(RunFolderError, match="--resume"):
        run.start(config, overwrite=False)
    assert run.last.read_bytes() == before


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def replaced(finished, tmp_path):
    """A copy of the finished run, for another one to take its place."""
    return RunFolder(Path(shutil.copytree(finished[0].path, tmp_path / "replaced")))


@pytest.mark.parametrize(
    "values",
    [
        {"shards": "nothing"},
        {"overlay": "nothing.csv"},
        {"bins": ["nothing.bin"]},
        {"model": {"backbone": "mobilfacenet"}},
        {"model": {"file": "nothing.keras"}},
        {"start_from": "nothing"},
        {"start_centers": "nothing.npy", "loss": {"name": "center"}},
        {"phases": [{}, {"freeze": ["nothing"]}]},
        {"phases": [{}, {"loss": {"name": "triplet_semi_hard"}}]},
        {"batch_size": 1000},
        {"optimizer": {"name": "sgd", "learning_rate": 1e30, "weight_decay": 0.0}},
    ],
    ids="-".join,
)
def test_a_run_that_fails_before_its_first_checkpoint_costs_the_old_one_nothing(replaced, shards, values):
    before = contents(replaced.path)
    with pytest.raises(ToolkitError):
        train(config_of(**{"shards": shards, **values}), replaced, overwrite=True, quiet=True)
    after = contents(replaced.path)
    assert set(after) - set(before) <= {"nonfinite.json"}
    assert before.items() <= after.items()


def test_a_run_replaces_an_old_one_when_it_has_a_checkpoint(replaced, shards):
    (replaced.path / "notes.txt").write_text("mine")
    config = config_of(shards, epochs=1)
    history = train(config, replaced, overwrite=True, quiet=True).history
    assert len(replaced.read_history()) == len(history) == 1
    assert replaced.read_config() == config
    assert read_checkpoint(replaced.checkpoints).position.total_epochs == 1
    own = {"best.keras", "last.keras", "checkpoints", "config.toml", "curves.png", "history.csv"}
    assert {path.name for path in replaced.path.iterdir()} == {*own, "notes.txt"}


def test_there_must_be_a_run_to_resume(shards, tmp_path):
    with pytest.raises(RunFolderError, match="no run to resume"):
        RunFolder(tmp_path).read_config()
    config = config_of(shards)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        train(config, start(tmp_path / "run", config), resume=True, quiet=True)


def test_phases_follow_one_another_and_share_network_and_head(shards, tmp_path):
    phases = [
        {"name": "warm-up", "epochs": 1, "loss": {"name": "softmax"}, "freeze": ["block1", "block1_*"]},
        {"name": "margins", "epochs": 2, "loss": {"name": "center+arcface", "center": {"weight": 0.1}}},
        {"name": "head only", "epochs": 1, "freeze": ["network"], "optimizer": {"learning_rate": 1e-3}},
    ]
    config = config_of(shards, phases=phases)
    run = start(tmp_path / "run", config)
    kept = {}

    def keep(row):
        kept[row["epoch"]] = weights(run.last)

    result = train(config, run, quiet=True, on_epoch=keep)
    assert [row["phase"] for row in result.history] == ["warm-up", "margins", "margins", "head only"]
    assert (result.position.phase, result.position.total_epochs) == (2, 4)
    for before, after in zip(kept[3], kept[4], strict=True):  # a frozen network does not move, nor do its statistics
        np.testing.assert_array_equal(before, after)
    assert result.history[-1]["accuracy"] > result.history[0]["accuracy"]


def test_a_frozen_layer_that_is_not_there_is_said_with_the_names_there_are(shards, tmp_path):
    config = config_of(shards, phases=[{"freeze": ["stage9_*"]}])
    with pytest.raises(ConfigError, match=r"scaling.*'stage9_\*' names nothing"):
        train(config, start(tmp_path / "run", config), quiet=True)


def test_a_run_begins_with_the_weights_of_another(finished, shards, tmp_path):
    config = config_of(shards, epochs=0, start_from=str(finished[0].path))
    train(config, start(tmp_path / "run", config), quiet=True)
    for one, two in zip(weights(finished[0].last), weights(tmp_path / "run/last.keras"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_model_in_a_file_is_trained_further_with_its_scaling(finished, shards, tmp_path):
    model = {"file": str(finished[0].last)}
    config = config_of(shards, epochs=1, model=model)
    result = train(config, start(tmp_path / "run", config), quiet=True)
    assert result.history[0]["accuracy"] > 0.5  # its head begins anew, its embeddings do not
    scaled = config_of(shards, epochs=0, model={**model, "scaling": "128"})
    train(scaled, start(tmp_path / "scaled", scaled), quiet=True)
    network = keras.saving.load_model(tmp_path / "scaled/last.keras")
    images = np.full((1, 32, 32, 3), 255.0, dtype=np.float32)
    inner = keras.saving.load_model(finished[0].last)
    np.testing.assert_allclose(network(images), inner((images - 127.5) / 128), rtol=1e-4, atol=1e-5)


def test_the_average_of_the_weights_is_what_is_saved(shards, tmp_path):
    config = config_of(shards, epochs=1, ema=0.5)
    run = start(tmp_path / "run", config)
    train(config, run, quiet=True)
    arrays = read_checkpoint(run.checkpoints).arrays
    averages = [array for name, array in arrays.items() if name.startswith("average/") and not name.endswith("steps")]
    saved = [np.asarray(v) for v in keras.saving.load_model(run.last).trainable_variables]
    for average, value in zip(averages, saved, strict=True):
        np.testing.assert_allclose(value, average, rtol=1e-6)
    trained = [array for name, array in arrays.items() if name.startswith("network/")]
    assert any(not np.allclose(one, two) for one, two in zip(trained, averages, strict=False) if one.shape == two.shape)


def test_a_step_that_is_no_number_is_skipped_where_that_is_wished_and_its_records_are_named(shards, tmp_path):
    config = config_of(
        shards, epochs=1, on_nonfinite="skip", optimizer={"name": "sgd", "learning_rate": 1e30, "weight_decay": 0.0}
    )
    run = start(tmp_path / "run", config)
    result = train(config, run, quiet=True)
    assert result.history[0]["skipped_steps"] > 0
    report = json.loads(run.nonfinite.read_text())
    assert len(report["records"]) == 10
    assert all(record["source_key"] >= 0 for record in report["records"])
    assert "learning_rate" in report["advice"]


def test_a_changed_config_or_data_set_is_named_and_refused_unless_forced(shards, tmp_path):
    config = config_of(shards, epochs=1)
    run = start(tmp_path / "run", config)
    train(config, run, quiet=True)
    changed = run.read_config({("optimizer", "learning_rate"): 1e-3, ("epochs",): 2, ("bins",): []})
    expected = r"phases\[1\]\.epochs was 1 and is 2; phases\[1\]\.optimizer\.learning_rate was 0\.005 and is 0\.001\. .*--force"
    with pytest.raises(CheckpointError, match=rf"the run was another one: {expected}"):
        train(changed, run, resume=True, quiet=True)
    assert len(train(changed, run, resume=True, force=True, quiet=True).history) == 2


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_with_weights_and_losses_in_float32(shards, tmp_path, precision):
    config = config_of(shards, epochs=2, precision=precision)
    try:
        result = train(config, start(tmp_path / "run", config), quiet=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert {array.dtype for array in weights(tmp_path / "run/last.keras")} == {np.dtype("float32")}


def test_triplets_are_found_in_balanced_batches(shards, tmp_path):
    phases = [{"epochs": 2, "loss": {"name": "triplet_semi_hard"}, "images_per_class": 2}]
    config = config_of(shards, phases=phases)
    history = train(config, start(tmp_path / "run", config), quiet=True).history
    assert history[-1]["loss"] < history[0]["loss"]
    other = config_of(shards, phases=[{"loss": {"name": "triplet_semi_hard"}}])
    with pytest.raises(ConfigError, match="images_per_class"):
        train(other, start(tmp_path / "other", other), quiet=True)


def test_triplets_are_mined_anew_each_epoch_and_the_rate_follows_the_epochs_however_many_steps_they_have(
    shards, tmp_path, capsys
):
    phase = {"epochs": 4, "loss": {"name": "triplet_offline", "margin": 0.6}, "mine_classes": 4, "mine_images": 5}
    config = config_of(shards, batch_size=6, phases=[phase], optimizer={"name": "adamw", "learning_rate": 2e-4})
    history = train(config, start(tmp_path / "run", config)).history
    lines = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("Epoch ") and "triplets of" in line
    ]
    found = [int(line.split()[2]) for line in lines]
    assert len(found) == 4
    assert all("triplets of 40 pairs" in line for line in lines)
    assert np.diff([0, *(row["step"] for row in history)]).tolist() == [number // 2 for number in found]
    assert len(set(found)) > 1
    rates = [2e-4 * (1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in (1, 2, 3, 4)]
    np.testing.assert_allclose([row["learning_rate"] for row in history], rates, rtol=1e-4, atol=1e-9)


def test_mined_triplets_go_together_with_a_head(shards, tmp_path):
    loss = {"name": "arcface+triplet_offline", "arcface": {"scale": 16.0}, "triplet_offline": {"margin": 1.0}}
    phase = {"epochs": 2, "loss": loss, "mine_classes": 5, "mine_images": 6}
    config = config_of(shards, batch_size=12, phases=[phase], optimizer={"name": "adamw", "learning_rate": 1e-3})
    history = train(config, start(tmp_path / "run", config), quiet=True).history
    assert history[-1]["accuracy"] > history[0]["accuracy"] > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 10}, "batch_size: expected a multiple of 3, for the triplets of triplet_offline, received 10"),
        ({"images_per_class": 3}, "images_per_class: expected 0, since triplet_offline mines its batches"),
        (
            {"mine_classes": 2, "mine_images": 2},
            "mine_classes, mine_images: expected pairs for a batch of 4 .* '2 pairs'",
        ),
    ],
)
def test_a_config_whose_triplets_cannot_be_mined_is_refused(shards, tmp_path, values, message):
    config = config_of(shards, **{"batch_size": 12, "loss": {"name": "triplet_offline"}, **values})
    with pytest.raises(ConfigError, match=message):
        train(config, start(tmp_path / "run", config), quiet=True)


def test_an_epoch_of_balanced_batches_has_the_steps_that_are_wished(shards, tmp_path):
    phase = {"epochs": 2, "images_per_class": 5, "steps_per_epoch": 3}
    config = config_of(shards, phases=[phase])
    history = train(config, start(tmp_path / "run", config), quiet=True).history
    assert [row["step"] for row in history] == [3, 6]


def test_the_rate_of_the_history_is_that_of_the_schedule_also_where_gradients_are_accumulated(shards, tmp_path):
    optimizer = {"name": "adamw", "learning_rate": 1e-3, "accumulate_steps": 3}
    config = config_of(shards, epochs=2, optimizer=optimizer)
    history = train(config, start(tmp_path / "run", config), quiet=True).history
    np.testing.assert_allclose([row["learning_rate"] for row in history], [5e-4, 0.0], rtol=1e-5, atol=1e-9)


def test_a_weight_normalised_network_is_saved_as_a_plain_one_and_goes_on_from_its_own_weights(shards, tmp_path):
    config = config_of(shards, epochs=1, model={**VALUES["model"], "weight_normalized": True})
    run = start(tmp_path / "run", config)
    train(config, run, quiet=True)
    dense = keras.saving.load_model(run.last).get_layer("embedding")
    assert type(dense) is keras.layers.Dense
    arrays = {name.split("/")[-1]: array for name, array in read_checkpoint(run.checkpoints).arrays.items()}
    kernel = arrays["g"] * arrays["v"] / np.linalg.norm(arrays["v"], axis=0)
    np.testing.assert_allclose(np.asarray(dense.kernel), kernel, rtol=1e-5)
    longer = run.read_config({("epochs",): 2})
    assert len(train(longer, run, resume=True, force=True, quiet=True).history) == 2


def test_centers_go_out_of_a_run_and_into_another_and_on_to_its_next_phase(shards, tmp_path):
    config = config_of(shards, epochs=1, loss={"name": "center+cosface"})
    run = start(tmp_path / "run", config)
    train(config, run, quiet=True)
    centers = np.load(run.centers)
    assert (centers.shape, centers.dtype) == ((5, 16), np.float32)
    (held,) = [array for name, array in read_checkpoint(run.checkpoints).arrays.items() if name.endswith("centers")]
    np.testing.assert_array_equal(centers, held)
    phases = [
        {"epochs": 1, "loss": {"name": f"center+{name}", "center": {"alpha": 0.0}}} for name in ("cosface", "arcface")
    ]
    config = config_of(shards, phases=phases, start_centers=str(run.centers))
    other = start(tmp_path / "other", config)
    train(config, other, quiet=True)
    np.testing.assert_array_equal(np.load(other.centers), centers)


def test_centers_that_no_loss_takes_or_of_other_classes_are_refused(shards, tmp_path):
    np.save(tmp_path / "centers.npy", np.zeros((4, 16), np.float32))
    for loss, error, message in (
        ("cosface", ConfigError, "start_centers: expected a center loss.*'cosface'"),
        ("center+cosface", CheckpointError, r"expected floats of shape \(5, 16\)"),
    ):
        config = config_of(shards, loss={"name": loss}, start_centers=str(tmp_path / "centers.npy"))
        with pytest.raises(error, match=message):
            train(config, start(tmp_path / loss, config), quiet=True)


@pytest.mark.parametrize("name", ["adamax", "lamb"])
def test_other_optimizers_learn_as_well(shards, tmp_path, name):
    config = config_of(shards, epochs=2, optimizer={"name": name, "learning_rate": 1e-2, "weight_decay": 1e-4})
    history = train(config, start(tmp_path / "run", config), quiet=True).history
    assert history[-1]["loss"] < history[0]["loss"]


def fr_train(*arguments, **options):
    command = [sys.executable, "-c", "from fr_train.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ, **options
    )


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_from_which_the_run_ends_like_an_uninterrupted_one(shards, tmp_path):
    options = "--epochs 8 --batch-size 10 --seed 1 --backbone plaincnn --width 0.5 --embedding-size 16 --loss cosface"
    options += " --optimizer adamw --learning-rate 1e-3 --quiet --set model.activation=relu"
    common = ["--shards", shards, *options.split()]
    whole = fr_train(*common, "--out", tmp_path / "whole")
    assert whole.wait(timeout=240) == 0, whole.stderr.read()
    broken = fr_train(*common, "--out", tmp_path / "broken")
    for line in broken.stdout:
        if line.startswith("epoch   3"):
            break
    time.sleep(0.15)
    broken.send_signal(signal.SIGINT)
    assert broken.wait(timeout=120) == 130
    assert "--resume --out" in broken.stdout.read()
    assert (tmp_path / "broken/last.keras").exists()
    resumed = fr_train("--resume", "--out", tmp_path / "broken", "--quiet")
    assert resumed.wait(timeout=240) == 0, resumed.stderr.read()
    for one, two in zip(weights(tmp_path / "whole/last.keras"), weights(tmp_path / "broken/last.keras"), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    whole_rows, broken_rows = (
        RunFolder(tmp_path / "whole").read_history(),
        RunFolder(tmp_path / "broken").read_history(),
    )
    assert [row["step"] for row in whole_rows] == [row["step"] for row in broken_rows]
    np.testing.assert_allclose([r["loss"] for r in whole_rows], [r["loss"] for r in broken_rows], rtol=1e-3)


@pytest.fixture(scope="module")
def unbroken(shards, tmp_path_factory):
    """Options of a run, and the folder of that run, which nothing interrupted."""
    options = "--epochs 4 --batch-size 10 --seed 1 --backbone plaincnn --width 0.5 --embedding-size 16 --loss cosface"
    options += " --optimizer adamw --learning-rate 1e-3 --quiet --set checkpoint_steps=3 --set model.dropout=0.2"
    common, folder = ["--shards", shards, *options.split()], tmp_path_factory.mktemp("unbroken") / "whole"
    whole = fr_train(*common, "--out", folder)
    assert whole.wait(timeout=240) == 0, whole.stderr.read()
    return common, folder


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.4])
def test_after_kill_9_within_an_epoch_a_run_ends_with_the_same_weights_bit_for_bit(unbroken, tmp_path, seconds):
    common, folder = unbroken
    broken = fr_train(*common, "--out", tmp_path / "broken")
    for line in broken.stdout:
        if line.startswith("epoch   2"):
            break
    time.sleep(seconds)
    broken.kill()
    broken.wait(timeout=60)
    before = read_checkpoint(RunFolder(tmp_path / "broken").checkpoints).position
    assert before.total_epochs >= 2
    resumed = fr_train("--resume", "--out", tmp_path / "broken", "--quiet")
    assert resumed.wait(timeout=240) == 0, resumed.stderr.read()
    runs = [RunFolder(folder), RunFolder(tmp_path / "broken")]
    one, two = (read_checkpoint(run.checkpoints) for run in runs)
    assert one.position.total_steps == two.position.total_steps
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, two.arrays[name], err_msg=name)
    rows = [run.read_history() for run in runs]
    figures = [[(row["epoch"], row["step"], row["loss"], row["accuracy"]) for row in history] for history in rows]
    assert figures[0] == figures[1]


@pytest.mark.slow
def test_after_kill_9_within_an_epoch_of_mined_triplets_a_run_ends_with_the_same_weights_bit_for_bit(shards, tmp_path):
    options = "--epochs 4 --batch-size 6 --seed 1 --backbone plaincnn --width 0.5 --embedding-size 16"
    options += " --loss triplet_offline --optimizer adamw --learning-rate 2e-4 --checkpoint-steps 2 --quiet"
    options += " --set loss.margin=1.0 --set mine_images=10 --set model.dropout=0.2 --set model.activation=relu"
    common = ["--shards", shards, *options.split()]
    whole = fr_train(*common, "--out", tmp_path / "whole")
    assert whole.wait(timeout=240) == 0, whole.stderr.read()
    broken = fr_train(*common, "--out", tmp_path / "broken")
    for line in broken.stdout:
        if line.startswith("epoch   2"):
            break
    assert "accuracy" not in line  # which only a head has
    folder = RunFolder(tmp_path / "broken").checkpoints
    while read_checkpoint(folder).position.step == 0:
        assert broken.poll() is None
    broken.kill()
    broken.wait(timeout=60)
    before = read_checkpoint(folder)
    assert (before.position.total_epochs, before.position.step > 0) == (2, True)
    resumed = fr_train("--resume", "--out", tmp_path / "broken", "--quiet")
    assert resumed.wait(timeout=240) == 0, resumed.stderr.read()
    one, two = (read_checkpoint(RunFolder(tmp_path / name).checkpoints) for name in ("whole", "broken"))
    assert one.position.total_steps == two.position.total_steps
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, two.arrays[name], err_msg=name)
    assert not np.array_equal(before.arrays["mined/triplets"], two.arrays["mined/triplets"])
    rows = [RunFolder(tmp_path / name).read_history() for name in ("whole", "broken")]
    figures = [[(row["epoch"], row["step"], row["loss"], row["learning_rate"]) for row in history] for history in rows]
    assert figures[0] == figures[1]
