import pytest

from fr_eval.errors import ModelError
from fr_eval.models.shapes import read_image_input, read_num_values, require_one


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((None, 112, 96, 3), None, ("nhwc", (112, 96), None)),
        ((1, 3, 112, 96), None, ("nchw", (112, 96), 1)),
        ((None, 3, 112, 3), "nhwc", ("nhwc", (3, 112), None)),
        ((None, 3, 112, 3), "nchw", ("nchw", (112, 3), None)),
        ((8, 3, 112, 96), "nchw", ("nchw", (112, 96), 8)),
    ],
)
def test_layout_and_size_are_read_off_the_shape(shape, layout, expected):
    found = read_image_input(shape, layout, name="m")
    assert (found.layout, found.size, found.batch_size) == expected


@pytest.mark.parametrize(
    ("shape", "layout", "message"),
    [
        ((None, 112, 112, 1), None, r"m: expected an input of RGB images .*; received \(None, 112, 112, 1\)$"),
        ((None, 512), None, r"received \(None, 512\)$"),
        ((None, 3, 112, 3), None, r"say with --layout"),
        ((None, 112, 112, 3), "nchw", r"\(None, 3, height, width\); received \(None, 112, 112, 3\)$"),
        ((None, None, None, 3), None, "of a fixed height and width"),
        ((None, 112, 112, 3), "nwhc", "expected a layout of nhwc, nchw; received 'nwhc'"),
    ],
)
def test_other_inputs_are_refused_with_what_was_received(shape, layout, message):
    with pytest.raises(ModelError, match=message):
        read_image_input(shape, layout, name="m")


def test_an_output_is_one_row_of_values():
    assert read_num_values((None, 512), name="m") == 512
    for shape in ((None, 512, 1), (None, None), (512,), ()):
        with pytest.raises(ModelError, match=r"m: expected an output of embeddings \(None, D\)"):
            read_num_values(shape, name="m")


def test_networks_of_several_inputs_are_refused():
    require_one(["image"], name="m", kind="input", wanted="image")
    for things in ([], ["image", "label"]):
        with pytest.raises(ModelError, match=f"expected one input, the image; received {len(things)} inputs"):
            require_one(things, name="m", kind="input", wanted="image")
