# One verb each. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A package index that has a CPU-only torch, for example make TORCH_INDEX=<url> demo. Empty: pip's own configuration.
TORCH_INDEX ?=
# Arguments for the demo, for example make demo DEMO="--quick 10000".
DEMO ?=

# Container images (docs/images.md), for example make images TAG=0.1.0 EXTRAS=kafka.
IMAGES ?= serving registry trainer
export ENGINE TAG BASE EXTRAS WHEELHOUSE PIP_CONFIG TORCH_INDEX

PROTOS := $(wildcard protos/martlet/v1/*.proto) $(wildcard protos/martlet/oip/*.proto)
# The conformance kit has stubs of its own, from the protocol alone: it asks any server.
CONFORMANCE_PROTO := tests/conformance/oip/open_inference_grpc.proto
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test bench-judge bench-learning bench-operations bench-serving bench-training lint format monitoring protos clean

help: ## List the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[serving,registry,trainer,backfill,dev]'
	@touch $@

demo: $(STAMP) ## Run the whole loop on real data and show what happened
	$(BIN)/python -m examples.demo $(DEMO)

test: $(STAMP) ## Run all tests
	$(BIN)/python -m pytest tests/containers
	$(BIN)/python -m pytest -n 2 --dist loadgroup --ignore tests/containers

bench-judge: $(STAMP) ## Measure the judge's error rates, power and cost (QUICK=1: a short form)
	$(BIN)/python -m benchmarks.judge

bench-learning: $(STAMP) ## Measure what learning all the time is worth (QUICK=1: a short form; LOGS=FOLDER: further logs)
	$(BIN)/python -m benchmarks.learning

bench-operations: $(STAMP) ## Run the loop under faults, feed it hostile bytes, weigh what is deployed (QUICK=1: a short form)
	$(BIN)/python -m benchmarks.operations

bench-training: $(STAMP) ## Measure training beside rivals, and that it learns exactly once (QUICK=1: a short form)
	$(BIN)/python -m benchmarks.training

bench-serving: $(STAMP) ## Measure serving beside floors and peers (QUICK=1: a short form)
	$(BIN)/python -m benchmarks.serving

.PHONY: images
images: ## Build the container images with podman or docker (TAG=dev, BASE=IMAGE, EXTRAS=kafka, WHEELHOUSE=FOLDER)
	deploy/docker/build.sh $(IMAGES)

.PHONY: sbom
sbom: $(STAMP) ## List what the built images hold, as CycloneDX, in out/sbom
	deploy/docker/sbom.sh $(BIN)/syft out/sbom $(IMAGES)

lint: $(STAMP) ## Style, types, import contracts, image recipe, protos, committed stubs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint deploy/docker/Dockerfile
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/released.binpb
	promtool check config deploy/prometheus/prometheus.yml
	amtool check-config deploy/prometheus/alertmanager.yml
	@$(MAKE) --no-print-directory --silent check-stubs check-monitoring

.PHONY: check-monitoring
check-monitoring: $(STAMP)
	@rm -rf out/monitoring && mkdir -p out/monitoring/dashboards
	@$(BIN)/python -m deploy.prometheus.prometheus_rule > out/monitoring/prometheusrule.yaml
	@$(BIN)/python -m deploy.grafana out/monitoring/dashboards
	@diff -u deploy/prometheus/kubernetes/prometheusrule.yaml out/monitoring/prometheusrule.yaml \
		&& diff -ru deploy/grafana/dashboards out/monitoring/dashboards \
		|| { echo "deploy/ is not what its sources say: run make monitoring"; exit 1; }

.PHONY: check-stubs
check-stubs: $(STAMP)
	@rm -rf out/stubs && mkdir -p out/stubs
	$(call generate,out/stubs)
	@for package in martlet/v1 martlet/oip tests/conformance/oip; do \
		diff -ru --exclude=__pycache__ --exclude=__init__.py --exclude='*.proto' $$package out/stubs/$$package \
			|| { echo "$$package is not what the protos say: run make protos"; exit 1; }; done

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The type stubs' generator announces each file on stderr; only its errors matter.
define generate
$(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --python_out=$(1) --grpc_python_out=$(1) \
	--mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTOS)
$(BIN)/python -m grpc_tools.protoc -I . --python_out=$(1) --grpc_python_out=$(1) --pyi_out=$(1) $(CONFORMANCE_PROTO)
endef

monitoring: $(STAMP) ## Regenerate the committed dashboards and the rules for Kubernetes
	$(BIN)/python -m deploy.prometheus.prometheus_rule > deploy/prometheus/kubernetes/prometheusrule.yaml
	$(BIN)/python -m deploy.grafana deploy/grafana/dashboards

protos: $(STAMP) ## Regenerate the committed stubs
	$(call generate,.)

.PHONY: release
release: $(STAMP) ## Leave a release's golden artifacts and wire contract behind (docs/upgrades.md)
	$(BIN)/python -m tests.upgrade.make_release
	$(BIN)/buf build --exclude-source-info --output protos/released.binpb

clean: ## Remove what was built (the downloaded data set stays in .cache)
	rm -rf $(VENV) out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
