"""Heads, layers, losses and samples on JAX: their tests once more, in a process of their own, since a process has one backend."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SAME_ON_ANY = "refused or any_labels or table or defaults or needs or survives"  # tests that no backend has a part in
OTHERS = (
    *(f"model/test_{name}.py" for name in ("heads", "layers", "rows", "class_order", "class_sample")),
    "losses/test_margins.py",
)
ANEW = "found_again or naive_loop or over_many_keys"  # with shapes of their own each time: compiled for many minutes


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_heads_layers_and_losses_pass_their_tests_on_jax():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed: pip install jax")
    own = [
        path
        for path in sorted((ROOT / "tests" / "train" / "losses").glob("test_losses_*.py"))
        if path != Path(__file__)
    ]
    others = [ROOT / "tests" / "train" / name for name in OTHERS]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"not ({SAME_ON_ANY} or {ANEW})"]
    # Nearly all of the time goes into compiling small functions.
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    ended = subprocess.run(
        [*command, *map(str, own + others)], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "reads a TensorFlow graph" in ended.stdout  # skipped: so the backend was another
