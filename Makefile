# One way to do each daily thing. Needs Python 3.11 or 3.12, make, and a network to the usual
# package index for the first time.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin
KERNELS := $(CURDIR)/.pytest_cache/d/crowdstream
SYSTEM_PACKAGES := libportaudio2 libasound2 jackd2 liblo-tools systemd chromium

.PHONY: help demo test warm coverage lint check bench clean system

help:
	@echo "make demo               a night in three minutes; open out/demo/report.html"
	@echo "make demo VIDEO=my.mp4  the same with your own clip"
	@echo "make test               all tests; SYSTEM=1 installs JACK, a browser and so on first"
	@echo "make coverage           the same, and which lines no test has run; half as slow again"
	@echo "make lint               ruff and mypy"
	@echo "make check              config.toml and every recipe"
	@echo "make bench              the figures of the README, beside their rivals"

$(VENV)/.runtime: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; install it first"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; ok = (3, 11) <= v < (3, 13); ok or print(f"Python 3.11 or 3.12 is needed; $(PYTHON) is {v[0]}.{v[1]} (make PYTHON=python3.11)"); sys.exit(not ok)'
	@echo "making $(VENV): about 300 MB to download, 1 GB on disk, once"
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --disable-pip-version-check --progress-bar on -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	$(RUN)/python -m pip install --disable-pip-version-check --progress-bar on -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.runtime
	@$(RUN)/crowdstream demo $(if $(VIDEO),--video "$(VIDEO)") $(ARGS)

system:
	@command -v apt-get > /dev/null || { echo "SYSTEM=1 knows only apt; install: $(SYSTEM_PACKAGES)"; exit 1; }
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(SYSTEM_PACKAGES)

test: $(if $(SYSTEM),system) $(VENV)/.dev warm
	NUMBA_CACHE_DIR=$(KERNELS)/numba $(RUN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

warm: $(VENV)/.dev
	@echo "compiling all kernels and composing the built-in music, once: a minute or two"
	@CROWDSTREAM_CACHE=$(KERNELS) $(RUN)/crowdstream doctor --warm > /dev/null

coverage: $(VENV)/.dev warm
	@rm -f .coverage .coverage.*
	NUMBA_CACHE_DIR=$(KERNELS)/numba $(RUN)/python -m coverage run -m pytest -q -n 2 --dist loadfile $(ARGS)
	@$(RUN)/python -m coverage combine -q
	@$(RUN)/python -m coverage report --skip-covered --sort=cover --fail-under=80 | tail -n 45

lint: $(VENV)/.dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

check: $(VENV)/.runtime
	$(RUN)/crowdstream check

bench: $(VENV)/.runtime
	$(RUN)/crowdstream bench $(ARGS)

clean:
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
