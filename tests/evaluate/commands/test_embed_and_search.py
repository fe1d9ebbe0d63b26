"""The commands `fr-eval embed` and `fr-eval search`: what one writes, the other reads."""

import json
import os

import numpy as np
import pytest
from click.testing import CliRunner
from tests.made_pairs import encode

from fr_eval.cli import main
from fr_eval.export.sample_images import draw_images
from fr_eval.models.load import load_model

PIXELS = draw_images(9, size=(16, 16), seed=11)


def run(*words):
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "faces"
    for number, pixels in enumerate(PIXELS):
        file = path / f"person{number // 3}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(pixels, "PNG"))
    return path


@pytest.fixture
def faces(folder, tiny_model_path):
    path = folder.parent / "faces.npz"
    assert run("embed", folder, "--model", tiny_model_path, "--output", path).exit_code == 0
    return path


@pytest.mark.parametrize(
    ("command", "example"),
    [("embed", "fr-eval embed faces --model"), ("search", "fr-eval search faces.npz who.jpg --model")],
)
def test_help_shows_an_example(command, example):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert example in result.stdout


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_a_folder_becomes_names_and_embeddings(folder, tiny_model_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = folder.parent / f"faces.{ending}"
    result = run("embed", folder, "--model", tiny_model_path, "--output", path, "--no-mirror", "--batch-size", 4)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}: 9 embeddings of 6 values\n"
    assert result.stderr == ""
    from fr_eval.search.embedding_file import read_embeddings, read_origin

    origin, embedder = read_origin(path), load_model(tiny_model_path)
    assert origin.names == [f"person{number // 3}/{number}.png" for number in range(9)]
    assert (origin.model, origin.model_sha256, origin.mirror) == ("tiny.keras", embedder.digest, False)
    assert np.allclose(read_embeddings(path), embedder.embed(PIXELS), atol=1e-4)


def test_a_file_is_not_replaced_unless_asked(faces, folder, tiny_model_path):
    before = faces.read_bytes()
    again = run("embed", folder, "--model", tiny_model_path, "--output", faces)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert run("embed", folder, "--model", tiny_model_path, "--output", faces, "--overwrite").exit_code == 0
    with np.load(faces) as file:
        assert file["names"].shape == (9,)
    assert len(before) == faces.stat().st_size


def test_damaged_images_end_it_or_are_left_out_and_listed(folder, tiny_model_path):
    (folder / "person0" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    words = ("embed", folder, "--model", tiny_model_path, "--output", folder.parent / "faces.npz")
    failed = run(*words)
    assert failed.exit_code == 1
    assert "person0/1.png: not a readable image" in failed.stderr
    assert not (folder.parent / "faces.npz").exists()
    skipped = run(*words, "--on-error", "skip", "--quiet")
    assert skipped.exit_code == 0
    assert "8 embeddings of 6 values, 1 left out" in skipped.stdout
    assert f"left out: {folder}/person0/1.png: not a readable image" in skipped.stderr


def test_what_is_no_image_or_of_another_size_is_warned_of(folder, tiny_model_path):
    (folder / "list.txt").write_text("list")
    for number in range(7):
        (folder / f"{number}.png").write_bytes(encode(draw_images(1, size=(20, 20))[0], "PNG"))
    result = run("embed", folder, "--model", tiny_model_path, "--output", folder.parent / "faces.npz")
    assert result.exit_code == 0
    others, sizes = result.stderr.splitlines()
    assert others == f"Warning: passed over, since they are no images (1): {folder}/list.txt"
    assert sizes.startswith("Warning: of another size than aligned faces for this network (7): ")
    assert sizes.endswith("4.png (20 x 20, resized to 16 x 16); and 2 more")


def test_each_image_finds_itself_first(faces, folder, tiny_model_path):
    queries = [folder / "person0" / "1.png", folder / "person2" / "7.png"]
    result = run("search", faces, *queries, "--model", tiny_model_path, "--top", 3)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 8
    assert lines[:2] == [str(queries[0]), "   1.0000  person0/1.png"]
    assert lines[4:6] == [str(queries[1]), "   1.0000  person2/7.png"]
    assert result.stderr == ""


def test_json_and_threshold(faces, folder, tiny_model_path):
    words = ("search", faces, folder / "person0" / "1.png", "--model", tiny_model_path, "--json")
    stored = json.loads(run(*words, "--top", 99).stdout)
    cosines = [near["cosine"] for near in stored["results"][0]["nearest"]]
    assert len(cosines) == 9
    assert cosines == sorted(cosines, reverse=True)
    some = json.loads(run(*words, "--top", 99, "--threshold", cosines[4]).stdout)
    assert [near["cosine"] for near in some["results"][0]["nearest"]] == cosines[:5]


def test_where_nothing_is_near_enough_that_is_said(faces, tmp_path, tiny_model_path):
    (tmp_path / "other.png").write_bytes(encode(draw_images(1, size=(16, 16), seed=77)[0], "PNG"))
    result = run("search", faces, tmp_path / "other.png", "--model", tiny_model_path, "--threshold", "1")
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path}/other.png\n  nothing\n"


def test_an_index_is_built_and_used(faces, folder, tiny_model_path):
    pytest.importorskip("faiss")
    index = faces.with_suffix(".faiss")
    words = ("search", faces, folder / "person1" / "4.png", "--model", tiny_model_path, "--index", index)
    first = run(*words)
    assert first.exit_code == 0, first.output
    assert "index of 9 embeddings built in" in first.stderr
    again = run(*words)
    assert again.stdout == first.stdout
    assert again.stderr == ""
    os.utime(index, (0, 0))
    assert run(*words).stderr == ""


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_an_index_of_what_the_embeddings_were_before_is_never_searched(folder, tiny_model_path, ending):
    pytest.importorskip("faiss")
    faces = folder.parent / f"faces.{ending}"
    embed = ("embed", folder, "--model", tiny_model_path, "--output", faces, "--overwrite")
    search = ("search", faces, folder.parent / "who.png", "--model", tiny_model_path, "--top", 1)
    indexed = (*search, "--index", faces.with_suffix(".faiss"))
    (folder.parent / "who.png").write_bytes((folder / "person1" / "4.png").read_bytes())
    assert run(*embed).exit_code == 0
    assert run(*indexed).stdout == run(*search).stdout
    times = faces.stat().st_atime_ns, faces.stat().st_mtime_ns
    (folder / "person1" / "4.png").rename(folder / "kept")
    (folder / "person0" / "1.png").rename(folder / "person1" / "4.png")
    (folder / "kept").rename(folder / "person0" / "1.png")
    assert run(*embed).exit_code == 0
    os.utime(faces, ns=times)
    result = run(*indexed)
    assert "is of other embeddings, and is built anew" in result.stderr
    assert result.stdout == run(*search).stdout
    assert "1.0000  person0/1.png" in result.stdout


def test_another_network_is_warned_of(faces, folder, tiny_model, tmp_path):
    import keras

    other = keras.models.clone_model(tiny_model)
    other.save(tmp_path / "other.keras")
    result = run("search", faces, folder / "person0" / "1.png", "--model", tmp_path / "other.keras")
    assert result.exit_code == 0
    assert "was made by tiny.keras" in result.stderr


def test_failures_exit_with_one_and_a_line_that_names_the_file(faces, folder, tiny_model_path, tmp_path):
    image = folder / "person0" / "1.png"
    (tmp_path / "bad.npz").write_bytes(b"PK")
    for words, named in (
        (("embed", tmp_path / "missing", "--output", tmp_path / "x.npz"), "missing"),
        (("embed", folder, "--output", tmp_path / "missing" / "x.npz"), "its folder does not exist"),
        (("search", tmp_path / "missing.npz", image), "missing.npz"),
        (("search", tmp_path / "bad.npz", image), "bad.npz: is damaged"),
        (("search", faces, tmp_path / "gone.jpg"), "gone.jpg"),
    ):
        result = run(*words, "--model", tiny_model_path)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("Error: ")
        assert named in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("embed", "faces", "--model", "m.keras"),
        ("embed", "faces", "--output", "x.npz"),
        ("embed", "faces", "--model", "m.keras", "--output", "x.csv"),
        ("search", "faces.npz", "--model", "m.keras"),
        ("search", "faces.npz", "a.jpg"),
        ("search", "faces.npz", "a.jpg", "--model", "m.keras", "--top", "0"),
    ],
)
def test_wrong_usage_exits_with_two(words):
    assert run(*words).exit_code == 2
