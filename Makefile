# make demo: everything from videos to accuracy. Needs Python >= 3.10 and make; ffmpeg comes with a Python package.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt --editable
DEMO_OUTPUT ?= demo-output
PYTEST_FLAGS ?=
# Tests of pure code, and of the documents: they start no Ray, decode no video and train no model.
QUICK := $(addprefix tests/,preprocess/test_crops.py preprocess/test_plan.py preprocess/test_sampling.py \
  preprocess/test_views.py preprocess/config preprocess/annotations/test_formats.py \
  preprocess/annotations/test_lists.py preprocess/decode/test_timeline.py shards/test_layouts.py shards/test_format.py \
  shards/test_partition.py shards/test_configurations.py superimage/evaluation/test_average_precision.py \
  scripts/test_imports.py docs/test_architecture_page.py docs/test_configuration_page.py docs/test_layouts_document.py)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo quick test lint bench clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/installed  ## make videos, convert, train, evaluate: minutes on two cores (DEMO_OUTPUT=demo-output)
	$(BIN)/python -m demo --output "$(DEMO_OUTPUT)"

quick: $(VENV)/installed-test  ## run the tests of the pure code: under a minute
	$(BIN)/python -m pytest -q $(PYTEST_FLAGS) $(QUICK)

test: quick  ## run the quick tests, then all others but those marked slow
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: $(VENV)/installed-dev  ## check the code with ruff, and its types with mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

bench: $(VENV)/installed  ## measure against every rival installed; writes benchmarks/README.md (pip install -e .[bench])
	$(BIN)/python -m benchmarks

clean:  ## delete what make made: .venv, demo-output, caches
	rm -rf $(VENV) demo-output build *.egg-info .hypothesis .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: installed once, and again when a version or a dependency changes.
$(VENV)/installed: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) .
	@touch $@

$(VENV)/installed-%: $(VENV)/installed
	$(INSTALL) ".[$*]"
	@touch $@

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { echo "make: no $(PYTHON) here; name a Python >= 3.10: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "make: $$("$(PYTHON)" --version) is too old, 3.10 or newer is needed; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) comes without venv or ensurepip; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
