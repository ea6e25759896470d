# Everything runs in .venv, which is made by the first command that needs it.
# `make` or `make help` lists the commands.

UPSTREAM ?=
TASKS ?=
# A task of your own has a profile of its name (make new-task).
PROFILE ?= $(if $(wildcard config/profiles/$(TASKS).yaml),$(TASKS),demo)
PYTEST_ARGS ?=
BENCH ?= training accuracy prediction scaling labelling startup
QUICK ?=
PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3),python3)

BIN := .venv/bin
STAMP := .venv/.installed
# pip compiles on one core; compileall below does it on all of them.
PIP_INSTALL := $(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
UPSTREAM_OPTION = $(if $(UPSTREAM),--upstream "$(UPSTREAM)")
TASKS_OPTION = $(if $(TASKS),--tasks "$(TASKS)")

export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help
.PHONY: help setup replicate study published estimates new-task report archive verify-archive push \
	serve checklist data check-published lab figures bench test test-full lint format lock clean \
	clean-all

help: ## show this list
	@echo "usage: make COMMAND [PROFILE=demo] [UPSTREAM=folder] [TASKS=cap,dataverse] [OPTIONS=...]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## install everything into .venv (redone only when the requirements change)
	@echo "ready: .venv"

replicate: $(STAMP) ## run all chapters; results under runs/<profile>/
	@$(BIN)/python -m helpers replicate --profile "$(PROFILE)" $(UPSTREAM_OPTION) $(TASKS_OPTION)

study: $(STAMP) ## the full grid of chapters 06 and 07: hours; stop and go on as you like
	@$(BIN)/python -m helpers replicate --profile study $(TASKS_OPTION) \
		06_training_size 07_what_to_finetune

published: $(STAMP) ## chapter 08 alone: the published results, from the authors' files
	@$(BIN)/python -m helpers replicate --profile published $(UPSTREAM_OPTION) 08_published_results

estimates: $(STAMP) ## chapter 09 and what it needs: from labels to shares and coefficients
	@$(BIN)/python -m helpers replicate --profile "$(PROFILE)" $(UPSTREAM_OPTION) $(TASKS_OPTION) \
		09_estimates

data: $(STAMP) ## download and verify the authors' files (UPSTREAM=folder: verify a copy)
	@$(BIN)/python -m helpers data $(UPSTREAM_OPTION)

check-published: $(STAMP) ## certify that the authors' files yield the published values
	@$(BIN)/python -m helpers check-published $(UPSTREAM_OPTION)

new-task: $(STAMP) ## take over your own texts: NAME=... CSV=file TEXT=column LABEL=column
	@$(BIN)/python -m helpers.newtask --name "$(NAME)" --file "$(CSV)" --text "$(TEXT)" \
		--label "$(LABEL)" $(if $(ID),--id "$(ID)") $(if $(TYPE),--label-type "$(TYPE)") \
		$(if $(SAMPLE),--sample "$(SAMPLE)") $(if $(CODEBOOK),--codebook "$(CODEBOOK)") \
		$(if $(KEEP),--keep "$(KEEP)") $(if $(DESCRIPTION),--description "$(DESCRIPTION)") $(OPTIONS)

report: $(STAMP) ## write runs/<profile>/report.html anew
	@$(BIN)/python -m helpers.report --profile "$(PROFILE)" $(UPSTREAM_OPTION) $(TASKS_OPTION)

archive: $(STAMP) ## pack a finished run for a deposit: archives/<profile>
	@$(BIN)/python -m helpers.archive make --profile "$(PROFILE)" $(UPSTREAM_OPTION) \
		$(TASKS_OPTION) $(OPTIONS)

verify-archive: $(STAMP) ## unpack FILE=archive.zip elsewhere, run it again, compare all tables
	@$(BIN)/python -m helpers.archive verify "$(FILE)" $(UPSTREAM_OPTION) $(OPTIONS)

checklist: $(STAMP) ## write docs/checklist.md (demo), or runs/<profile>/checklist.md
	@$(BIN)/python -m helpers.checklist --profile "$(PROFILE)" $(TASKS_OPTION) \
		$(if $(filter demo,$(PROFILE)),--write docs/checklist.md)

SHARED = --profile "$(PROFILE)" $(if $(TASK),--task "$(TASK)") $(if $(MODEL),--model "$(MODEL)") \
	$(if $(LABELS),--labels "$(LABELS)")

push: $(STAMP) ## share a model: TASK=... [MODEL=...] [REPO=user/name, with HF_TOKEN set]
	@$(BIN)/python -m helpers.share push $(SHARED) $(if $(WHAT),--what "$(WHAT)") \
		$(if $(REPO),--repo "$(REPO)") $(if $(RIGHTS),--rights "$(RIGHTS)") $(OPTIONS)

serve: $(STAMP) ## serve a fine-tuned model to OpenAI's clients: TASK=... [MODEL=...] [PORT=8001]
	@$(BIN)/python -m helpers.share serve $(SHARED) $(if $(PORT),--port "$(PORT)") $(OPTIONS)

lab: $(STAMP) ## open JupyterLab at notebooks/00_start_here.ipynb
	@$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" notebooks/00_start_here.ipynb

figures: ## copy figures to figures/, the committed copies; of study and published also tables
	@if [ -d runs/demo/figures ]; then mkdir -p figures/demo && \
		cp runs/demo/figures/*.png $(addprefix runs/demo/tables/,$(addsuffix .csv,metrics \
		paired_tests verification_pool_recall verification_agreement estimates_summary \
		estimates_misplaced label_sources_cap labelling_shares)) figures/demo/; fi
	@if [ -f runs/study/tables/training_size_scores.csv ]; then mkdir -p figures/study && \
		cp runs/study/figures/0[67]_*.png runs/study/tables/training_size_[cefns]*.csv \
		runs/study/tables/parts_[cgs]*.csv figures/study/; fi
	@if [ -f runs/published/tables/published_summary.csv ]; then mkdir -p figures/published && \
		cp runs/published/figures/08_*.png runs/published/tables/certificate_counts.csv \
		$(addprefix runs/published/tables/,$(addsuffix .csv,claims corrected_scores \
		corrected_paired corrected_cap published_summary published_subjects human_agreement \
		human_noise specifications_ranks specifications_effects)) figures/published/; fi

bench: $(STAMP) ## measure speed (BENCH="training prediction" runs only those; QUICK=1: a trial)
	@for name in $(BENCH); do \
		echo "== $$name"; $(BIN)/python bench/$$name.py $(if $(QUICK),--quick) || exit 1; done
	@$(BIN)/python bench/report.py

test: export MPLBACKEND := Agg
test: lint ## lint, then the tests (with one run of all chapters on tiny subsets)
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not full" $(PYTEST_ARGS)

test-full: export MPLBACKEND := Agg
test-full: lint ## lint, then all tests, also the long ones
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: $(STAMP) ## check style, types, and that notebooks hold no outputs
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "run: make format"; exit 1; }
	@$(BIN)/mypy
	@test -z "$(NOTEBOOKS)" || $(BIN)/nbstripout --keep-id --verify $(NOTEBOOKS) \
		|| { echo "notebooks with outputs, run: make format"; exit 1; }

format: $(STAMP) ## sort imports, format code, strip notebook outputs
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet
	@test -z "$(NOTEBOOKS)" || $(BIN)/nbstripout --keep-id $(NOTEBOOKS)

lock: $(STAMP) ## write requirements.txt and environment.yml anew from pyproject.toml
	@$(BIN)/python .ci/lock.py

clean: ## remove results, models and caches; keeps answers, decisions, .venv and data
	@if [ -d runs ]; then \
		find runs -mindepth 2 -maxdepth 2 ! -name responses ! -name decisions -exec rm -rf {} +; \
		find runs -type d -empty -delete; fi
	rm -rf models build src/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -print | xargs rm -rf
	rm -f .doit.db* .coverage

clean-all: clean ## also remove .venv, data/upstream, models' answers and coders' decisions; asks
	@printf "Remove .venv, data/upstream, and all answers and decisions in runs? [y/N] "; \
	read answer; \
	if [ "$$answer" = y ]; then rm -rf .venv data/upstream runs; echo removed; else echo kept; fi

$(STAMP): requirements.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "Python 3.11, 3.12 or 3.13 is needed; '$(PYTHON)' is:" \
			"$$("$(PYTHON)" --version 2>&1 | tail -n 1)"; \
		echo "Install one and name it: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11"; \
		exit 1; }
	@echo "installing into .venv (once; some minutes)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(PIP_INSTALL) -r requirements.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # some packages ship templates
	@touch $@
