# `make demo` and `make test` set up all that they need; PYTHON names another interpreter (3.11 or newer).
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
# The tests run in as many processes as there are cores; `make test SIDE_BY_SIDE=` runs them in one.
SIDE_BY_SIDE ?= -n auto --dist worksteal
# An interpreter with the [bench] extra measures the peers too.
BENCH_PYTHON ?= $(BIN)/python
# On a machine with a GPU nothing is installed and no other folder is made: PYTHON is used as it is,
# for at most so many seconds (a kernel that hangs must not hold the machine).
GPU_TEST_S ?= 230
GPU_BENCH_S ?= 250
# Kernels that were compiled elsewhere are found in build/cubins (`make gpu-kernels`).
GPU_KERNELS = $(if $(wildcard build/cubins),STREAMRNN_CUBIN_DIR=$${STREAMRNN_CUBIN_DIR:-$(CURDIR)/build/cubins})
GPU_PYTHON = $(GPU_KERNELS) PYTHONPATH=$(CURDIR) PYTHONUNBUFFERED=1 timeout -k 10

.PHONY: demo test test-slow check lint types layers coverage bench reliability gpu-kernels test-gpu \
	bench-gpu clean help

help:
	@echo "make demo    the whole job on a simulated board (installs into $(VENV) first)"
	@echo "make test    the tests (installs into $(VENV) first)"
	@echo "make check   lint, types, layers, tests with coverage"
	@echo "make bench   every benchmark of speed; BENCH_PYTHON names an interpreter with the peers"
	@echo "make reliability"
	@echo "             damage, kills, a week, hostile files, ...; ARGS=--quick takes about a minute"
	@echo "make gpu-kernels ARCH=sm_90a"
	@echo "             compiles what a GPU runs into build/cubins, for a machine without the compiler"
	@echo "make test-gpu bench-gpu PYTHON=python3"
	@echo "             tests and benchmarks on a GPU; installs nothing, see docs/performance-gpu.md"

demo: $(VENV)/.run
	@$(BIN)/streamrnn demo $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

test-slow: $(VENV)/.fuzz
	$(BIN)/python -m pytest -m slow $(ARGS)

check: lint types layers coverage

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

layers: $(VENV)/.test
	$(BIN)/lint-imports

coverage: $(VENV)/.test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term --cov-fail-under=90 $(ARGS)

bench: $(VENV)/.run
	$(BENCH_PYTHON) -m benchmarks.all $(ARGS)

# Nothing of it needs a GPU, recordings or a network.
reliability: $(VENV)/.test
	@$(BIN)/python -m benchmarks.reliability $(ARGS)

# Without ARCH for all architectures; the other machine is told by STREAMRNN_CUBIN_DIR=build/cubins.
gpu-kernels: $(VENV)/.cuda
	$(BIN)/python -m streamrnn.kernels.cuda.cubins $(ARCH:%=--architecture %) --into $(or $(INTO),build/cubins)

test-gpu:
	@PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(GPU_PYTHON) $(GPU_TEST_S) $(PYTHON) -m pytest \
		-c tests/gpu/pytest.ini --rootdir=. --confcutdir=tests/gpu -p no:cacheprovider tests/gpu $(ARGS)

bench-gpu:
	@$(GPU_PYTHON) $(GPU_BENCH_S) $(PYTHON) -m benchmarks.gpu_all $(ARGS)

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "streamrnn needs Python 3.11 or newer; none was found" >&2; exit 1; }
	@echo "creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	@echo "installing streamrnn into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	@echo "installing streamrnn with its test tools into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.run

# The fuzzer of the slow tests.
$(VENV)/.fuzz: pyproject.toml | $(VENV)/bin/python
	@echo "installing streamrnn with its test tools and the fuzzer into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,fuzz]'
	@touch $@ $(VENV)/.test $(VENV)/.run

# The CUDA compiler, for the tests that compile for GPUs; needs no GPU and no driver.
$(VENV)/.cuda: pyproject.toml | $(VENV)/bin/python
	@echo "installing the CUDA compiler into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,cuda-compile]'
	@touch $@ $(VENV)/.test $(VENV)/.run

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage*
