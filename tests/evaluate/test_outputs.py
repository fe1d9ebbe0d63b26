"""All that `fr-eval` writes: what is never replaced, whatever the command and whatever lies in its way."""

import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from tests.made_pairs import encode

from fr_eval.cli import main
from fr_eval.export.sample_images import draw_images


@dataclass(frozen=True)
class Output:
    """An output of a command.

    Attributes:
        command: the name of the sub-command; "" for the job of `fr-eval` itself.
        option: what names it.
        ending: of its name.
        words: the command, but for the output; of a folder of sources.
        sources: what it reads there.
        inside: files in those.
        is_folder: whether the output is one.
        is_index: whether it is replaced without `--overwrite`, but only where it is an index.
    """

    command: str
    option: str
    ending: str
    words: Callable[[Path], list]
    sources: tuple[str, ...]
    inside: tuple[str, ...]
    is_folder: bool = False
    is_index: bool = False

    def run(self, folder: Path, path: Path):
        return invoke(*self.words(folder), self.option, path, *([] if self.is_index else ["--overwrite"]))


def invoke(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def job(option, ending):
    def words(folder):
        models = ["--model", folder / f"model{ending}", "--model", folder / f"served{ending}"]
        return [
            *models,
            "--embeddings",
            folder / f"rows{ending}",
            folder / f"pairs{ending}",
            folder / f"shards{ending}",
        ]

    return Output("", option, ending, words, ("model", "served", "rows", "pairs", "shards"), ("served", "shards"))


def export(format_, ending):
    def words(folder):
        return ["export", folder / f"model{ending}", "--format", format_, "--shards", folder / f"shards{ending}"]

    sources, inside = ("model", "shards"), ("shards",)
    return Output("export", "--output", ending, words, sources, inside, is_folder=format_ == "saved_model")


def embed(folder):
    return ["embed", folder / "faces.npz", "--model", folder / "model.npz"]


def search(folder):
    return ["search", folder / "rows.faiss", folder / "image.faiss", "--model", folder / "served.faiss"]


OUTPUTS = {
    "csv": job("--csv", ".csv"),
    "markdown": job("--markdown", ".md"),
    "report": job("--report", ".html"),
    "embed": Output("embed", "--output", ".npz", embed, ("faces", "model"), ("faces",)),
    "onnx": export("onnx", ".onnx"),
    "tflite": export("tflite", ".tflite"),
    "saved_model": export("saved_model", ""),
    "index": Output("search", "--index", ".faiss", search, ("rows", "image", "served"), ("served",), is_index=True),
}
FOLDERS = ("served", "shards", "faces")


@pytest.fixture(params=OUTPUTS)
def output(request):
    if request.param == "index":
        pytest.importorskip("faiss")
    return OUTPUTS[request.param]


@pytest.fixture
def folder(tmp_path, output):
    """Sources that nothing could read: who looks at them before the output fails otherwise."""
    for name in {*output.sources, *output.inside}:
        path = tmp_path / f"{name}{output.ending}"
        if name in FOLDERS:
            (path / "deep").mkdir(parents=True)
            path = path / "deep" / f"file{output.ending}"
        path.write_text(name)
    (tmp_path / "sub").mkdir()
    return tmp_path


def describe(folder):
    """All that is in a folder, with what a file holds and what would tell that it was written anew."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[path] = (status.st_mode, status.st_ino, status.st_nlink, status.st_mtime_ns, content)
    return found


def assert_refused(output, folder, path, message):
    before = describe(folder)
    result = output.run(folder, path)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith(f"Error: {path}: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert describe(folder) == before


def test_every_path_of_every_command_is_known_here_as_an_output_or_as_a_source():
    sources = {
        "": {"models", "embeddings", "bins"},
        "compare": {"images", "model_path", "bin_path"},
        "embed": {"folder", "model_path"},
        "export": {"model", "shards"},
        "identify": {"gallery", "probes", "model_path"},
        "search": {"embeddings", "queries", "model_path"},
        "templates": {"folder", "model_path"},
    }
    outputs = {(output.command, output.option) for output in OUTPUTS.values()}
    commands = {"": main, **main.commands}
    assert set(commands) == set(sources)
    for name, command in commands.items():
        for param in command.params:
            if isinstance(param.type, click.Path):
                assert (param.name in sources[name]) != ((name, param.opts[0]) in outputs), (name, param.name)


@pytest.mark.parametrize("way", ["itself", "through ..", "link", "hard link", "link to a link"])
def test_a_source_is_never_replaced(output, folder, way):
    for number, name in enumerate(output.sources):
        source = folder / f"{name}{output.ending}"
        path = folder / f"{number}{output.ending}"
        if way == "itself":
            path = source
        elif way == "through ..":
            path = folder / "sub" / ".." / source.name
        elif way == "link":
            path.symlink_to(source)
        elif way == "link to a link":
            (folder / "sub" / str(number)).symlink_to(source)
            path.symlink_to(folder / "sub" / str(number))
        elif source.is_dir():
            continue
        else:
            path.hardlink_to(source)
        assert_refused(output, folder, path, "is read by this command, and cannot be its output as well")


@pytest.mark.parametrize("way", ["itself", "through ..", "link", "hard link"])
def test_a_file_of_a_source_is_never_replaced(output, folder, way):
    for number, name in enumerate(output.inside):
        source = folder / f"{name}{output.ending}" / "deep"
        source = source if output.is_folder else source / f"file{output.ending}"
        path = folder / f"{number}{output.ending}"
        if way == "itself":
            path = source
        elif way == "through ..":
            path = source.parent / ".." / source.parent.name / source.name
        elif way == "link":
            path.symlink_to(source)
        elif source.is_dir():
            continue
        else:
            path.hardlink_to(source)
        assert_refused(output, folder, path, "belongs to")


@pytest.mark.parametrize("by_link", [False, True])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket"])
def test_what_is_no_file_is_never_replaced(output, folder, kind, by_link, monkeypatch):
    path = folder / f"it{output.ending}"
    if kind == "folder":
        path.mkdir()
        (path / "letter").write_text("dear")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(folder)  # the path must be short
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, Path("/dev/null").stat().st_rdev)
        except PermissionError:
            pytest.skip("devices can be made by root alone")
    if by_link:
        (folder / f"link{output.ending}").symlink_to(path)
        path = folder / f"link{output.ending}"
    (folder / f"model{output.ending}").unlink(missing_ok=True)
    wanted = "expected an export" if output.is_folder and kind == "folder" else f"received a {kind}"
    assert_refused(output, folder, path, wanted)


def test_the_null_device_is_never_replaced(output, folder):
    if output.ending in {".npz", ".onnx", ".tflite"}:
        path = folder / f"null{output.ending}"
        path.symlink_to("/dev/null")
    else:
        path = Path("/dev/null")
    assert_refused(output, folder, path, "received a device")
    assert stat.S_ISCHR(Path("/dev/null").lstat().st_mode)


def test_a_file_that_is_there_is_replaced_only_when_asked_and_never_by_a_folder(output, folder):
    path = folder / f"it{output.ending}"
    path.write_text("mine")
    if output.is_folder:
        assert_refused(output, folder, path, "expected a folder, or nothing; received a file")
        return
    if output.is_index:
        assert_refused(output, folder, path, "expected an index of `fr-eval search`; received another file")
        return
    before = describe(folder)
    result = invoke(*output.words(folder), output.option, path)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {path}: exists already. Replace it with --overwrite, or choose another path.\n"
    assert describe(folder) == before


@pytest.mark.parametrize("place", ["missing", "file", "circle", "x" * 300])
def test_where_nothing_can_be_written_that_is_said_before_any_work(output, folder, place):
    (folder / "file").write_text("mine")
    (folder / "circle").symlink_to("circle")
    before = describe(folder)
    for path in (folder / place / f"it{output.ending}", folder / f"{place}{output.ending}"):
        if place in {"missing", "file", "circle"} and path.parent == folder:
            continue
        result = output.run(folder, path)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {path}: ")
        assert "its folder does not exist" in result.stderr or "cannot be written" in result.stderr
        assert result.stderr.count("\n") == 1
    assert describe(folder) == before


@pytest.mark.parametrize("way", ["itself", "through ..", "link", "hard link", "missing, through a link"])
@pytest.mark.parametrize("options", [("csv", "markdown"), ("markdown", "report"), ("csv", "report")])
def test_two_outputs_are_never_one_file(tmp_path, options, way):
    (tmp_path / "sub").mkdir()
    first, second = tmp_path / "first", tmp_path / "second"
    if way == "itself":
        second = first
    elif way == "through ..":
        second = tmp_path / "sub" / ".." / "first"
    elif way == "missing, through a link":
        second.symlink_to(first)
    else:
        first.write_text("mine")
        (second.symlink_to if way == "link" else second.hardlink_to)(first)
    before = describe(tmp_path)
    named = [f"--{option}" for option in options]
    sources = ("--model", tmp_path / "missing.keras", tmp_path / "missing.bin")
    result = invoke(named[0], first, named[1], second, *sources, "--overwrite")
    assert result.exit_code == 1
    assert f"{second}: is named by --" in result.stderr
    assert all(option in result.stderr for option in named)
    assert describe(tmp_path) == before


@pytest.fixture
def real_words(tmp_path, tiny_model_path, bin_path):
    """The words of a command that ends well, but for the output."""

    def find(output):
        pixels = draw_images(4, size=(16, 16), seed=3)
        (tmp_path / "faces").mkdir()
        for number, image in enumerate(pixels):
            (tmp_path / "faces" / f"{number}.png").write_bytes(encode(image, "PNG"))
        model = ["--model", tiny_model_path]
        if output.command == "embed":
            return ["embed", tmp_path / "faces", *model]
        if output.command == "export":
            return ["export", tiny_model_path, "--format", output.words(tmp_path)[3]]
        if output.command == "search":
            assert invoke("embed", tmp_path / "faces", *model, "--output", tmp_path / "rows.npz").exit_code == 0
            return ["search", tmp_path / "rows.npz", tmp_path / "faces" / "1.png", *model]
        return [*model, bin_path, "--bootstrap", "0"]

    return find


def test_drafts_and_neighbours_stay_and_an_own_result_is_replaced_when_asked(output, real_words, tmp_path):
    for package in {".onnx": ("tf2onnx", "onnxruntime"), ".tflite": ("ai_edge_litert",)}.get(output.ending, ()):
        pytest.importorskip(package)
    path = tmp_path / f"it{output.ending}"
    words = [*real_words(output), output.option, path]
    for name in (f"it{output.ending}.incomplete", f"it{output.ending}.abcd1234.incomplete", "it", "it.old"):
        if name != path.name:
            (tmp_path / name).mkdir()
            (tmp_path / name / path.name).write_text("mine")
    before = describe(tmp_path)
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    written = {name: value for name, value in describe(tmp_path).items() if name not in before}
    assert all(name == path or path in name.parents for name in written)
    assert path in written
    assert invoke(*words).exit_code == (0 if output.is_index else 2)
    assert {name: value for name, value in describe(tmp_path).items() if name not in before} == written
    if output.is_index:
        np.savez(tmp_path / "rows.npz", **{**np.load(tmp_path / "rows.npz"), "model": np.array("other")})
    again = invoke(*words, *([] if output.is_index else ["--overwrite"]))
    assert again.exit_code == 0, again.output
    after = describe(tmp_path)
    assert path.lstat().st_ino != written[path][1]
    assert {name for name in after if name not in before} >= {path}
    unchanged = [name for name in before if not (output.is_index and name.name == "rows.npz")]
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert all(name in before or name == path or path in name.parents for name in after)
