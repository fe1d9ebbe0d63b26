import pytest

from fr_train.run.differences import find_differences

PHASE = {"name": "margins", "epochs": 2, "loss": {"name": "cosface", "margin": 0.2}, "freeze": []}
WARM_UP = {**PHASE, "name": "warm-up"}


def test_what_is_the_same_is_not_named():
    facts = {"seed": 1, "model": {"width": 1.0}, "phases": [WARM_UP, PHASE]}
    assert list(find_differences(facts, facts)) == []


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ([{**PHASE, "epochs": 3}], ["phases[1].epochs was 2 and is 3"]),
        ([{**PHASE, "freeze": ["head"]}], ["phases[1].freeze was [] and is ['head']"]),
        ([{**PHASE, "name": "other"}], ["phases[1].name was 'margins' and is 'other'"]),
        (
            [{**PHASE, "loss": {"name": "arcface", "scale": 32.0}}],
            [
                "phases[1].loss.name was 'cosface' and is 'arcface'",
                "phases[1].loss.scale was not there and is 32.0",
                "phases[1].loss.margin was 0.2 and is not there",
            ],
        ),
        ([WARM_UP, {**PHASE, "epochs": 3}], ["phases[1] (warm-up) was added", "phases[2].epochs was 2 and is 3"]),
        ([PHASE, PHASE], ["phases[2] (margins) was added"]),
    ],
)
def test_each_key_that_changed_is_named_by_its_path_with_both_values(now, expected):
    assert list(find_differences({"phases": [PHASE]}, {"phases": now})) == expected


def test_a_phase_that_was_removed_is_named_by_where_it_was():
    before, now = [WARM_UP, PHASE], [{**PHASE, "epochs": 3}]
    expected = ["phases[1].epochs was 2 and is 3", "phases[1] (warm-up) was removed"]
    assert sorted(find_differences({"phases": before}, {"phases": now})) == sorted(expected)
