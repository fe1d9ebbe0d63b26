"""What `fr-prep bin2tfrecord` writes, read by evaluation, by the trainer, and by TensorFlow Datasets."""

import hashlib
import io
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fr_data.bins.bins import BinError, read_bin, write_bin
from fr_eval.faces.verification_shards import read_pairs
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.record_sets.recordio import RecordWriter
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.verification_shards import convert_bin
from fr_train.data.shard_set import read_shard_set
from fr_train.errors import ShardSetError

NUM_PAIRS = 40


def draw(number, image_format):
    rng = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(buffer, image_format)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A bin of JPEG and PNG images, some of them twice, and its folder of shards."""
    folder = tmp_path_factory.mktemp("pairs")
    images = [draw(number % 60, ("JPEG", "PNG")[number % 3 == 0]) for number in range(2 * NUM_PAIRS)]
    write_bin(folder / "lfw.bin", images, [pair % 3 > 0 for pair in range(NUM_PAIRS)])
    settings = BuildSettings(name="lfw", plan=PlanSettings(num_shards=3), quiet=True)
    convert_bin(folder / "lfw.bin", folder / "shards", settings=settings)
    return folder


@pytest.fixture
def shards(made, tmp_path):
    """A copy of the shards, to be damaged."""
    return shutil.copytree(made / "shards", tmp_path / "shards")


def test_evaluation_reads_the_very_pairs_of_the_bin(made):
    bin_, pairs = read_bin(made / "lfw.bin"), read_pairs(made / "shards")
    assert pairs.images == bin_.images
    assert (pairs.issame.dtype, pairs.issame.tolist()) == (bin_.issame.dtype, bin_.issame.tolist())
    assert (pairs.name, pairs.num_pairs, pairs.path) == ("lfw", NUM_PAIRS, made / "shards")
    assert pairs.sha256 == hashlib.sha256((made / "shards" / "manifest.json").read_bytes()).hexdigest()
    assert pairs.entry_kinds == {"record of a shard": 2 * NUM_PAIRS}


def test_a_bin_is_read_as_before(made):
    bin_, pairs = read_bin(made / "lfw.bin"), read_pairs(made / "lfw.bin")
    assert (pairs.images, pairs.sha256, pairs.name) == (bin_.images, bin_.sha256, "lfw")


@pytest.fixture(scope="session")
def network():
    import keras

    keras.utils.set_random_seed(7)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    return keras.Model(image, keras.layers.Dense(6)(keras.layers.Flatten()(x)))


def test_fr_eval_gives_the_same_figures_and_names_the_manifest_s_digest(made, network, tmp_path):
    from fr_eval.cli import main

    network.save(tmp_path / "model.keras")
    command = ["--model", str(tmp_path / "model.keras"), str(made / "lfw.bin"), str(made / "shards"), "--json"]
    ended = CliRunner().invoke(main, [*command, "--report", str(tmp_path / "report.html")])
    assert ended.exit_code == 0, ended.output
    of_bin, of_shards = json.loads(ended.stdout)["results"]
    digest = hashlib.sha256((made / "shards" / "manifest.json").read_bytes()).hexdigest()
    assert of_shards["sha256"] == digest
    assert digest in (tmp_path / "report.html").read_text()
    for key in ("bin", "path", "sha256", "entry_kinds"):  # of two bins of one name, tables show the path
        del of_bin[key], of_shards[key]
    assert of_shards == of_bin


def test_the_trainer_scores_on_them_as_on_the_bin(made, network):
    from fr_train.run.bin_scores import BinScores

    scores = [BinScores([made / name], network, batch_size=16)() for name in ("lfw.bin", "shards")]
    assert scores[0] == scores[1]
    assert list(scores[0]) == ["lfw_accuracy"]


def test_the_trainer_does_not_train_on_them(made):
    with pytest.raises(
        ShardSetError, match=r"expected a set of faces, received verification pairs\. Give it by --bins"
    ):
        read_shard_set(made / "shards")


def test_tensorflow_datasets_reads_them(made):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(made / "shards"))
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {"test": 2 * NUM_PAIRS}
    bin_ = read_bin(made / "lfw.bin")
    seen = 0
    for example in builder.as_dataset(split="test", shuffle_files=False):
        index = 2 * int(example["pair"]) + int(example["side"])
        assert bool(example["same"]) == bin_.issame[index // 2]
        expected = tf.io.decode_image(bin_.images[index], channels=3, expand_animations=False).numpy()
        np.testing.assert_array_equal(example["image"].numpy(), expected)
        seen += 1
    assert seen == 2 * NUM_PAIRS


def test_any_flipped_byte_of_a_shard_is_found(shards):
    path = sorted(shards.glob("*.tfrecord-*"))[1]
    content = path.read_bytes()
    for position in (0, 9, 40, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        with pytest.raises(BinError, match=rf"{path.name}: expected SHA-256 .*fr-prep verify"):
            read_pairs(shards)


def change_manifest(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def swap_shards(folder):
    shards = json.loads((folder / "manifest.json").read_text())["splits"]["test"]["shards"]
    change_manifest(folder, splits={"test": {"shards": shards[::-1]}})


def foreign_records(folder):
    """Shards whose digest is right, and whose content is not."""
    path = folder / "x"
    path.write_bytes((5).to_bytes(8, "little") + bytes(4) + b"hello" + bytes(4))
    shard = {"file": "x", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    change_manifest(folder, splits={"test": {"shards": [shard]}})


def cut_record(folder):
    path = folder / "x"
    path.write_bytes(b"\x09\0\0")
    shard = {"file": "x", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    change_manifest(folder, splits={"test": {"shards": [shard]}})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "manifest.json").unlink(),
            r"manifest\.json: is missing; expected a verification bin, or the folder",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{"), "is no sound set of verification pairs"),
        (lambda folder: (folder / "manifest.json").write_text("[1]"), "is no sound set of verification pairs"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe"), "is no sound set of verification pairs"),
        (lambda folder: next(folder.glob("*-00002-of-*")).unlink(), r"00002-of-00003: is missing"),
        (
            lambda folder: change_manifest(folder, kind="voices"),
            "expected a set of verification pairs, received one of voices",
        ),
        (lambda folder: change_manifest(folder, format_version=2), "expected format version 1, received 2; update"),
        (lambda folder: change_manifest(folder, num_pairs=41), "promises 41 pairs, its shards hold 80 images"),
        (lambda folder: change_manifest(folder, splits={}), "'test' is missing"),
        (lambda folder: change_manifest(folder, splits={"test": {"shards": []}}), "is no sound set"),
        (swap_shards, "its images are not in the order of the pairs"),
        (foreign_records, "x does not hold what it should"),
        (cut_record, "x does not hold what it should"),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused_with_a_reason(shards, damage, message):
    damage(shards)
    with pytest.raises(BinError, match=message):
        read_pairs(shards)


def test_of_a_training_set_its_verification_bin_is_suggested(tmp_path):
    with (tmp_path / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        for key in range(120):
            writer.write(pack_image_record(float(key // 4), key=key, image=draw(key, "PNG")))
    for name, num_pairs in (("without", 0), ("with", 20)):
        plan = PlanSettings(num_shards=1, validation_fraction=0.5, split_by="identity", verification_pairs=num_pairs)
        build_dataset(RecordSetSource(tmp_path), tmp_path / name, settings=BuildSettings(plan=plan, quiet=True))
    with pytest.raises(BinError, match=r"expected a set of verification pairs, received one of faces$"):
        read_pairs(tmp_path / "without")
    with pytest.raises(BinError, match=r"perhaps you mean its bin, .*with/faces-validation\.bin$"):
        read_pairs(tmp_path / "with")
    assert read_pairs(tmp_path / "with" / "faces-validation.bin").num_pairs == 20
