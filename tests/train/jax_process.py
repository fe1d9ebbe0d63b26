"""Processes under JAX, on devices that the processor plays, and as if a package, TensorFlow by default, were not installed."""

import os
import subprocess
import sys

# As Python says it where a package is not installed; Keras takes a module of None for one that is.
MISSING = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def run_code(code, *arguments, devices=1, without="tensorflow", optimize=False, cwd=None):
    """Runs Python code with arguments; gives the ended process."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": str(int(not optimize)),  # else nearly all of the time goes into compiling
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    command = [sys.executable, "-c", MISSING.format(name=without) + code, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def run_script(path, *arguments, **options):
    """Runs a script that must end well; gives what it printed."""
    code = f"import runpy; runpy.run_path({str(path)!r}, run_name='__main__')"
    ended = run_code(code, *arguments, **options)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
