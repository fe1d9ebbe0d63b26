import pickle

import numpy as np
import pytest

from fr_data.bins.bins import read_bin
from fr_data.errors import OutputError
from fr_data.images.pictures import load_picture, save_png
from fr_prep.errors import SourceError
from fr_prep.export.bin_rewrite import export_bin
from fr_prep.plan.verification_pairs import sample_pairs
from fr_prep.sources.class_folders.class_folder_source import ClassFolderSource
from fr_prep.write.pair_bins import bin_bytes, draw_bin, list_bin, read_pair_images


@pytest.fixture
def people(tmp_path, drawn_image):
    """24 people with 3 images each, one of them a BMP."""
    for person in range(24):
        folder = tmp_path / "people" / f"person{person:02d}"
        folder.mkdir(parents=True)
        for image in range(3):
            image_format = "BMP" if image == 2 else "JPEG"
            content = drawn_image(3 * person + image, image_format=image_format)
            (folder / f"{image}.{image_format.lower()}").write_bytes(content)
    return tmp_path / "people"


def owners(people):
    """Encoded image, as a bin holds it → who is on it."""
    return {
        path.read_bytes()
        if path.suffix == ".jpeg"
        else save_png(load_picture(path.read_bytes()).image): path.parent.name
        for path in people.rglob("*.*")
    }


def draw(people, output, **options):
    return draw_bin(ClassFolderSource(people), output, **{"num_pairs": 40, "num_folds": 2, "seed": 1, **options})


def test_drawn_pairs_are_true_and_their_folds_share_nobody(people, tmp_path):
    result = draw(people, tmp_path / "x.bin")
    found, who = read_bin(tmp_path / "x.bin"), owners(people)
    shown = [(who[first], who[second]) for first, second in zip(found.images[0::2], found.images[1::2], strict=True)]
    assert [first == second for first, second in shown] == found.issame.tolist() == ([True] * 10 + [False] * 10) * 2
    assert not {name for pair in shown[:20] for name in pair} & {name for pair in shown[20:] for name in pair}
    assert (result.num_pairs, result.num_same, result.num_folds, result.sha256) == (40, 20, 2, found.sha256)
    assert result.num_images == len(set(found.images))
    assert not any("share people" in warning for warning in result.warnings)


def test_insightface_s_own_loader_reads_it(people, tmp_path):
    draw(people, tmp_path / "x.bin")
    with (tmp_path / "x.bin").open("rb") as file:
        bins, issame_list = pickle.load(file, encoding="bytes")
    assert (len(bins), len(issame_list), {type(item) for item in bins}) == (80, 40, {bytes})


def test_the_seed_alone_decides(people, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw(people, tmp_path / name, seed=seed)
    contents = [(tmp_path / name).read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_folds_that_share_people_are_said_to(people, tmp_path):
    result = draw(people, tmp_path / "x.bin", num_folds=20)
    assert any("Folds of the verification bin share people" in warning for warning in result.warnings)


def test_more_pairs_than_there_are_images_for_is_an_error(people, tmp_path):
    with pytest.raises(
        SourceError, match=r"people: expected at least 80 pairs of the same kind.*give 72\. Lower --num-pairs"
    ):
        draw(people, tmp_path / "x.bin", num_pairs=160)
    assert not (tmp_path / "x.bin").exists()


def test_an_image_that_cannot_be_decoded_is_named_and_nothing_is_written(people, tmp_path):
    for folder in people.iterdir():
        image = (folder / "0.jpeg").read_bytes()
        (folder / "0.jpeg").write_bytes(image[:-100])
    with pytest.raises(SourceError, match=r"person\d\d/0\.jpeg: is no image that evaluation can decode"):
        draw(people, tmp_path / "x.bin")
    assert not (tmp_path / "x.bin").exists()


def test_a_bin_that_is_there_is_replaced_only_when_asked(people, tmp_path):
    (tmp_path / "x.bin").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        draw(people, tmp_path / "x.bin")
    with pytest.raises(OutputError, match="--overwrite"):
        list_bin(people, tmp_path / "none", tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_text() == "mine"
    draw(people, tmp_path / "x.bin", overwrite=True)
    assert read_bin(tmp_path / "x.bin").num_pairs == 40


def test_a_dry_run_writes_nothing(people, tmp_path):
    result = draw(people, tmp_path / "x.bin", dry_run=True)
    assert (result.sha256, result.num_pairs) == (None, 40)
    assert not (tmp_path / "x.bin").exists()


def test_a_place_that_cannot_be_written_is_an_error(people, tmp_path):
    with pytest.raises(OutputError, match=r"x\.bin: its folder does not exist"):
        draw(people, tmp_path / "none" / "x.bin")


def test_a_bin_taken_apart_and_put_together_again_is_the_same(people, tmp_path):
    draw(people, tmp_path / "x.bin")
    export_bin(tmp_path / "x.bin", tmp_path / "apart")
    result = list_bin(tmp_path / "apart", tmp_path / "apart" / "pairs.csv", tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "x.bin").read_bytes()
    assert (result.pairs, result.num_same, result.num_folds) == ("pairs.csv (table of bin2jpeg)", 20, None)


def test_pairs_of_lfw_keep_their_order_and_folds(people, tmp_path):
    for folder in people.iterdir():
        for path in folder.iterdir():
            path.rename(path.with_name(f"{folder.name}_{int(path.stem) + 1:04d}{path.suffix}"))
    (tmp_path / "pairs.txt").write_text(
        "2\t1\nperson00 1 2\nperson01 1 person02 3\nperson03 3 1\nperson04 1 person05 1\n"
    )
    result = list_bin(people, tmp_path / "pairs.txt", tmp_path / "x.bin")
    found, who = read_bin(tmp_path / "x.bin"), owners(people)
    assert [who[image][-2:] for image in found.images] == ["00", "00", "01", "02", "03", "03", "04", "05"]
    assert found.issame.tolist() == [True, False, True, False]
    assert (result.num_folds, result.num_images) == (2, 8)


def test_a_listed_file_that_is_missing_or_no_image_is_named(people, tmp_path):
    (people / "notes.txt").write_text("hello")
    for name, message in (("none.jpg", "cannot be read: No such file"), ("notes.txt", "is no readable picture")):
        (tmp_path / "pairs.txt").write_text(f"person00/0.jpeg {name} 0\n")
        with pytest.raises(SourceError, match=rf"{name}: {message}"):
            list_bin(people, tmp_path / "pairs.txt", tmp_path / "x.bin")


def test_the_size_of_a_bin_is_never_underestimated(people, tmp_path):
    images = ClassFolderSource(people).read()
    for num_pairs in (2, 40, 140):
        sample = sample_pairs(images.labels, num_pairs=num_pairs, num_folds=1)
        result = draw_bin(
            ClassFolderSource(people), tmp_path / f"{num_pairs}.bin", num_pairs=num_pairs, num_folds=1, seed=0
        )
        size = (tmp_path / f"{num_pairs}.bin").stat().st_size
        assert size <= bin_bytes(sample, images.places.image_lengths) < size + 20_000
        assert result.num_images == len(np.union1d(sample.first, sample.second))
        assert len(read_pair_images(images.places, sample)) == 2 * num_pairs
