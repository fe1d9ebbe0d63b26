"""The progress line of an epoch."""

import io

import pytest
from tqdm import tqdm

from fr_train.run import progress as module
from fr_train.run.progress import Progress


@pytest.fixture
def line(monkeypatch):
    """Makes an epoch's line on a terminal of some width; gives the last state of it."""

    def make(title, *, width, waiting):
        shown, clock = io.StringIO(), iter(range(100))
        monkeypatch.setattr(
            module,
            "tqdm",
            lambda **options: tqdm(**{**options, "disable": False}, file=shown, ncols=width, mininterval=0),
        )
        monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
        with Progress(title, num_steps=3, batch_size=64, sums={}, done=0, quiet=False) as epoch:
            for _ in epoch.timed(range(3)):
                epoch.sums["input_seconds"] *= waiting
                epoch.count(39.7781, 0.5)
        return shown.getvalue().replace("\n", "\r").split("\r")[-2]

    return make


@pytest.mark.parametrize("waiting", [True, False])
@pytest.mark.parametrize("title", ["Epoch 12/40", "warm-up: Epoch 12/40"])
def test_on_80_columns_the_loss_and_which_side_waits_are_seen(line, title, waiting):
    text = line(title, width=80, waiting=waiting)
    assert title in text
    assert "100%" in text
    assert f"loss 39.778, {'input' if waiting else 'compute'}-bound" in text


def test_a_wide_terminal_shows_all_of_it(line):
    assert line("Epoch 1/1", width=140, waiting=True).endswith("loss 39.778, input-bound, 21 images/s, accuracy 0.500")
