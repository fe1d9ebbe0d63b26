import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fr_data.bins.bins import write_bin
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


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_is_one_line_and_ends_with_130(command, monkeypatch):
    monkeypatch.setattr(main.commands[command], "callback", interrupt)
    ended = CliRunner().invoke(main, [command, *["x"] * num_arguments(command)])
    assert (ended.exit_code, ended.stdout, ended.stderr) == (130, "", "Interrupted.\n")


def num_arguments(command):
    arguments = [each for each in main.commands[command].params if isinstance(each, click.Argument)]
    return len(arguments) + (command == "merge")


@pytest.mark.parametrize(
    ("source", "command"), [("x.bin", "bin2tfrecord"), ("set", "rec2jpeg"), ("set", "rec2tfrecord")]
)
def test_ctrl_c_names_resume_where_something_is_kept_and_only_there(source, command, made, drawn_image, monkeypatch):
    write_bin(made / "x.bin", [drawn_image(0), drawn_image(1)], [True])
    monkeypatch.chdir(made)
    options = [command, source, "out", "--workers", "1", "--quiet"]
    for step, said in (
        ("read", "Interrupted.\n"),
        ("write", "Interrupted. What was finished is kept: go on with --resume (out).\n"),
    ):
        with monkeypatch.context() as patch:
            for place in STEPS[step]:
                patch.setattr(place, interrupt)
            ended = CliRunner().invoke(main, options)
        assert (ended.exit_code, ended.stderr) == (130, said)
        assert (made / "out").exists() == (step == "write")
    assert CliRunner().invoke(main, [*options, "--resume"]).exit_code == 0


STEPS = {
    "read": [
        "fr_prep.write.verification_shards.read_verification_bin",
        "fr_prep.sources.record_sets.record_set.read_face_set",
    ],
    "write": [f"fr_prep.{place}" for place in ("write.build.write_shard", "write.verification_shards.write_shard")]
    + ["fr_prep.export.class_folders.write_image_files"],
}


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
    assert "1 image of 1 class with too few images" in converted.stdout
    assert "fr-prep verify out" in converted.stdout
    assert "sound. 10 records" in run_prep("verify", "out", cwd=made).stdout


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(run_prep, made):
    ended = run_prep("rec2tfrecord", "set", "out", "--shards", "2", "--dry-run", cwd=made)
    assert "Would write 11 images in 3 classes" in ended.stdout
    plan = json.loads(run_prep("rec2tfrecord", "set", "out", "--dry-run", "--json", cwd=made).stdout)
    assert plan["num_bytes"] < plan["free_bytes"]
    assert sorted(path.name for path in made.iterdir()) == ["set"]


@pytest.mark.parametrize(
    ("command", "source"),
    [("rec2tfrecord", "set"), ("rec2jpeg", "set"), ("bin2tfrecord", "x.bin"), ("tfrecord2rec", "shards")],
)
def test_a_dry_run_refuses_a_folder_that_is_taken_as_the_run_does(
    command, source, made, drawn_image, monkeypatch, digest_files
):
    write_bin(made / "x.bin", [drawn_image(0), drawn_image(1)], [True])
    monkeypatch.chdir(made)
    assert CliRunner().invoke(main, ["rec2tfrecord", "set", "shards", "--quiet"]).exit_code == 0
    line = [command, source, "out"]
    assert CliRunner().invoke(main, line).exit_code == 0
    (made / "file").write_text("mine")
    before = digest_files(made)
    for out in ("out", "file", "file/out"):
        refused, planned = (CliRunner().invoke(main, [command, source, out, *dry]) for dry in ([], ["--dry-run"]))
        assert (planned.exit_code, planned.stdout, planned.stderr) == (1, "", refused.stderr)
    assert CliRunner().invoke(main, [*line, "--dry-run", "--overwrite"]).exit_code == 0
    assert digest_files(made) == before


def test_shards_of_a_set_that_lost_its_manifest_are_named_when_another_is_written_beside_them(made, monkeypatch):
    monkeypatch.chdir(made)
    assert CliRunner().invoke(main, ["rec2tfrecord", "set", "out", "--shards", "3"]).exit_code == 0
    (made / "out" / "manifest.json").unlink()
    ended = CliRunner().invoke(main, ["rec2tfrecord", "set", "out", "--shards", "2", "--overwrite"])
    assert ended.exit_code == 0
    named = [line for line in ended.stderr.splitlines() if "is no part of the set" in line]
    assert named == [
        f"Warning: faces-train.tfrecord-0000{i}-of-00003 is no part of the set, though its name looks like that of a shard. "
        "Move it away."
        for i in range(3)
    ]


@pytest.mark.parametrize(
    ("command", "source"), [("rec2tfrecord", "set"), ("rec2jpeg", "set"), ("bin2tfrecord", "x.bin")]
)
def test_a_dry_run_knows_what_can_be_gone_on_with(
    command, source, made, make_set, drawn_image, monkeypatch, digest_files
):
    images = [drawn_image(number) for number in range(3)]
    write_bin(made / "x.bin", images[:2], [True])
    monkeypatch.chdir(made)
    line = [command, source, "out", "--workers", "1"]
    with monkeypatch.context() as patch:
        for place in STEPS["write"]:
            patch.setattr(place, interrupt)
        assert CliRunner().invoke(main, line).exit_code == 130
    before = digest_files(made / "out")
    assert "an unfinished conversion is there" in CliRunner().invoke(main, [*line, "--dry-run"]).stderr
    for option in ("--resume", "--overwrite"):
        assert CliRunner().invoke(main, [*line, option, "--dry-run"]).stdout.count("Would write") == 1
    make_set(made / "set", num_classes=2)
    write_bin(made / "x.bin", images[1:], [True])
    assert "is another one" in CliRunner().invoke(main, [*line, "--resume", "--dry-run"]).stderr
    assert digest_files(made / "out") == before


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


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "inspect",
            ["record set, class folders, a verification bin, or a folder of shards: of a data set, or of a bin"],
        ),
        ("preview", ["SRC is a record set, class folders, a folder of shards, or a verification bin"]),
        ("stats", ["SRC is a record set, class folders or a folder of shards"]),
        ("rec2tfrecord", ["a multiple of 20"]),
        ("folder2bin", ["a multiple of twice the folds"]),
    ],
)
def test_help_names_every_kind_of_source_and_what_a_number_must_be(command, words):
    said = " ".join(CliRunner().invoke(main, [command, "--help"]).stdout.split())
    assert all(word in said for word in words)


def test_a_single_one_is_no_plural(run_prep, make_set, tmp_path):
    made = make_set(tmp_path / "one", num_classes=1, images_per_class=2)
    content = bytearray(made.rec.read_bytes())
    content[dict(made.entries)[2] + 32 : dict(made.entries)[2] + 40] = bytes(8)
    made.rec.write_bytes(content)
    options = ("--on-error", "skip", "--shards", "1", "--quiet")
    written = run_prep("rec2tfrecord", "one", "shards", *options, cwd=tmp_path).stdout
    assert "shards: 1 image in 1 class\n" in written
    assert "  train                 1 image       1 shard " in written
    assert "1 damaged record or stretch listed in the manifest" in written
    assert "1 record in 1 shard, 1 class," in run_prep("verify", "shards", cwd=tmp_path).stdout
    assert "Wrote 1 image in 1 class folder to" in run_prep("rec2jpeg", "shards", "images", cwd=tmp_path).stdout
    assert "Wrote 1 image in 1 class to" in run_prep("tfrecord2rec", "shards", "rec", cwd=tmp_path).stdout


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
