# Every check, each a target that one can type. checks/README.md says what each is for, when it runs and how long it takes.
#
# They need the environment of README.md's second command and, in it, the groups of CHECK_GROUPS (make tools).
#
#     make tools && make -j2 -k --output-sync=target checks
#     make -j2 -k --output-sync=target nightly

PYTHON ?= .venv/bin/python

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SUFFIXES:
# What a recipe took stands below what it printed.
export TIMEFORMAT = --- make $@: %0R s, %0U s of processor time

CHECK_GROUPS := dev bench fuzz
CYTHON_SOURCES = $(shell find src checks tests -name '*.pyx' -o -name '*.pxi' -o -name '*.pxd')
STUBS := $(subst /,.,$(patsubst src/%.pyi,%,$(shell find src -name '*.pyi')))
PAGES := README.md CONTRIBUTING.md SECURITY.md $(wildcard docs/*.md benchmarks/*.md checks/*.md)
ON_A_KERNEL := $(PYTHON) checks/kernel/run.py

# The longest ones come first, so that two cores are busy to the end.
CHECKS := tests-group sanitizers gate lint docs
PLATFORMS := windows aarch64 armhf musl macos python3.14 python3.15 windows-3.14 windows-3.14t
NIGHTLY := coverage packaging beside downstream freethreaded fuzz mutation peers-kernel differential soak soak-kernel stress stress-sanitizers newcomer leaks uds

.PHONY: help list-nightly tools tests tests-kernel peers checks nightly list-platforms platforms platforms-page $(CHECKS) $(NIGHTLY)

help:
	@echo "tests, tests-kernel, peers"
	@echo "checks:  $(CHECKS)"
	@echo "nightly: $(NIGHTLY)"
	@echo "platforms: $(addprefix platform-,$(PLATFORMS))"
	@echo "tools:   installs what the checks need"

list-nightly:
	@echo $(NIGHTLY)

list-platforms:
	@echo $(PLATFORMS)

checks: $(CHECKS)
nightly: $(NIGHTLY)

tools:
	$(PYTHON) -m pip install -q $(addprefix --group ,$(CHECK_GROUPS))

# ---------------------------------------------------------------- whether a change is good

tests:
	@time $(PYTHON) -m pytest

# All that the tests say of a kernel with ISO-TP sockets, in a virtual machine where this system has none.
tests-kernel:
	@time $(ON_A_KERNEL) --timeout 1800 -- $(PYTHON) -m pytest -q --timeout 300 tests/kernel tests/test_seed_examples.py tests/tpsock/test_tpsock.py

# The environment of a wheel's tests, in which much that is optional is missing.
tests-group:
	@time $(PYTHON) checks/packaging/run.py --this-python --all-tests

# can-isotp's own tests assert times: they run with nothing beside them.
peers:
	@time {
	    $(PYTHON) checks/peer/run.py 2.0.7
	    $(PYTHON) checks/peer/run.py 1.9
	}

lint:
	@time {
	    $(PYTHON) -m ruff check .
	    $(PYTHON) -m ruff format --check .
	    $(PYTHON) -m mypy
	    $(PYTHON) -m mypy.stubtest $(STUBS) isotp.bulk._message
	    PATH=$(abspath $(dir $(PYTHON))):$$PATH cython-lint $(CYTHON_SOURCES)
	    $(PYTHON) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	    $(PYTHON) -m codespell_lib
	    $(PYTHON) -m proselint check --config tools/proselint.json $(PAGES)
	    $(PYTHON) -m tools.plain_english
	    $(PYTHON) -m tools.release check --quick
	    $(PYTHON) -m tests.conformance.count
	}

docs:
	@time $(PYTHON) -m sphinx -E -W -n --keep-going -q -b html docs build/docs

# Status 3: no counts are stored for this interpreter and compiler. The limit holds for any.
gate:
	@time {
	    $(PYTHON) -m benchmarks.gate || (($$? == 3))
	    $(PYTHON) -m benchmarks.instructions --case classic-4095-bs0 --limit 1500
	}

sanitizers:
	@time $(PYTHON) checks/sanitizers/run.py

# ---------------------------------------------------------------- what takes longer

coverage:
	@time $(PYTHON) checks/coverage/run.py

packaging:
	@time $(PYTHON) checks/packaging/run.py

beside:
	@time $(PYTHON) checks/packaging/beside.py

downstream:
	@time {
	    $(PYTHON) -m checks.downstream
	    $(PYTHON) -m checks.downstream.python_can
	}

newcomer:
	@time $(PYTHON) checks/packaging/newcomer.py

freethreaded:
	@time $(PYTHON) checks/freethreaded/run.py

fuzz:
	@time $(PYTHON) checks/fuzz/run.py

mutation:
	@time $(PYTHON) checks/mutation/run.py --jobs 1

peers-kernel:
	@time {
	    $(PYTHON) checks/peer/run.py --kernel 2.0.7
	    $(PYTHON) checks/peer/run.py --kernel 1.9
	}

differential:
	@time $(PYTHON) -m checks.differential --seeds 20000

soak:
	@time $(PYTHON) checks/soak/run.py --minutes 10 --bus virtual

soak-kernel:
	@time $(ON_A_KERNEL) --timeout 2400 -- $(PYTHON) checks/soak/run.py --minutes 10

stress:
	@time $(PYTHON) checks/stress/run.py --seconds 300 plain

stress-sanitizers:
	@time $(PYTHON) checks/stress/run.py --seconds 60 address thread

leaks:
	@time $(PYTHON) checks/leaks/run.py

uds:
	@time $(PYTHON) checks/uds/run.py

# ---------------------------------------------------------------- other platforms

platforms: $(addprefix platform-,$(PLATFORMS))

platform-%:
	@time {
	    checks/debian-packages platforms
	    $(PYTHON) -m checks.platforms $*
	}

# The page about them, from the summaries that `python -m checks.platforms PLATFORM --store` left
platforms-page:
	@$(PYTHON) -m checks.platforms.page
