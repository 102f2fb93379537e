# Everything is safe to run twice, and to interrupt.
SHELL := /bin/sh
VENV := .venv/bin
export PATH := $(CURDIR)/$(VENV):$(PATH)
# This checkout's own settings, wherever make is called from.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help dev demo wheels image test check lock reference bench-fuego bench-contrast matrix autobahn clean setup

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

setup: ## The environment that all else runs in, .venv, from pinned and hashed requirements
	@tools/setup.sh

demo: setup ## A load-balanced pool on this machine, from nothing; LAB_HTTP_PORT=8081 moves it
	@python tools/demo.py

dev: setup ## A sample app on this machine, with reload: make dev APP=flask PORT=8000
	@python tools/dev.py --port $(or $(PORT),8000) $(APP)

wheels: setup ## An app's wheels for hosts without an index: make wheels APP=shop INVENTORY=inventories/production
	@ansible-playbook $(if $(INVENTORY),--inventory=$(INVENTORY)) playbooks/wheels.yml -e app=$(APP)

image: setup ## One container image of an app: make image APP=hello INVENTORY=inventories/production
	@python tools/image.py $(if $(INVENTORY),--inventory=$(INVENTORY)) $(if $(NAME),--name=$(NAME)) $(APP)

test: setup ## Everything that proves the project; ends with "N passed, N failed"
	@python tools/test.py

check: setup ## The part of it that needs no host: lint, types, unit and contract tests
	@python tools/test.py --no-hosts

lock: setup ## Refresh requirements.lock from pyproject.toml
	@uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --quiet pyproject.toml --output-file requirements.lock

reference: setup ## Write docs/reference from the roles' argument specs and defaults
	@python docs/generate.py

bench-fuego: setup ## Fuego beside other frameworks, into fuego/bench/results; wants wrk
	@python fuego/bench/compare.py

bench-contrast: setup ## What a deploy loses the usual way and ours, into bench/results
	@python bench/contrast/contrast.py

matrix: setup ## Every framework on every server, into docs/matrix.md; wants wrk
	@python bench/matrix/matrix.py

autobahn: setup ## The Autobahn suite against Fuego's WebSockets; wants Python 2.7
	@python fuego/bench/autobahn.py

clean: ## Take this checkout's labs, images and environment away
	@tools/clean.sh
