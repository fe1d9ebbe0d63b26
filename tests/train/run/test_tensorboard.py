"""The history for TensorBoard, as TensorBoard reads it."""

import importlib.util

import pytest

from fr_train.errors import ConfigError
from fr_train.run.tensorboard import require_tensorboard, write_scalars


def test_tensorboard_reads_every_number_of_a_row_at_its_epoch(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tensor_util = pytest.importorskip("tensorboard.util.tensor_util")
    for epoch in (1, 2):
        write_scalars(tmp_path, {"epoch": epoch, "phase": "training", "loss": 4.0 / epoch, "step": 10 * epoch})
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert sorted(events.Tags()["tensors"]) == ["loss", "step"]
    found = [(event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in events.Tensors("loss")]
    assert found == [(1, 4.0), (2, 2.0)]


def test_what_is_missing_is_said_with_its_remedy(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboard" else find_spec(name, *rest)
    )
    with pytest.raises(ConfigError, match=r"tensorboard: .*pip install 'fr-toolkit\[tensorboard\]'"):
        require_tensorboard()
