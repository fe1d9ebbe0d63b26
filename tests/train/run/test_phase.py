"""What an epoch's score changes: the learning rate on a plateau, and the end of a phase."""

from types import SimpleNamespace

import pytest

from fr_train.config.config import PhaseConfig, ScheduleConfig
from fr_train.optim.schedules import Schedule
from fr_train.run.checkpoint import Position
from fr_train.run.phase import Phase


def judged(scores, *, plateau_epochs=0, stop_after_epochs=0):
    """Runs through the scores; gives the factors of the learning rate, and the epochs that were run."""
    config = PhaseConfig(
        epochs=len(scores),
        schedule=ScheduleConfig(name="constant", plateau_epochs=plateau_epochs, plateau_factor=0.5),
        stop_after_epochs=stop_after_epochs,
    )
    schedule = Schedule(config.schedule, peak=0.1, steps_per_epoch=1, epochs=len(scores))
    phase = Phase(config=config, step=SimpleNamespace(schedule=schedule), stream=None)
    position, factors = Position(), []
    for score in scores:
        position = Position(**{**_fields(position), "epoch": position.epoch + 1})
        is_best = position.best_score is None or score > position.best_score
        position = phase.judge(position, score, is_best=is_best)
        factors.append(float(schedule.factor))
        if position.epoch >= config.epochs:
            break
    return factors, position


def _fields(position):
    return {name: getattr(position, name) for name in Position.__slots__}


def test_the_rate_falls_after_epochs_without_a_better_score_and_the_count_begins_anew():
    factors, _ = judged([0.5, 0.6, 0.6, 0.5, 0.4, 0.4, 0.7, 0.6], plateau_epochs=2)
    assert factors == pytest.approx([1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25])


def test_a_phase_ends_after_epochs_without_a_better_score():
    factors, position = judged([0.5, 0.6, 0.6, 0.5, 0.4, 0.9], stop_after_epochs=3)
    assert len(factors) == 5
    assert position.best_score == position.phase_score == 0.6


def test_without_either_nothing_changes():
    factors, position = judged([0.5, 0.4, 0.3])
    assert (factors, position.epoch, position.epochs_since_best) == ([1, 1, 1], 3, 2)
