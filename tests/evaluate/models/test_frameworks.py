import subprocess
import sys

import pytest

from fr_eval.errors import MissingPackageError
from fr_eval.models.frameworks import import_extra

CODE = """
import sys
sys.modules["tensorflow"] = None
from fr_eval.models.frameworks import import_tensorflow
from fr_eval.errors import MissingTensorFlowError
try:
    import_tensorflow()
except MissingTensorFlowError as error:
    print(error)
"""


def test_a_missing_tensorflow_is_said_with_what_to_install():
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert "pip install 'fr-toolkit[cpu]'" in ended.stdout
    assert ended.stderr == ""


def test_tensorflow_is_imported_without_its_chatter():
    code = "import fr_eval.models.frameworks as f; f.import_tensorflow(); import tensorflow; print(tensorflow.__name__)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("tensorflow\n", "")


def test_a_missing_package_of_an_extra_is_said_with_the_extra():
    assert import_extra("json.decoder", extra="onnx", purpose="").JSONDecoder
    for name in ("no_such_package", "no_such_package.part"):
        with pytest.raises(
            MissingPackageError, match=r"^X needs no_such_package, .* pip install 'fr-toolkit\[onnx\]'$"
        ):
            import_extra(name, extra="onnx", purpose="X needs")


def test_a_package_that_lacks_another_one_keeps_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import what_it_needs")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        import_extra("half_installed", extra="onnx", purpose="")


@pytest.mark.parametrize(
    ("ending", "shown"), [("pass", ""), ("raise OSError", "chatter\n"), ("import no_such_package", "")]
)
def test_what_is_written_below_python_is_held_back_unless_it_fails(ending, shown):
    code = "import contextlib, os\nfrom fr_eval.models.frameworks import hold_stderr\n"
    code += f"with contextlib.suppress(Exception), hold_stderr():\n    os.write(2, b'chatter\\n')\n    {ending}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == shown


def test_what_keras_may_use_and_nothing_here_needs_is_left_out_of_its_import_and_there_afterwards():
    code = "import sys; from fr_eval.models.frameworks import import_keras; import_keras()\n"
    code += "print(sorted({'jax', 'matplotlib', 'pandas', 'sklearn'} & set(sys.modules)))\n"
    code += "import matplotlib, pandas, sklearn; print('there')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("[]\nthere\n", "")
