import keras
import numpy as np
import pytest

from fr_train.data.mined_epochs import MinedEpochs
from fr_train.data.shard_set import read_shard_set
from fr_train.data.stream import Stream, StreamSettings
from fr_train.errors import TrainingError
from fr_train.model.backbones.embedding import build_embedding_network

MARGIN = 0.1


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(3)
    return build_embedding_network("plaincnn", image_size=(32, 32), width=0.5, embedding_size=8)


@pytest.fixture(scope="module")
def stream(shards):
    settings = StreamSettings(batch_size=12, with_keys=True)
    return Stream(read_shard_set(shards), settings, seed=1, image_size=(32, 32))


@pytest.fixture
def mined(network, stream):
    return MinedEpochs(network, stream, num_classes=4, images_per_class=6, margin=MARGIN, seed=1)


def triplets_of(mined, epoch):
    mined.mine(epoch, quiet=True)
    rows = np.asarray(mined.triplets)
    return rows[rows[:, 0] >= 0]


def test_the_triplets_are_those_of_the_network_as_it_stands_that_a_loop_admits(mined, network, stream):
    triplets = triplets_of(mined, 0)
    assert (mined.triplets.shape, mined.most_steps) == ((60, 3), 15)
    assert 4 <= len(triplets) < 60
    images = np.concatenate([batch[0] for batch in stream.read(np.arange(len(stream.labels)))])
    vectors = np.asarray(network(images, training=False), dtype=np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for anchor, positive, negative in triplets:
        assert stream.labels[anchor] == stream.labels[positive] != stream.labels[negative]
        assert vectors[anchor] @ vectors[positive] - vectors[anchor] @ vectors[negative] < MARGIN + 1e-6
    assert len(set(stream.labels[triplets].ravel().tolist())) == 4


def test_classes_come_mixed(mined, stream):
    labels = stream.labels[triplets_of(mined, 0)[:, 0]]
    assert (np.diff(labels) < 0).any()


def test_an_epoch_is_mined_alike_each_time_and_another_one_otherwise(mined):
    first, second, again = (triplets_of(mined, epoch).tolist() for epoch in (0, 1, 0))
    assert first == again != second


def test_batches_hold_the_triplets_in_their_order_from_any_step_on(mined, stream):
    triplets = triplets_of(mined, 2)
    keys = stream.reader.records.table["source_key"][triplets].reshape(-1)
    batches = [np.asarray(batch[2]).tolist() for batch in mined.batches(2, first_step=0)]
    assert len(batches) == len(triplets) // 4
    assert np.concatenate(batches).tolist() == keys[: 12 * len(batches)].tolist()
    later = mined.batches(2, first_step=2)
    assert [np.asarray(batch[2]).tolist() for batch in later] == batches[2:]


def test_what_was_found_is_said_unless_quiet(mined, capsys):
    mined.mine(0, quiet=True)
    assert capsys.readouterr().err == ""
    mined.mine(4, quiet=False)
    assert "Epoch 5: " in (said := capsys.readouterr().err)
    assert "triplets of 60 pairs" in said


def test_no_triplet_and_embeddings_that_are_no_numbers_end_training(network, stream):
    options = {"num_classes": 4, "images_per_class": 6, "seed": 1}
    with pytest.raises(
        TrainingError, match=r"Epoch 3: .*one batch \(4\), mining found 0 triplets of 60 pairs.*mine_classes"
    ):
        MinedEpochs(network, stream, margin=-2.0, **options).mine(2, quiet=True)
    broken = keras.models.clone_model(network)
    broken.set_weights([np.full(weight.shape, np.nan) for weight in network.get_weights()])
    with pytest.raises(TrainingError, match="24 embeddings were not finite"):
        MinedEpochs(broken, stream, margin=MARGIN, **options).mine(0, quiet=True)


def test_no_more_classes_are_counted_on_than_there_are(network, stream):
    assert MinedEpochs(network, stream, num_classes=200, images_per_class=2, margin=0.2, seed=1).triplets.shape == (
        5,
        3,
    )
