import subprocess
import sys

CODE = """
import sys
sys.modules["tensorflow"] = None
from fr_eval.startup import import_tensorflow
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
    code = "from fr_eval.startup import import_tensorflow; import_tensorflow(); import tensorflow; print(tensorflow.__name__)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("tensorflow\n", "")
