"""Real MXNet as a fixture: one process for all tests, since its import costs a second."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ENVIRONMENT = Path(__file__).parents[2] / ".venv-mxnet"


@pytest.fixture(scope="session")
def mxnet() -> Iterator[Callable[..., Any]]:
    """Calls a function of `mxnet_side.py` by name; what fails there is raised here, with MXNet's traceback.

    Tests with it are skipped where the environment is missing.
    """
    if not (ENVIRONMENT / ".installed").is_file():
        pytest.skip("no MXNet: make conformance installs it in an environment of its own")
    command = [ENVIRONMENT / "bin/python", Path(__file__).with_name("mxnet_side.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def call(function: str, **arguments: Any) -> Any:
            print(json.dumps({"function": function, "arguments": arguments}), file=process.stdin, flush=True)
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"MXNet's process died in {function}, with exit code {process.wait()}")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(answer["error"])
            return answer["result"]

        yield call
