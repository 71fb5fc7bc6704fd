# Three commands do everything on a fresh machine: `make demo`, `make report` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The versions the tests passed with, where this Python has a list of them.
PY_TAG := $(shell $(PYTHON) -c 'import sys; print("py%d%d" % sys.version_info[:2])')
CONSTRAINTS := $(wildcard constraints/$(PY_TAG).txt)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
WORKERS ?= 2

.PHONY: demo report test test-full lint benchmark golden clean

demo: $(VENV)/base
	@mkdir -p out
	$(BIN)/python -m pipelines.synthesize demo --out out/demo.zarr
	$(BIN)/python -m pipelines.preview out/demo.zarr --out out/demo.png --force
	@echo
	@echo "data set:        out/demo.zarr   (open it with synth.open_store, or with stock zarr)"
	@echo "preview picture: out/demo.png"

report: $(VENV)/report
	$(BIN)/python -m pipelines.run quickstart --out out/quickstart
	@echo
	@echo "report: out/quickstart/report.html   (open it in a browser; report.json and report.csv beside it hold its numbers)"

test: $(VENV)/test
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

test-full: $(VENV)/test
	$(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: $(VENV)/test
	$(BIN)/python tests/golden/make_golden.py

clean:
	rm -rf $(VENV) out

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Each stamp is remade when the requirements change.
$(VENV)/base: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/report: $(VENV)/base
	$(PIP) --editable ".[train,report]"
	@touch $@

$(VENV)/test: $(VENV)/base
	$(PIP) --editable ".[test,train]"
	@touch $@

$(VENV)/lint: $(VENV)/test
	$(PIP) --editable ".[lint]"
	@touch $@
