# Every target works from a fresh clone: the virtual environment is made on first use and again when a pin changes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
BROWSER := $(VENV)/.browser_ready
CHROMIUM ?= $(shell command -v chromium || command -v google-chrome)
EXAMPLE := docs/contract/examples
PLUGIN := integrations/vendure
SHOP   := sandbox/vendure
OMS    ?= built_in
DASHBOARD := node $(SHOP)/dist/dashboard/.ready

.PHONY: help demo up test test-sandbox test-integrations integrations-short vendure vendure-dashboard node test-browser test-dashboard chromium pictures test-faults test-without-cache bench histories contract texts where check pins clean
help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Say which: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (first run only; needs a network, about a minute) …"
	@{ $(BIN)/python -m pip install --no-color --progress-bar off --disable-pip-version-check --require-hashes \
	    -r requirements-dev.txt 2>&1; echo "exit $$?"; } | awk ' \
	    /^Collecting/ { printf "\r  %d packages fetched", ++n; fflush() } \
	    /^Installing collected/ { printf "\n  installing them …\n"; fflush() } \
	    /^(ERROR|error|WARNING: Retrying)/ { print } \
	    /^exit/ { if ($$2) print "The packages could not be installed; is there a network?"; exit $$2 }'
	@touch $@

demo: $(READY)  ## cancel the sample orders on real parts, show the table, end
	@$(BIN)/python -m sandbox.demo

up: $(and $(filter vendure,$(OMS)),$(DASHBOARD)) $(READY)  ## the same, and stay for people; OMS=vendure: over Vendure
	@$(BIN)/python -m sandbox.demo --stay --oms $(OMS)

test: $(READY)  ## every test that belongs to a change
	@$(BIN)/python -m pytest -n 3 -m "not long" --ignore=tests/integrations --ignore=tests/browser

test-sandbox: $(READY)  ## the workflow tests, in Temporal's workflow sandbox
	@$(BIN)/python -m pytest -n 2 tests/workflows --full-sandbox

INTEGRATIONS := node $(READY) $(EXAMPLE)/node_modules/.ready $(SHOP)/dist/.ready
test-integrations: $(INTEGRATIONS) $(DASHBOARD)  ## what needs Node.js: a Vendure shop, the TypeScript example
	@cd $(PLUGIN) && npm test --silent
	@$(BIN)/python -m pytest tests/integrations

integrations-short: $(INTEGRATIONS)  ## test-integrations without the long tests
	@$(BIN)/python -m pytest tests/integrations -m "not long"

vendure: $(SHOP)/dist/.ready  ## install and build the tests' Vendure shop (Node.js 20)

node:
	@command -v npm > /dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || \
	    { echo "Node.js 20 or newer is needed, with npm; install it and try again."; exit 1; }

# Counts what npm fetches, and ends as it does.
define npm
{ npm $(1) --no-audit --no-fund --loglevel http 2>&1; echo "exit $$?"; } | awk ' \
	    /^npm http fetch .*\.tgz / { printf "\r  %d packages fetched", ++n; fflush() } \
	    /^exit/ { if (n) print ""; if ($$2) print "$(2) could not be installed; is there a network?"; exit $$2 }'
endef

# The packages of a folder as its lock file says.
%/node_modules/.ready: %/package-lock.json | node
	@echo "Installing the pinned packages into $*/node_modules (first run only; needs a network, about half a minute) …"
	@cd $* && $(call npm,ci --omit=optional,The packages of $*)
	@touch $@

$(PLUGIN)/dist/.ready: $(PLUGIN)/node_modules/.ready $(wildcard $(PLUGIN)/src/*.ts) $(wildcard $(PLUGIN)/tsconfig*.json)
	@cd $(PLUGIN) && npm run --silent build
	@touch $@

# npm copies what is built of the plugin, as it would for a merchant who installs it.
$(SHOP)/node_modules/.ready: $(PLUGIN)/dist/.ready

# The dashboard is larger than all the rest, and only needed to look at the shop.
vendure-dashboard: $(SHOP)/dist/dashboard/.ready  ## vendure and its dashboard (some minutes, 800 MB)

$(SHOP)/node_modules/.dashboard_ready: $(SHOP)/node_modules/.ready
	@echo "Installing Vendure's dashboard into $(SHOP)/node_modules (first run only; needs a network, about a minute) …"
	@cd $(SHOP) && $(call npm,install --no-save --include=optional,The packages of the dashboard)
	@touch $@

$(SHOP)/dist/dashboard/.ready: $(SHOP)/node_modules/.dashboard_ready $(SHOP)/vite.config.mts | $(SHOP)/dist/.ready
	@echo "Building Vendure's dashboard (first run only; about a minute and a half) …"
	@cd $(SHOP) && npm run --silent build-dashboard > /dev/null
	@touch $@

$(SHOP)/dist/.ready: $(SHOP)/node_modules/.ready $(wildcard $(SHOP)/src/*.ts) $(SHOP)/tsconfig.json
	@cd $(SHOP) && npm run --silent build
	@touch $@

$(BROWSER): $(READY) requirements-browser.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-browser.txt
	@touch $@

test-browser: chromium  ## the Temporal UI as a clerk uses it, in a Chromium
	@CHROMIUM="$(CHROMIUM)" $(BIN)/python -m pytest tests/browser --ignore=tests/browser/vendure

test-dashboard: $(DASHBOARD) chromium  ## Vendure's dashboard, in a Chromium; needs Node.js too
	@CHROMIUM="$(CHROMIUM)" $(BIN)/python -m pytest tests/browser/vendure

chromium: $(READY)
	@test -n "$(CHROMIUM)" || { echo "A Chromium is needed: install chromium or google-chrome, or say where it is: make $(MAKECMDGOALS) CHROMIUM=…"; exit 1; }
	@$(MAKE) --no-print-directory $(BROWSER)

pictures: export PICTURES = 1
pictures: test-browser test-dashboard  ## both of these, and write docs/pictures/*.png

test-faults: $(READY)  ## longer runs: properties on more inputs, every harness
	@$(BIN)/python -m pytest -n 2 --ignore=tests/faults --ignore=tests/integrations --ignore=tests/browser -m properties --hypothesis-profile=faults
	@$(BIN)/python -m pytest -n 2 tests/faults tests/e2e -m "long or properties" --hypothesis-profile=faults
	@rm -rf .run/test-faults
	@$(BIN)/python -m tests.faults.full --results .run/test-faults --short

test-without-cache: $(READY)  ## the workflow tests, by workers without a cache
	@WITHOUT_CACHE=1 REPLAY_HISTORIES=1 $(BIN)/python -m pytest -n 2 tests/workflows -m "not long" --timeout 300

bench: $(READY)  ## measure what a run costs, write docs/performance.md
	@$(BIN)/python -m benchmarks.floor

histories: $(READY)  ## record the histories of new paths
	@RECORD_HISTORIES=1 $(BIN)/python -m pytest -q -n 2 tests/workflows

contract: $(READY)  ## write docs/contract/*.schema.json from the messages
	@$(BIN)/python -m tests.contract.schemas

texts: $(READY)  ## bring texts/ up to date; then translate what is empty
	@$(BIN)/python -m tests.texts.catalogues

where: $(READY)  ## write docs/where.md from the comments `# Rule: …`
	@$(BIN)/python -m tests.where

check: $(READY)  ## lint, format, strict types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

pins: $(READY)  ## recompute the pinned packages from pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --extra server pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --extra sandbox pyproject.toml -o requirements-sandbox.txt -c requirements.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --extra dev pyproject.toml -o requirements-dev.txt -c requirements-sandbox.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --extra browser pyproject.toml -o requirements-browser.txt -c requirements-dev.txt

clean:  ## remove what the other targets made
	@rm -rf $(EXAMPLE)/node_modules $(PLUGIN)/node_modules $(PLUGIN)/dist $(PLUGIN)/build $(SHOP)/node_modules $(SHOP)/dist
	@rm -rf $(VENV) .run .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
