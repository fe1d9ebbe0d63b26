import io

import pytest
from PIL import Image

from fr_train.curves import draw_curves

ROW = {"epoch": 1, "loss": 3.0, "accuracy": 0.5, "learning_rate": 0.1}


@pytest.mark.parametrize(
    "history",
    [
        [ROW],
        [ROW, {**ROW, "epoch": 2, "loss": 2.0}],
        [{**ROW, "lfw_accuracy": 0.7}, {**ROW, "epoch": 2, "lfw_accuracy": None, "cfp_accuracy": 0.6}],
    ],
    ids=["one epoch", "no bins", "bins with gaps"],
)
def test_any_history_becomes_a_picture(history, tmp_path):
    draw_curves(history, tmp_path / "curves.png")
    image = Image.open(io.BytesIO((tmp_path / "curves.png").read_bytes()))
    assert image.format == "PNG"
    assert image.width > 900
