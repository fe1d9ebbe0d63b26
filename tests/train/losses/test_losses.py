import re
from pathlib import Path

import keras

import fr_train.losses
from fr_train.losses.registry import LOSSES


def test_every_loss_is_public():
    public = {getattr(fr_train.losses, name) for name in fr_train.losses.__all__}
    assert set(LOSSES.values()) <= public
    assert fr_train.losses.__all__ == sorted(fr_train.losses.__all__)


def test_the_example_of_the_documentation_trains():
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    keras.utils.set_random_seed(0)
    exec(compile(example, "docs/training.md", "exec"), names)
    assert names["model"].output_shape == (None, 4)
    assert names["model"].history.epoch == [0]
