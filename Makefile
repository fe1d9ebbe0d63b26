# Each target creates and fills its own .venv; nothing but Python 3.11 or later and make is needed.
PYTHON ?= python3
# MXNet 1.9.1 wants NumPy 1.23, which has no wheels for a later Python.
PYTHON311 ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
MXNET := .venv-mxnet
CLASSIC := .venv-classic
TORCH := .venv-torch
INSIGHTFACE := .venv-insightface
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test conformance check docs benchmarks benchmarks-classic benchmarks-scale benchmarks-huge benchmarks-plan benchmarks-cluster benchmarks-stream benchmarks-evaluation benchmarks-step benchmarks-head benchmarks-devices benchmarks-gpu insightface clean

demo: $(VENV)/.cpu
	$(BIN)/python demo.py

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# Against real MXNet, which the tests run in an environment of its own.
conformance: $(VENV)/.dev $(MXNET)/.installed
	$(BIN)/python -m pytest tests/conformance $(PYTEST_ARGS)

# Exported ONNX files in the real package, which the tests run in an environment of its own.
insightface: $(VENV)/.dev $(INSIGHTFACE)/.installed
	$(BIN)/python -m pytest tests/insightface $(PYTEST_ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/make_cli_reference.py --check

docs: $(VENV)/.dev
	$(BIN)/python docs/make_cli_reference.py

benchmarks: $(VENV)/.dev
	$(BIN)/python benchmarks/conversion.py
	$(BIN)/python -m pytest --benchmarks -m benchmark

benchmarks-classic: $(VENV)/.dev $(CLASSIC)/.installed
	$(BIN)/python benchmarks/against_classic.py

benchmarks-scale: $(VENV)/.dev
	$(BIN)/python benchmarks/scale.py

benchmarks-huge: $(VENV)/.dev
	$(BIN)/python benchmarks/huge.py

benchmarks-plan: $(VENV)/.dev
	$(BIN)/python benchmarks/plan.py

benchmarks-cluster: $(VENV)/.dev
	$(BIN)/python benchmarks/cluster.py

benchmarks-stream: $(VENV)/.dev
	$(BIN)/python benchmarks/stream.py

benchmarks-evaluation: $(VENV)/.dev
	$(BIN)/python benchmarks/evaluation.py

benchmarks-step: $(VENV)/.dev $(TORCH)/.installed
	$(BIN)/python benchmarks/step.py

benchmarks-gpu: $(VENV)/.dev $(TORCH)/.installed
	$(BIN)/python benchmarks/gpu.py

benchmarks-head: $(VENV)/.dev
	$(BIN)/python benchmarks/head.py

benchmarks-devices: $(VENV)/.dev
	$(BIN)/python benchmarks/devices.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; set PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The venv module is missing: apt install python3-venv"; exit 1; }

$(VENV)/.cpu: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cpu]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cpu,dev]'
	@touch $@ $(VENV)/.cpu

$(MXNET)/bin/python $(CLASSIC)/bin/python:
	@$(PYTHON311) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "MXNet needs Python 3.11, no other; set PYTHON311=/path/to/python3.11"; exit 1; }
	@$(PYTHON311) -m venv $(@D)/..

# OpenCV is what MXNet's pack_img encodes with.
$(MXNET)/.installed: $(MXNET)/bin/python pyproject.toml
	$(MXNET)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[mxnet]' opencv-python-headless
	$(MXNET)/bin/python -c 'import mxnet, cv2'
	@touch $@

$(CLASSIC)/.installed: $(CLASSIC)/bin/python
	$(CLASSIC)/bin/python -m pip install --quiet --disable-pip-version-check tensorflow-cpu==2.15.1 numpy==1.23.5 mxnet==1.9.1
	$(CLASSIC)/bin/python -c 'import mxnet, tensorflow'
	@touch $@

$(TORCH)/.installed: $(VENV)/bin/python
	@$(PYTHON) -m venv $(TORCH)
	$(TORCH)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@touch $@

$(INSIGHTFACE)/.installed: $(VENV)/bin/python
	@$(PYTHON) -m venv $(INSIGHTFACE)
	$(INSIGHTFACE)/bin/python -m pip install --quiet --disable-pip-version-check insightface==2.1
	$(INSIGHTFACE)/bin/python -c 'import insightface.model_zoo'
	@touch $@

clean:
	rm -rf $(VENV) $(MXNET) $(CLASSIC) $(TORCH) $(INSIGHTFACE) build dist demo
