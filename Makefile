# A newcomer needs four targets: demo, test, bench, lint. Each sets up what it needs.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What serves needs READY alone; what tests, lints and measures needs the packages of developers, too.
READY := $(VENV)/.ready
DEVELOPER := $(VENV)/.ready-developer
UV := uv>=0.9,<1
# uv does not read pip's configuration, so it is handed the index that pip is configured with.
FIND_UV = uv=$$(command -v uv || echo $(BIN)/uv); \
	{ test -n "$$UV_DEFAULT_INDEX" || UV_DEFAULT_INDEX=$$($(PYTHON) -m pip config get global.index-url 2>/dev/null) || true; } && \
	{ test -z "$$UV_DEFAULT_INDEX" || export UV_DEFAULT_INDEX; }
NEEDED_MB := 2500
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export RAY_USAGE_STATS_ENABLED := 0
unexport PYTHONDONTWRITEBYTECODE  # where it is set, each of hundreds of processes compiles its libraries anew

.PHONY: help demo test test-fast test-long bench bench-learning bench-claims mutation audit lint lock clean

help:
	@echo "make demo       a telecom operator in a box: build, train, serve, show decisions (PORT=8001 for another port)"
	@echo "make test       the test suite, about eight minutes on two cores"
	@echo "make test-fast  what of it starts no program, serves no workspace and learns nothing, about a minute and a half"
	@echo "make test-long  the long runs: races, kills, big properties, and every property with all its examples"
	@echo "make bench      speed beside an empty endpoint, a hand-written floor and the stock servers, champions swapped under load -> bench.json"
	@echo "make bench-learning  the learning core beside its peers and against its goals, hours -> bench-learning.json"
	@echo "make bench-claims  what the product tells of simulated worlds beside their truth: coverage, false claims, power -> bench-claims.json"
	@echo "make mutation   small mistakes in what protects customers: are they found? an hour -> mutation.json"
	@echo "make audit      vulnerabilities, licences and sizes of what is installed -> sbom.json (CycloneDX)"
	@echo "make structure  a table of the structure: rooms, floors, lengths, parameters, clashes of names, sizes of documents"
	@echo "make lint       ruff, mypy, import contracts, whether PROMISES.md is up to date (make promises writes it)"

# uv installs the hashed requirements in a tenth of pip's time. A machine without it gets it by pip, into the environment.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@case "$$(uname -sm)" in "Linux x86_64") ;; \
		"Linux aarch64") echo "This was tried on Linux x86_64 only, and this is $$(uname -sm): going on, it may not work or be slower" ;; \
		*) echo "Linux on x86_64 is needed; this is $$(uname -sm), for which libraries are missing"; exit 1 ;; esac
	@test -w . || { echo "Nothing can be written in $(CURDIR): get the permission for it, or use a copy that is yours"; exit 1; }
	@free=$$(df -Pm . | awk 'NR == 2 { print $$4 }'); test "$$free" -ge $(NEEDED_MB) || { echo "The disk of $(CURDIR) has $$free MB left, and $(NEEDED_MB) are needed: make room on it"; exit 1; }
	@test -e $@ || echo "installing what it is made of into $(VENV), about half a minute" >&2
	@command -v uv >/dev/null || { \
		$(PYTHON) -m venv $(VENV) && { test -x $(BIN)/uv || \
			$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(UV)"; }; }
	@$(FIND_UV) && \
	$$uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	$$uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt && \
	$$uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(DEVELOPER): $(READY) requirements-dev.txt
	@$(FIND_UV) && $$uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@touch $@

# Pages are tested in a real browser, which comes from the system's packages.
.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "installing Chromium, for the tests of pages" && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null 2>&1; } || \
		echo "THERE IS NO CHROMIUM, so the tests of pages are skipped: apt-get install chromium fonts-dejavu-core"

demo: port $(READY)
	@$(BIN)/brain demo $(if $(PORT),--port $(PORT))

# Before anything is installed, which takes a while; `brain demo` looks again, at the port of its brain.yaml.
.PHONY: port
port:
	@test -e .demo/brain.yaml || $(PYTHON) -c 'import socket, sys; sys.exit(3 * (socket.socket().connect_ex(("127.0.0.1", $(or $(PORT),8000))) == 0))' 2>/dev/null; \
		test $$? -ne 3 || { echo "Port $(or $(PORT),8000) is in use by another program: stop it, or take another one: make demo PORT=8001"; exit 1; }

test: $(DEVELOPER) chromium
	@$(BIN)/python -m pytest -q -m "not long" -n 2 --no-loadscope-reorder

test-fast: $(DEVELOPER) chromium
	@$(BIN)/python -m pytest -q -m "not long and not server and not heavy" -n 2 --no-loadscope-reorder

test-long: $(DEVELOPER) chromium
	@$(BIN)/python -m pytest -q -m "long or hypothesis" --hypothesis-profile=whole

bench: $(DEVELOPER)
	@$(BIN)/python -m tests.benchmarks

bench-learning: $(DEVELOPER)
	@$(BIN)/python -m tests.benchmarks.learning

bench-claims: $(DEVELOPER)
	@$(BIN)/python -m tests.benchmarks.claims

mutation: $(DEVELOPER)
	@$(BIN)/python -m tests.mutation

audit: $(DEVELOPER)
	@$(BIN)/python -m tests.audit

lint: $(DEVELOPER)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python -m tests.promises.document --check && $(BIN)/python -m tests.structure --check

.PHONY: structure
structure: $(DEVELOPER)
	@$(BIN)/python -m tests.structure

# After a test or a sentence of tests/promises/promises.yaml came, went or changed its name.
.PHONY: promises
promises: $(DEVELOPER)
	@$(BIN)/python -m tests.promises.document

# After a change of dependencies in pyproject.toml; hashes, and no address of where they came from.
lock:
	uv pip compile pyproject.toml --quiet --extra build --generate-hashes --no-emit-index-url --python-version 3.11 -o requirements.txt
	uv pip compile pyproject.toml --quiet --extra dev -c requirements.txt --generate-hashes --no-emit-index-url --python-version 3.11 -o requirements-dev.txt

clean:
	rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
