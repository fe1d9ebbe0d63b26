"""Tests of a record set as a source, and of `fr-prep rec2tfrecord` with the options that are its own."""

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from fr_prep.cli import main
from fr_prep.errors import DamagedRecordError, OutputError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.manifest import read_manifest

SCHEMA = Path(__file__).parents[3] / "docs" / "manifest.schema.json"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_position": -1}, "label position of 0 or more, received -1"),
        ({"on_error": "ignore"}, "received 'ignore'"),
        ({"reader": "numpy"}, "received 'numpy'"),
        ({"reader": "mxnet", "on_error": "skip"}, "skips no damaged records"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RecordSettings(**options)


def test_what_the_result_depends_on_are_the_arguments_and_not_the_workers():
    settings = RecordSettings(label_position=1, on_error="skip", num_workers=7, quiet=False)
    assert settings.arguments() == {"label_position": 1, "on_error": "skip", "reader": "native"}


@pytest.fixture
def damaged(make_set, tmp_path):
    """A set with its keys 3 and 8 damaged."""
    made = make_set(tmp_path / "set")
    offsets = dict(made.entries)
    content = bytearray(made.rec.read_bytes())
    content[offsets[3] : offsets[3] + 4] = bytes(4)
    content[offsets[8] + 32 : offsets[8] + 40] = bytes(8)
    made.rec.write_bytes(content)
    return made


def test_damage_is_refused_with_a_hint_at_the_way_out(damaged, tmp_path):
    with pytest.raises(DamagedRecordError, match="Or leave out what is damaged, by --on-error skip") as caught:
        RecordSetSource(damaged.folder).read()
    assert caught.value.offset == dict(damaged.entries)[3]


def test_what_was_skipped_stands_in_the_manifest_on_stderr_and_in_the_summary(damaged, run_prep, read_faces, tmp_path):
    ended = run_prep("rec2tfrecord", "set", "out", "--on-error", "skip", "--workers", "2", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (
        "Warning: 2 damaged records or stretches were left out, 14 records are sound; the first, at byte"
        in ended.stderr
    )
    assert "left out              2 damaged records or stretches, each listed in the manifest" in ended.stdout
    content = json.loads((tmp_path / "out" / "manifest.json").read_text())
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    offsets = dict(damaged.entries)
    assert content["left_out"] == {
        "num_records": 2,
        "records": [
            {
                "offset": offsets[3],
                "key": 3,
                "reason": f"Expected the RecordIO magic 0xced7230a at byte {offsets[3]}, received 0x00000000.",
            },
            {
                "offset": offsets[8],
                "key": 8,
                "reason": "Expected a JPEG or PNG image, received 311 bytes that start with 00 00 00 00 00 00 00 00.",
            },
        ],
    }
    assert content["arguments"]["on_error"] == "skip"
    faces = [face for shards in read_faces(tmp_path / "out").values() for shard in shards for face in shard]
    assert sorted((face.source_key, face.source_label, face.image) for face in faces) == [
        (record.key, record.label, record.image) for record in damaged.records if record.key not in (3, 8)
    ]
    planned = run_prep("rec2tfrecord", "set", "out2", "--on-error", "skip", "--dry-run", "--json", cwd=tmp_path)
    assert json.loads(planned.stdout)["left_out"] == {"num_records": 2}


def test_fail_is_the_default_and_leaves_nothing(damaged, run_prep, tmp_path):
    ended = run_prep("rec2tfrecord", "set", "out", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert "--on-error skip" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_is_resumed_with_the_same_arguments_only(make_set, monkeypatch, tmp_path):
    make_set(tmp_path / "set", labels=[[0.0, 5.0], [1.0, 4.0], [2.0, 3.0]])

    def build(resume=False, **options):
        settings = BuildSettings(plan=PlanSettings(num_shards=2), resume=resume, quiet=True)
        source = RecordSetSource(tmp_path / "set", RecordSettings(**options))
        return build_dataset(source, tmp_path / "out", settings=settings)

    with monkeypatch.context() as patched:
        patched.setattr("fr_prep.write.build.write_tables", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(label_position=1)
    for options in ({}, {"label_position": 1, "on_error": "skip"}):
        with pytest.raises(OutputError, match="unfinished conversion there is another one"):
            build(resume=True, **options)
    manifest = build(resume=True, label_position=1)
    assert manifest.content["arguments"]["label_position"] == 1
    assert (tmp_path / "out" / "classes.csv").read_text().splitlines()[1:] == ["0,3,3,4,4", "1,4,4,4,4", "2,5,5,4,4"]


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "options",
    [
        ("--label-position", "-1"),
        ("--on-error", "ignore"),
        ("--reader", "x"),
        ("--reader", "mxnet", "--on-error", "skip"),
    ],
)
def test_options_that_cannot_be_end_with_2(make_set, run_prep, tmp_path, options):
    make_set(tmp_path / "set")
    ended = run_prep("rec2tfrecord", "set", "out", *options, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert not (tmp_path / "out").exists()


def test_the_mxnet_reader_says_how_to_get_it_where_it_is_not(make_set, run_prep, tmp_path):
    make_set(tmp_path / "set")
    ended = run_prep("rec2tfrecord", "set", "out", "--reader", "mxnet", cwd=tmp_path)
    assert ended.returncode == 1
    assert "MXNet cannot be loaded here (No module named 'mxnet')" in ended.stderr
    assert "pip install '.[mxnet]'" in ended.stderr


def test_a_label_position_by_command(make_set, run_prep, tmp_path):
    make_set(tmp_path / "set", labels=[[0.0, 7.0], [1.0, 7.0], [2.0, 9.0]])
    ended = run_prep("rec2tfrecord", "set", "out", "--label-position", "1", cwd=tmp_path)
    assert "12 images in 2 classes" in ended.stdout
    assert read_manifest(tmp_path / "out").content["arguments"]["label_position"] == 1
    ended = run_prep("rec2tfrecord", "set", "out2", "--label-position", "2", cwd=tmp_path)
    assert ended.returncode == 1
    assert "key 1: expected a label at position 2" in ended.stderr


READING = [("inspect", "set"), ("rec2jpeg", "set", "out"), ("stats", "set"), ("preview", "set", "out.html")]


def run(*arguments):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.mark.parametrize("line", READING, ids=lambda line: line[0])
def test_who_is_told_to_leave_damage_out_can(line, damaged, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    refused = run(*line)
    assert refused.exit_code == 1
    assert "Or leave out what is damaged, by --on-error skip." in refused.stderr
    skipped = run(*line, "--on-error", "skip")
    assert skipped.exit_code == 0, skipped.stderr
    said = "2 damaged images left out" if line[0] == "preview" else "2 damaged records or stretches were left out"
    assert said in skipped.output


@pytest.mark.parametrize("line", READING, ids=lambda line: line[0])
def test_who_is_told_of_another_label_can_take_it(line, make_set, monkeypatch, tmp_path):
    make_set(tmp_path / "set", labels=[[0.5, 7.0], [1.5, 7.0], [2.5, 9.0]])
    monkeypatch.chdir(tmp_path)
    refused = run(*line)
    assert refused.exit_code == 1
    assert "or another --label-position is its class" in refused.stderr
    taken = run(*line, "--label-position", "1", "--json")
    assert taken.exit_code == 0, taken.stderr
    content = json.loads(taken.stdout)
    assert content.get("num_classes", len(content.get("groups", ()))) == 2


@pytest.mark.parametrize("source", ["shards", "folders", "x.bin"])
@pytest.mark.parametrize("command", ["inspect", "rec2jpeg", "stats", "preview"])
def test_options_of_a_record_set_are_for_nothing_else(command, source, make_set, drawn_image, monkeypatch, tmp_path):
    make_set(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    assert run("rec2tfrecord", "set", "shards", "--quiet").exit_code == 0
    (tmp_path / "folders" / "a").mkdir(parents=True)
    (tmp_path / "x.bin").write_bytes(b"")
    line = [command, source, *{"rec2jpeg": ["out"], "preview": ["out.html"]}.get(command, [])]
    ended = run(*line, "--on-error", "fail", "--label-position", "0")
    assert ended.exit_code == 2
    assert f"Error: --label-position and --on-error: for a record set alone, which {source} is not." in ended.stderr


@pytest.mark.parametrize(
    ("others", "num_warnings"), [(["faces.idx"], 0), (["train.idx"], 1), (["train.idx", "train.rec"], 0)]
)
def test_an_index_that_does_not_belong_to_the_records_is_named(make_set, tmp_path, others, num_warnings):
    made = make_set(tmp_path / "set", header=False)
    made.rec.rename(tmp_path / "set" / "faces.rec")
    made.idx.rename(tmp_path / "set" / others[0])
    for name in others[1:]:
        (tmp_path / "set" / name).touch()
    warnings = RecordSetSource(tmp_path / "set" / "faces.rec").read().warnings
    named = [
        warning
        for warning in warnings
        if warning.startswith("train.idx is not used, since it does not belong to faces.rec")
    ]
    assert len(named) == num_warnings


@pytest.fixture
def cut_short(make_set, drawn_image, monkeypatch, tmp_path):
    """40 people with 3 images each, of which one person in two has one that is cut short."""
    monkeypatch.chdir(tmp_path)
    images = {key: drawn_image(key) for key in range(1, 121)}
    images |= {key: image[:-100] for key, image in images.items() if key % 6 == 0}
    return make_set(tmp_path / "set", num_classes=40, images_per_class=3, images=images.__getitem__)


def test_images_that_cannot_be_decoded_are_found_where_it_is_asked_for(cut_short, tmp_path):
    refused = run("rec2tfrecord", "set", "out", "--decode", "--quiet")
    assert refused.exit_code == 1
    place = f"set/train.rec, record at byte {dict(cut_short.entries)[6]}, key 6: is a damaged image: "
    assert refused.stderr.startswith(f"Error: {place}")
    assert (
        "20 of 120 images are like that. Copy the file again. Or leave out what is damaged, by --on-error skip."
        in refused.stderr
    )
    assert not (tmp_path / "out").exists()


def test_a_verification_bin_is_drawn_from_what_is_left_of_images_that_cannot_be_decoded(cut_short, tmp_path):
    split = ("--validation-fraction", "0.5", "--split-by", "identity", "--verification-pairs", "40")
    line = ("rec2tfrecord", "set", "out", *split, "--on-error", "skip", "--quiet")
    refused = run(*line)
    assert refused.exit_code == 1
    assert "Convert its source with --decode --on-error skip" in refused.stderr
    written = run(*line, "--decode", "--workers", "2")
    assert written.exit_code == 0, written.stderr
    content = read_manifest(tmp_path / "out").content
    assert content["arguments"]["decode"] is True
    assert [record["key"] for record in content["left_out"]["records"]] == list(range(6, 121, 6))
    assert content["verification_bin"]["num_pairs"] == 40
