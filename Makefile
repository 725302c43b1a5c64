# Everything a person or a CI machine does with this repository. `make help` lists it.
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?= .data
# How many test processes run side by side; they wait for servers more than they reckon.
WORKERS ?= 4
UV := $(BIN)/uv
STAMP := $(VENV)/.installed
COMPILED := $(VENV)/.messages
CATALOGS := $(wildcard locale/*/LC_MESSAGES/django.po)

# Checks that load the settings but talk to no server.
NO_SERVERS := SECRET_KEY=check DATABASE_URL=postgresql://127.0.0.1:9/none \
	REDIS_URL=redis://127.0.0.1:9/0 DEMO=true

# Hundreds of processes follow one another: without kept bytecode each compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo run test check lint bench faults clean lock messages docs packages
.DELETE_ON_ERROR:

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

venv: $(STAMP) ## make the virtual environment from the locked requirements

$(STAMP): requirements.txt requirements-dev.txt requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is older."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "On Debian: apt-get install python3-venv"; exit 1; }
	@# uv takes a tenth of the time of pip, which steps in where only pip is told of an index.
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile --quiet --require-hashes -r requirements-uv.txt
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt -r requirements-dev.txt \
		|| $(BIN)/python -m pip install --disable-pip-version-check --no-compile --quiet --require-hashes \
			-r requirements.txt -r requirements-dev.txt
	touch $@

$(COMPILED): $(STAMP) $(CATALOGS)
	@$(NO_SERVERS) $(BIN)/python manage.py messages compile
	@touch $@

demo: $(COMPILED) ## start everything here with the sample contact centre (PORT=8000, DATA=.data)
	@exec $(BIN)/python -m config.servers demo --data $(DATA)

run: $(COMPILED) ## start web and workers against the servers the environment names (ENV=folder of role.env files)
	@exec $(BIN)/python -m config.servers run --data $(DATA) $(if $(ENV),--env $(ENV))

test: $(COMPILED) packages ## run all tests on real servers (WORKERS=4, ARGS="-k word")
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: lint test ## all that CI runs

lint: $(COMPILED) ## format, lint, types, import contracts, templates, migrations, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(NO_SERVERS) $(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/djlint --check --lint --quiet .
	$(NO_SERVERS) $(BIN)/python -W "ignore:Got an error checking" manage.py makemigrations --check --dry-run
	$(NO_SERVERS) $(BIN)/python manage.py messages check
	$(NO_SERVERS) $(BIN)/python manage.py generate_docs --check
	$(BIN)/python -m pip check

bench: $(COMPILED) ## run the benchmarks: one JSON object a line
	@$(BIN)/python -m bench $(ARGS)

faults: $(COMPILED) ## break things on purpose, at size: one JSON object a fault (ONLY=group, SCALE=small)
	@$(BIN)/python -m faults

docs: $(STAMP) ## write the generated documentation anew
	$(NO_SERVERS) $(BIN)/python manage.py generate_docs

messages: $(STAMP) ## collect the texts to translate into the catalogs, and compile these
	$(NO_SERVERS) $(BIN)/python manage.py messages collect
	@rm -f $(COMPILED) && $(MAKE) --no-print-directory $(COMPILED)

lock: $(STAMP) ## lock the requirements anew, with hashes (ARGS=--upgrade)
	for each in requirements requirements-dev requirements-uv; do \
		$(UV) pip compile --quiet --generate-hashes --universal --python-version 3.11 $(ARGS) $$each.in -o $$each.txt; done

packages: ## find the programs that tests need besides Python, or install them (Debian, as root)
	@missing=; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing="chromium"; \
	test -x /usr/sbin/rsyslogd || missing="$$missing rsyslog rsyslog-openssl"; \
	test -x /usr/bin/softhsm2-util || missing="$$missing softhsm2"; \
	test -x /usr/sbin/sshd || missing="$$missing openssh-server"; \
	command -v faketime >/dev/null || missing="$$missing faketime"; \
	test -z "$$missing" || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get -qq update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
				apt-get -qq install --yes --no-install-recommends $$missing; \
		else \
			echo "These are missing. On Debian, as root: apt-get install $$missing"; exit 1; \
		fi; }

clean: ## remove the environment, the data of demo and tests, and all caches
	@! find $(DATA) -name servers.json 2>/dev/null | grep . \
		|| { echo "Servers still run there: end them first (after a crash: start and end them once)."; exit 1; }
	@for pointer in $$(find $(DATA) -name postgresql.path 2>/dev/null); do \
		rm -rf -- "$$(cat "$$pointer")"; done
	rm -rf $(DATA) $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find locale -name '*.mo' -delete
