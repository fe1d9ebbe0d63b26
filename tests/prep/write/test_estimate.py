"""How long a conversion will take."""

import json
import re

import pytest

from fr_prep.errors import DamagedRecordError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.write.build import BuildSettings, plan_dataset
from fr_prep.write.estimate import Estimate, estimate_time, say_seconds


@pytest.fixture
def made(make_set, tmp_path):
    make_set(tmp_path / "set", num_classes=10, images_per_class=30)
    return tmp_path


def estimate(folder, *, num_workers=1, **settings):
    conversion = plan_dataset(RecordSetSource(folder / "set"), BuildSettings(plan=PlanSettings(**settings)))
    rec = folder / "set" / "train.rec"
    return estimate_time(conversion, folder, num_workers=num_workers, index_seconds=0.5, checked=rec)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_images_are_written_on_trial_and_nothing_is_left(made, num_workers):
    before = sorted(made.rglob("*"))
    found = estimate(made, num_workers=num_workers, num_shards=5)
    assert sorted(made.rglob("*")) == before
    assert (found.num_workers, found.index_seconds) == (num_workers, 0.5)
    assert found.sampled_images == 300
    assert 0 < found.image_seconds < 60
    assert 0 < found.checksum_seconds < 60


def test_of_large_shards_only_some_images_are_tried(made, monkeypatch):
    monkeypatch.setattr("fr_prep.write.estimate.SHARD_BYTES", 4000)
    found = estimate(made, num_shards=5)
    assert 5 <= found.sampled_images < 100
    monkeypatch.setattr("fr_prep.write.estimate.SHARDS_A_WORKER", 1)
    assert 1 <= estimate(made, num_shards=5).sampled_images < found.sampled_images


def test_the_trial_ends_when_its_time_is_over(made, monkeypatch):
    monkeypatch.setattr("fr_prep.write.estimate.SAMPLE_SECONDS", 0)
    assert estimate(made, num_shards=5).sampled_images == 60  # of the first shard, which is one block


@pytest.mark.parametrize(
    ("num_workers", "image_seconds", "checksum_seconds", "seconds"),
    [
        (1, 10, 3, 2 + 10 + 3),  # one after the other
        (2, 10, 1, 2 + 10),  # the checksum is done before the index is read
        (2, 10, 4, 2 + 10 + 2 / 2),  # a worker goes on with it for 2 s
        (2, 1, 12, 12),  # it takes longest
    ],
)
def test_the_checksum_of_the_source_is_made_beside_the_rest(num_workers, image_seconds, checksum_seconds, seconds):
    found = Estimate(
        num_workers=num_workers,
        sampled_images=1,
        index_seconds=2,
        image_seconds=image_seconds,
        checksum_seconds=checksum_seconds,
    )
    assert found.seconds == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (99.9, "99.9 s"), (100, "2 min"), (5990, "100 min"), (6000, "1.7 h")]
)
def test_a_time_is_said_as_people_do(seconds, text):
    assert say_seconds(seconds) == text


def test_a_damaged_image_ends_the_trial_as_it_would_end_the_conversion(make_set, tmp_path):
    make_set(tmp_path / "set", images=lambda key: b"no image" * 9)
    with pytest.raises(DamagedRecordError, match="expected a JPEG or PNG image"):
        estimate(tmp_path, num_workers=2)


def test_a_dry_run_says_time_and_space(made, run_prep):
    before = sorted(made.iterdir())
    ended = run_prep("rec2tfrecord", "set", "out", "--dry-run", "--workers", "1", cwd=made)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"About \d+\.\d s with 1 worker, as 300 images written on trial show\.\n", ended.stdout)
    content = json.loads(run_prep("rec2tfrecord", "set", "out", "--dry-run", "--json", cwd=made).stdout)
    assert content["time"]["seconds"] > content["time"]["index_seconds"] > 0
    assert sorted(made.iterdir()) == before


def test_a_dry_run_where_nothing_can_be_written_says_so_and_gives_the_rest(made, run_prep):
    ended = run_prep("rec2tfrecord", "set", "/proc/out", "--dry-run", "--json", cwd=made)
    assert ended.returncode == 0
    assert "Warning: The time is not known, since /proc cannot be written: " in ended.stderr
    assert json.loads(ended.stdout)["time"] is None
