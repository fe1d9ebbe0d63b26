import json

import numpy as np
import pytest
from click.testing import CliRunner
from tests.made_pairs import encode

from fr_eval.cli import main
from fr_eval.errors import FaceSetError
from fr_eval.faces.identity_sets import embed_identities
from fr_eval.faces.open_identities import read_identities
from fr_eval.models.embedder import Embedder
from fr_eval.models.shapes import ImageInput


def write_faces(folder, people, *, seed, num_images=3):
    """Writes images of a colour a person."""
    rng = np.random.default_rng(seed)
    for person in people:
        (folder / person).mkdir(parents=True)
        colour = np.random.default_rng(sum(person.encode())).integers(40, 215, 3)
        for number in range(num_images):
            pixels = colour + rng.integers(-20, 20, (16, 16, 3))
            (folder / person / f"{number}.jpg").write_bytes(encode(pixels.astype(np.uint8)))
    return folder


@pytest.fixture
def gallery(tmp_path):
    return write_faces(tmp_path / "gallery", "abcdef", seed=0)


@pytest.fixture
def probes(tmp_path):
    return write_faces(tmp_path / "probes", "abcdxyzuvw", seed=1)


def run(*arguments):
    return CliRunner().invoke(main, ["identify", *map(str, arguments)])


def test_help_shows_an_example():
    result = run("-h")
    assert result.exit_code == 0
    assert "Example: fr-eval identify gallery probes --model model.keras" in result.output


def test_the_table_has_ranks_and_open_set_rates(gallery, probes, tiny_model_path):
    result = run(gallery, probes, "--model", tiny_model_path, "--rank", "6")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["figure", "of", "12", "probes"]
    assert [line.rsplit("  ", 1)[0].strip() for line in lines[2:8]] == [
        *("rank 1", "rank 5", "rank 6", "TPIR@FPIR 1e-1", "TPIR@FPIR 1e-2", "TPIR@FPIR 1e-3")
    ]
    assert lines[4].endswith("100.00 %")
    assert lines[-1] == "gallery: 18 images of 6 people, template max; 18 more probes are of nobody in it"
    assert result.stderr == ""


def test_json_holds_the_whole_curve(gallery, probes, tiny_model_path):
    result = run(gallery, probes, "--model", tiny_model_path, "--json", "--template", "mean", "--no-mirror")
    stored = json.loads(result.stdout)
    assert (stored["template"], stored["num_unmated"]) == ("mean", 18)
    assert len(stored["cmc"]) == 6
    assert stored["cmc"] == sorted(stored["cmc"])


def test_what_was_passed_over_and_equal_files_are_said_on_stderr(gallery, probes, tiny_model_path):
    (gallery / "list.txt").write_text("x")
    (probes / "a" / "copy.jpg").write_bytes((gallery / "a" / "0.jpg").read_bytes())
    result = run(gallery, probes, "--model", tiny_model_path)
    assert "1 files are no images" in result.stderr
    assert "Warning: 1 probes are byte for byte in the gallery as well" in result.stderr
    assert run(gallery, probes, "--model", tiny_model_path, "--quiet").stderr == ""


def test_damaged_images_are_named(gallery, probes, tiny_model_path):
    (probes / "b" / "1.jpg").write_bytes(b"\xff\xd8\xff broken")
    result = run(gallery, probes, "--model", tiny_model_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {probes}/b/1.jpg: not a readable image")


def test_embeddings_without_direction_are_named(gallery):
    def embed(images):  # of 18 images in batches of 4, the last batch has 2
        return np.full((len(images), 4), np.nan if len(images) == 2 else 1, np.float32)

    embedder = Embedder(embed, ImageInput("nhwc", (16, 16), None), 4, "none", "drawn", "drawn")
    with pytest.raises(FaceSetError, match=r"f/1.jpg: expected an embedding with a direction"):
        embed_identities(embedder, read_identities(gallery), batch_size=4, mirror=False, workers=1)


def test_failures_exit_with_one_and_wrong_usage_with_two(gallery, tmp_path, tiny_model_path):
    result = run(gallery, tmp_path / "nowhere", "--model", tiny_model_path)
    assert result.exit_code == 1
    assert "nowhere: there is no such folder" in result.stderr
    assert run(gallery, gallery, "--model", tmp_path / "missing.keras").exit_code == 1
    for arguments in ([], [gallery], [gallery, gallery], [gallery, gallery, "--model", "m", "--template", "median"]):
        assert run(*arguments).exit_code == 2
