"""A label overlay means the same to the trainer, which applies it while streaming, and to `rewrite`, which bakes it in."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import fr_data.shards.overlay
from fr_data.errors import OverlayError
from fr_prep.errors import SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.record_sets.recordio import RecordWriter
from fr_prep.sources.shards.rewritten import RewrittenSource
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.record_table import read_record_table
from fr_train.data.shard_set import read_shard_set
from fr_train.data.stream import Stream, StreamSettings

NUM_CLASSES, IMAGES_PER_CLASS = 8, 6


@pytest.fixture(scope="module")
def make_shards(tmp_path_factory):
    """Makes a set of 8 people with 6 images each; the colour of an image is its key, and labels have gaps."""

    def make(**plan):
        folder = tmp_path_factory.mktemp("set")
        with (folder / "train.rec").open("wb") as file:
            writer = RecordWriter(file)
            for key in range(NUM_CLASSES * IMAGES_PER_CLASS):
                buffer = io.BytesIO()
                Image.new("RGB", (16, 16), (5 * key, 0, 0)).save(buffer, "PNG")
                label = (key // IMAGES_PER_CLASS * 5 + 3) % NUM_CLASSES * 10
                writer.write(pack_image_record(float(label), key=key, image=buffer.getvalue()))
        build(RecordSetSource(folder), folder / "shards", **plan)
        return folder / "shards"

    return make


def build(source, out, **plan):
    settings = BuildSettings(plan=PlanSettings(**{"num_shards": 3, "seed": 1, **plan}), quiet=True)
    return build_dataset(source, out, settings=settings)


def streamed_labels(shard_set):
    """Source key → label of all that the trainer streams in an epoch."""
    stream = Stream(shard_set, StreamSettings(batch_size=shard_set.num_images["train"]), seed=0, image_size=(16, 16))
    ((images, labels),) = list(stream.epoch(0))
    return dict(zip((images[:, 0, 0, 0] // 5).tolist(), labels.tolist(), strict=True))


def stored_labels(manifest):
    """Source key → label of the train split, from the record table."""
    rows = read_record_table(manifest.folder, manifest.num_images)[: manifest.content["splits"]["train"]["num_images"]]
    return dict(zip(rows["source_key"].tolist(), rows["label"].tolist(), strict=True))


def text_of(rows):
    return "class,source_key,new_class\n" + "".join(
        f"{'' if kind else number},{number if kind else ''},{'drop' if new is None else new}\n"
        for kind, number, new in rows
    )


def draw_rows(rng, shard_set_labels, *, num_train_classes):
    """Random rows of classes and records, none of which moves a train image to a class of the validation split alone."""
    targets = [None, *range(num_train_classes), NUM_CLASSES, NUM_CLASSES + 3, 1000]
    classes = rng.choice(NUM_CLASSES, size=rng.integers(0, 5), replace=False)
    keys = rng.choice(list(shard_set_labels), size=rng.integers(0, 12), replace=False)
    rows = [(0, number) for number in classes] + [(1, number) for number in keys]
    return [(kind, int(number), targets[rng.integers(len(targets))]) for kind, number in rows]


PLANS = {
    "one split": {},
    "split by image": {"validation_fraction": 0.3},
    "split by identity": {"validation_fraction": 0.3, "split_by": "identity"},
}


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_the_trainer_streams_the_labels_that_rewrite_writes(make_shards, tmp_path, plan):
    shards = make_shards(**PLANS[plan])
    table = read_record_table(shards, NUM_CLASSES * IMAGES_PER_CLASS)
    num_train_classes = read_shard_set(shards).num_classes
    drawn = [
        draw_rows(np.random.default_rng(n), table["source_key"], num_train_classes=num_train_classes) for n in range(4)
    ]
    drawn += [
        [(0, 0, 1), (0, 1, 0)],
        # Of the train split, class 2 is left without an image; its number closes up.
        [(1, int(key), None) for key in table["source_key"][table["label"] == 2]],
        [(0, 3, 40), (1, int(table["source_key"][table["label"] == 3][0]), 3)],
    ]
    for number, rows in enumerate(drawn):
        path = tmp_path / f"labels{number}.csv"
        path.write_text(text_of(rows))
        for split in ("keep", "train"):
            manifest = build(RewrittenSource(shards, path, split), tmp_path / f"{split}{number}")
            shard_set = read_shard_set(shards, overlay=fr_data.shards.overlay.read_overlay(path))
            assert streamed_labels(shard_set) == stored_labels(manifest), rows
            train = manifest.content["splits"]["train"]
            assert (shard_set.num_classes, shard_set.num_images["train"]) == (train["num_classes"], train["num_images"])
            classes = pd.read_csv(manifest.folder / "classes.csv")
            assert (
                shard_set.relabelling.images_per_class().tolist() == classes.num_train[: train["num_classes"]].tolist()
            )
            # And the rewritten set, streamed without an overlay, is the same again.
            assert streamed_labels(read_shard_set(manifest.folder)) == stored_labels(manifest)


FIELDS = st.sampled_from(
    ["", "0", "1", "2", "3", "4", "5", "6", "10", "11", "12", "13", "2.0", "drop", "x", "-1", str(2**31)]
)
HEADERS = st.sampled_from(
    ["class,source_key,new_class"] * 6 + ["new_class,source_key", "class,new_class", "class,new", ""]
)
SOUND_ROWS = st.one_of(
    st.tuples(st.integers(0, 3), st.just(""), st.integers(0, 6)),
    st.tuples(st.just(""), st.integers(10, 15), st.one_of(st.just("drop"), st.integers(0, 6))),
)


@settings(max_examples=300, deadline=None)
@given(
    header=HEADERS,
    rows=st.one_of(
        st.lists(SOUND_ROWS, max_size=5),
        st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=4),
    ),
    labels=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    keys=st.lists(st.integers(10, 15), min_size=6, max_size=6) | st.permutations(range(10, 16)),
    in_train=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_both_stages_read_a_table_alike_and_refuse_it_with_the_same_words(
    tmp_path_factory, header, rows, labels, keys, in_train
):
    path = tmp_path_factory.mktemp("overlay") / "labels.csv"
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    outcomes = []
    for stage in (fr_data.shards.overlay, fr_data.shards.overlay):
        try:
            overlay = stage.read_overlay(path)
            arrays = {"keys": np.array(keys), "labels": np.array(labels), "in_train": np.array(in_train)}
            outcomes.append(stage.relabel(overlay, num_classes=4, **arrays).tolist())
        except (SourceError, OverlayError) as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
