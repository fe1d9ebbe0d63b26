import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from fr_prep.cli import main
from fr_prep.commands.options import ByteSize

COMMANDS = sorted(main.commands)


@pytest.fixture
def made(make_set, tmp_path):
    make_set(tmp_path / "set", images_per_class=[1, 4, 6])
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, run_prep):
    ended = run_prep(command, "--help")
    assert ended.returncode == 0
    assert f"Example: fr-prep {command}" in ended.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_line_ends_with_2(command, run_prep):
    ended = run_prep(command, "--no-such-option")
    assert ended.returncode == 2
    assert "Usage: fr-prep" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("rec2tfrecord", "nothing", "out"),
        ("verify", "nothing"),
        ("inspect", "nothing"),
        ("bin2jpeg", "nothing.bin", "-o", "new.bin"),
        ("demo-data", "set"),
    ],
)
def test_a_failure_is_one_line_and_ends_with_1(arguments, run_prep, made):
    ended = run_prep(*arguments, cwd=made)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_the_whole_way_by_command(run_prep, made):
    converted = run_prep("rec2tfrecord", "set", "out", "--shards", "2", "--min-images", "2", "--json", cwd=made)
    assert converted.returncode == 0, converted.stderr
    content = json.loads(converted.stdout)
    assert (content["num_images"], content["num_classes"], content["dropped"]["num_images"]) == (10, 2, 1)
    verified = run_prep("verify", "out", "--json", cwd=made)
    assert json.loads(verified.stdout)["sound"] is True
    for path, kind in (("set", "record set"), ("set/train.rec", "record set"), ("out", "shard folder")):
        assert json.loads(run_prep("inspect", path, "--json", cwd=made).stdout)["kind"] == kind
        assert kind in run_prep("inspect", path, cwd=made).stdout


def test_the_plain_outputs_say_what_to_do_next(run_prep, made):
    converted = run_prep("rec2tfrecord", "set", "out", "--min-images", "2", cwd=made)
    assert "10 images in 2 classes" in converted.stdout
    assert "1 images of 1 classes with too few images" in converted.stdout
    assert "fr-prep verify out" in converted.stdout
    assert "sound. 10 records" in run_prep("verify", "out", cwd=made).stdout


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(run_prep, made):
    ended = run_prep("rec2tfrecord", "set", "out", "--shards", "2", "--dry-run", cwd=made)
    assert "Would write 11 images in 3 classes" in ended.stdout
    plan = json.loads(run_prep("rec2tfrecord", "set", "out", "--dry-run", "--json", cwd=made).stdout)
    assert plan["num_bytes"] < plan["free_bytes"]
    assert sorted(path.name for path in made.iterdir()) == ["set"]


@pytest.mark.parametrize(
    "options",
    [
        ("--shards", "2", "--shard-size", "1MB"),
        ("--shard-size", "many"),
        ("--validation-fraction", "1"),
        ("--min-images", "0"),
        ("--workers", "0"),
        ("--name", "a b"),
        ("--overwrite", "--resume"),
        ("--seed", "-1"),
    ],
)
def test_options_that_cannot_be_end_with_2(options, run_prep, made):
    ended = run_prep("rec2tfrecord", "set", "out", *options, cwd=made)
    assert ended.returncode == 2, ended.stderr
    assert not (made / "out").exists()


def test_bin2jpeg_wants_one_place_to_write_to(run_prep, made):
    assert run_prep("bin2jpeg", "x.bin", cwd=made).returncode == 2
    assert run_prep("bin2jpeg", "x.bin", "-o", "y.bin", "--in-place", cwd=made).returncode == 2
    assert run_prep("bin2jpeg", "x.bin", "--folder", "y", "--reencode", cwd=made).returncode == 2


def test_demo_data_is_a_true_set_of_people_who_are_not_in_the_bin(run_prep, tmp_path):
    options = ["--identities", "3", "--images", "4", "--pairs", "20", "--seed", "5", "--quiet"]
    assert run_prep("demo-data", "a", *options, "--workers", "1", cwd=tmp_path).returncode == 0
    assert run_prep("demo-data", "b", *options, "--workers", "2", cwd=tmp_path).returncode == 0
    for name in ("train.rec", "train.idx", "property", "unseen.bin"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    facts = json.loads(run_prep("inspect", "a", "--json", cwd=tmp_path).stdout)
    assert (facts["num_images"], facts["num_classes"], facts["warnings"]) == (12, 3, [])
    facts = json.loads(run_prep("inspect", "a/unseen.bin", "--json", cwd=tmp_path).stdout)
    assert (facts["num_pairs"], facts["num_same"]) == (20, 10)


def test_a_number_of_pairs_that_makes_no_balanced_folds_ends_with_2(run_prep, tmp_path):
    assert run_prep("demo-data", "a", "--pairs", "25", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["rec2tfrecord", "set", "out", "--quiet"],
        ["verify", "out"],
        ["inspect", "set"],
        ["inspect", "x.bin"],
    ],
)
def test_no_command_loads_a_framework(arguments, run_prep, drawn_image, made):
    from fr_eval.bins import write_bin

    write_bin(made / "x.bin", [drawn_image(0), drawn_image(1)], [True])
    run_prep("rec2tfrecord", "set", "out", "--quiet", cwd=made)
    code = (
        "import sys, atexit\n"
        "from fr_prep.cli import main\n"
        "atexit.register(lambda: sys.stderr.write('LOADED' if {'tensorflow', 'keras'} & set(sys.modules) else 'CLEAN'))\n"
        "main()"
    )
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=made)
    assert ended.stderr.endswith("CLEAN")


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux shows them")
def test_no_command_starts_threads_that_wait_for_linear_algebra(made):
    code = (
        "import sys, atexit\n"
        "from pathlib import Path\n"
        "from fr_prep.startup import main\n"
        "def tell():\n"
        "    threads = [path.read_text().strip() for path in Path('/proc/self/task').glob('*/comm')]\n"
        "    sys.stderr.write(f\"{threads} {'numpy' in sys.modules}\")\n"
        "atexit.register(tell)\n"
        "main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    inspect = [sys.executable, "-c", code, "inspect", "set"]
    ended = subprocess.run(inspect, capture_output=True, text=True, cwd=made, env=environment)
    threads, loaded = ended.stderr.rsplit(maxsplit=1)
    # pyarrow's allocator has one of its own, under another name
    assert (threads.count(repr(Path(sys.executable).name)), loaded) == (1, "True")


def test_help_answers_in_a_quarter_of_a_second(run_prep):
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        run_prep("--help")
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.25


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1000", 1000), ("128MiB", 128 << 20), ("1.5 GB", 1_500_000_000), ("2k", 2000), ("1KiB", 1024), ("3b", 3)],
)
def test_sizes_are_read_with_their_units(text, expected):
    assert ByteSize().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["", "MB", "-1", "1TB2", "1iB"])
def test_sizes_without_sense_are_refused(text):
    with pytest.raises(click.BadParameter, match="expected a size"):
        ByteSize().convert(text, None, None)
