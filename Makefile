# make demo       forecasts a real market, from nothing
# make test       runs the tests, without those marked slow: 5 minutes
# make test-slow  runs the slow ones: real days, launch scripts, notebooks
# make test-all   runs both
# make docs       builds the documentation site, out/docs/index.html
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

PYTEST := $(RUN) -m pytest --numprocesses=auto --dist=loadscope

.PHONY: demo test test-slow test-all lint docs train clean

demo: $(VENV)/demo
	$(RUN) launch/forecast.py --out=out/forecast
	@echo "The picture: out/forecast.png"

test: $(VENV)/test
	$(PYTEST) -m "not slow"
	@echo "The rest (real days, scripts, notebooks): make test-slow"

# Compiled as users' programs are; tests/conftest.py says how the quick ones are.
test-slow: $(VENV)/test
	XLA_FLAGS= $(PYTEST) -m slow

test-all: test test-slow

lint: $(VENV)/test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

# Warnings are errors: a link that leads nowhere is one.
docs: $(VENV)/docs
	$(RUN) docs/generate_api.py
	$(RUN) -m sphinx -W --keep-going -q docs out/docs
	@echo "The site: out/docs/index.html"

# The run that made the model in mars_jax/demo; half an hour on two cores.
train: $(VENV)/demo
	$(RUN) launch/train.py --config=configs/demo.py --workdir=out/demo

clean:
	rm -rf $(VENV) out build *.egg-info .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mars_jax needs Python 3.11 or newer; try: make PYTHON=python3.11"; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[data,plot]'
	@touch $@

$(VENV)/test: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(VENV)/docs: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[data,plot,docs]'
	@touch $@
