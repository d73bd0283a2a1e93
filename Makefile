# `make demo` and `make test` set themselves up: a virtual environment in .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The CPU build of PyTorch where pip's own set-up offers it; elsewhere name PyTorch's CPU index here (README, Set-up).
TORCH_INDEX ?=
TORCH_PIN := $(shell grep '^torch==' constraints.txt)

.PHONY: help demo test check wheel clean

help:
	@echo "make demo   the whole SuperCorrect method, offline, in about five minutes on two CPU cores"
	@echo "make test   the tests"
	@echo "make check  ruff and mypy --strict"
	@echo "make wheel  build the wheel into dist/"

$(STAMP): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once, a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "redink needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "  PyTorch ($(TORCH_PIN))"
	@$(BIN)/python -m pip install --quiet $(TORCH_PIN) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	@echo "  everything else"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,serve-test]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/redink demo

test: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=90

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

wheel: $(STAMP)
	@$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) dist build
