"""Options that cannot be, and command lines that nobody types twice."""

import click
import pytest

from fr_prep.commands.options import ByteSize


def test_a_size_of_400_digits_is_refused_or_read():
    try:
        assert ByteSize().convert("9" * 400, None, None) > 10**18
    except click.BadParameter:
        return


@pytest.mark.parametrize(
    "options",
    [
        ("--shard-size", "0"),
        ("--validation-fraction", "nan"),
        ("--validation-fraction", "-0.1"),
        ("--seed", str(2**63)),
        ("--name", "../evil"),
        ("--name", ""),
        ("--name", "a\nb"),
        ("--shards", "100000"),
        ("--shards", "1.5"),
    ],
    ids=str,
)
def test_options_that_cannot_be_end_with_2_and_no_traceback(make_set, run_prep, tmp_path, options):
    make_set(tmp_path / "set")
    ended = run_prep("rec2tfrecord", "set", "out", *options, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "a" * 300),
        ("inspect", "a" * 300),
        ("bin2jpeg", "x.bin", "-o", "a" * 300),
    ],
    ids=["verify", "inspect", "bin2jpeg"],
)
def test_a_name_that_is_too_long_is_a_line_and_no_traceback(run_prep, drawn_image, tmp_path, arguments):
    from fr_data.bins.bins import write_bin

    write_bin(tmp_path / "x.bin", [drawn_image(0), drawn_image(1)], [True])
    ended = run_prep(*arguments, cwd=tmp_path)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_a_source_name_that_is_too_long_is_a_line_and_no_traceback(run_prep, tmp_path):
    ended = run_prep("rec2tfrecord", "a" * 300, "out", cwd=tmp_path)
    assert ended.returncode == 1
    assert "File name too long" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bin_that_cannot_be_written_is_not_told_to_resume(run_prep, drawn_image, tmp_path):
    from fr_data.bins.bins import write_bin

    write_bin(tmp_path / "x.bin", [drawn_image(0), drawn_image(1)], [True])
    ended = run_prep("bin2jpeg", "x.bin", "-o", "gone/y.bin", cwd=tmp_path)
    assert ended.returncode == 1
    assert "gone/y.bin: its folder does not exist" in ended.stderr
    assert "--resume" not in ended.stderr
