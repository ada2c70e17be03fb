# `make demo` and `make test` set up everything they need; the second time they start at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTERNAL := examples/trl_ppo/.venv/trl-1.12.0
PARALLEL := -n auto --dist loadfile

.PHONY: demo demo-full test test-all lint install browser clean

demo: $(READY)
	$(BIN)/easyds demo

demo-full: $(READY)
	$(BIN)/easyds demo --full

test: lint
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: lint browser $(EXTERNAL)
	$(BIN)/python -m pytest $(PARALLEL)

# The slow tests of the app look at it in Chromium, with a Chinese font. Where there is no apt-get, install both by hand.
SUDO := $(shell test "$$(id -u)" = 0 || command -v sudo)
browser:
	@{ command -v chromium || command -v google-chrome; } >/dev/null && fc-list :lang=zh | grep -q . \
	|| { $(SUDO) apt-get update && $(SUDO) apt-get install -y chromium fonts-noto-cjk; } \
	|| { echo "the slow tests need chromium (or google-chrome) and a Chinese font such as fonts-noto-cjk: install them"; exit 1; }

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(EXTERNAL): examples/trl_ppo/environment.py $(READY)
	$(BIN)/python $<
	touch $@

clean:
	rm -rf $(VENV) examples/trl_ppo/.venv demo runs build dist
