# The one door to the project: `make help` lists the targets, CI calls the same ones.
.DEFAULT_GOAL := help
.PHONY: help env build run-services stop-services status health-check perf-smoke k6 test test-integration test-mongod lint fmt deny fuzz test-clients soak-faults soak-fuzz soak-writers soak-runs soak-history soak-crash fit-ollama soak-fit bench bench-api bench-simulator bench-telemetry bench-llm reconcile soak-llm clean-data perf-load perf-stress perf-spike perf-errors perf-ai perf-comprehensive perf-load-arrivals perf-stress-arrivals perf-spike-arrivals bench-perf-service perf-compare verdict-campaign dashboards dashboards-check grafana-check grafana-mega grafana-dashboards aspire-dashboard rules rules-check alerts-check soak-alerts observe metrics-listing check-metrics

# Load is measured on a release build. `PROFILE=dev` builds faster and measures slower.
PROFILE ?= release
CARGO ?= cargo
PYTHON ?= python3
export PROFILE
# Where Docker answers, has the image or can get it, k6 runs in a container; else a local one is found or fetched.
LOCAL_K6 = K6_BIN="$$($(PYTHON) .make/k6.py)"

##@ Run
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the three binaries
	$(CARGO) build --workspace --bins --profile $(PROFILE)

env: ## Write random secrets and Docker's group to .env, which compose reads, as far as they are not there
	@umask 077; touch .env; test -z "$$(tail -c 1 .env)" || echo >>.env; \
	add() { grep -q "^ *$$1=." .env || { printf '%s=%s\n' "$$1" "$$2" >>.env; echo "wrote $$1 to .env"; }; }; \
	add API_TOKEN "$$($(PYTHON) -c 'import secrets; print(secrets.token_hex(24))')" && \
	add DOCKER_GID "$$(stat -c %g /var/run/docker.sock 2>/dev/null || echo 0)"

run-services: build ## Start both services (and the simulator unless an Ollama answers) as local processes
	@$(PYTHON) .make/services.py start

stop-services: ## Stop what run-services started
	@$(PYTHON) .make/services.py stop

status: ## Show what is running
	@$(PYTHON) .make/services.py status

health-check: status ## The same; exits non-zero when a service is down

##@ Load tests
perf-smoke: build ## 1 user, 2 minutes (DURATION=15s shortens it): figures, report, exit code by thresholds
	@$(PYTHON) .make/engine.py $(PYTHON) .make/services.py run smoke

perf-load: build ## 10 users, 10 minutes: an ordinary day (perf-load-arrivals: 20 visits a second)
	@$(PYTHON) .make/engine.py $(PYTHON) .make/services.py run load

perf-stress: build ## 30 users, 15 minutes: more than an ordinary day brings
	@$(PYTHON) .make/engine.py $(PYTHON) .make/services.py run stress

perf-spike: build ## A burst to 50 users and back, 5 minutes
	@$(PYTHON) .make/engine.py $(PYTHON) .make/services.py run spike

perf-errors: build ## Every mistake a visitor can make, 2 minutes
	@$(PYTHON) .make/engine.py $(PYTHON) .make/services.py run errors

perf-ai: build ## LLM summaries: cold, cached, stored, streamed, per provider, without money; 5 minutes
	@$(PYTHON) .make/engine.py $(PYTHON) .make/services.py run ai

perf-comprehensive: build ## All of them, one after another, 39 minutes
	@$(PYTHON) .make/engine.py $(PYTHON) .make/services.py run comprehensive

perf-load-arrivals perf-stress-arrivals perf-spike-arrivals: perf-%: build
	@$(PYTHON) .make/engine.py $(PYTHON) .make/services.py run $*

perf-compare: build ## Two builds by path, image:NAME or target: BASELINE=… CANDIDATE=… (COMPARE="--metric p50 --pairs 20")
	@$(LOCAL_K6) && export K6_BIN K6_ENGINE="$${K6_ENGINE:-local}" LLM_PROVIDER="$${LLM_PROVIDER:-simulated}" DATA_DIR=.run/perf-service && target/$(subst dev,debug,$(PROFILE))/perf-service compare "$(BASELINE)" "$(CANDIDATE)" $(COMPARE)

k6: ## Find or fetch a local k6 and print its path
	@$(PYTHON) .make/k6.py

##@ Dashboards
dashboards: ## Generate the ten Grafana dashboards anew (monitoring/grafana/panels/)
	@$(PYTHON) .make/dashboards.py

dashboards-check: ## They are what is generated, and each query can be read (PROMETHEUS_BIN or PROMETHEUS_URL)
	@$(PYTHON) .make/dashboards.py --check
	@$(PYTHON) .make/panel_queries.py --parse

grafana-check: ## Ask a running Grafana (GRAFANA_URL) for each dashboard and each panel's query
	@$(PYTHON) .make/grafana_check.py

# Opens a page where there is a browser, and says its address anyway.
OPEN = @show() { echo "$$1"; { xdg-open "$$1" || open "$$1"; } >/dev/null 2>&1 || true; }; show

grafana-mega: ## Open the dashboard that has everything
	$(OPEN) http://127.0.0.1:3000/d/bookstore-mega

grafana-dashboards: ## Open the list of all ten
	$(OPEN) "http://127.0.0.1:3000/dashboards?tag=bookstore"

aspire-dashboard: ## Open the Aspire dashboard: traces and logs
	$(OPEN) http://127.0.0.1:15888

##@ Quality
test: ## All tests that need nothing from outside: embedded stores, the simulator, a local k6
	$(LOCAL_K6) && export K6_BIN && $(CARGO) test --workspace

test-integration: ## The same and more against real servers: those that the environment names, else by compose (ADDED=1: without those of make test)
	@$(PYTHON) .make/integration.py $(if $(ADDED),$(PYTHON) .make/added_tests.py) $(CARGO) test --workspace --features bookstore-api/integration,perf-service/integration,llm-simulator/integration,llm/integration

test-mongod: ## How MongoDB finds things: every list and search by an index. Needs MongoDB's own server
	@$(PYTHON) .make/integration.py --only mongo $(CARGO) test -p bookstore-api --features bookstore-api/mongod --test it mongo_plans

soak-runs: ## On each engine 20 times kill -9 of perf-service over a run's life: every run ends as it should, nothing is left
	@SOAK_KILLS=20 $(PYTHON) .make/integration.py --only docker,k6 $(CARGO) test -p perf-service --features perf-service/integration --test it -- --nocapture --test-threads 1 service_that_is_killed

soak-history: ## 100,000 reads and writes over two instances that share Redis: none may be stale
	@$(PYTHON) .make/integration.py --only redis $(CARGO) test -p bookstore-api --features bookstore-api/soak --test it -- --nocapture --exact history::instances::a_hundred_thousand_operations

lint: ## rustfmt, clippy without warnings, the k6 scripts and their types, the Python scripts
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	$(PYTHON) -m compileall -q .make monitoring
	@$(PYTHON) .make/k6_types.py
	@$(LOCAL_K6) && for script in k6/scenarios/*.js; do "$$K6_BIN" inspect "$$script" >/dev/null || exit 1; done

fmt: ## Format the Rust code
	$(CARGO) fmt --all

metrics-listing: ## Write monitoring/metrics.md from the metric table
	@listing=$$($(CARGO) run --quiet -p telemetry --example metrics_listing) && printf '%s\n' "$$listing" >monitoring/metrics.md

check-metrics: build ## promtool check metrics on what the three services really show (PROMTOOL_BIN, else promtool)
	@$(PYTHON) .make/check_metrics.py

deny: ## Licences, bans, sources and advisories of all dependencies
	@$(PYTHON) .make/deny.py

fuzz: build ## schemathesis against the API: every check, stateful too, 300 examples an operation, a fixed seed
	@$(PYTHON) .make/fuzz.py --examples 300 $(FUZZ)

test-clients: build ## The official Python clients (openai, anthropic, ollama, boto3) against the simulator; fetches them
	@$(PYTHON) .make/clients.py
	@$(PYTHON) .make/clients.py --faults 8

soak-faults: build ## Each of the simulator's faults 1,000 times under each official client: what it reports, that nothing leaks
	@$(PYTHON) .make/clients.py --faults 1000

soak-fuzz: build ## The same with 5,000 examples
	@$(PYTHON) .make/fuzz.py --examples 5000 $(FUZZ)

soak-writers: ## 64 writers, 1,000 conditional updates each, of one book: none may be lost
	WRITER_ATTEMPTS=1000 $(CARGO) test -p bookstore-api --test it -- --exact conditions::no_update_of_many_conditional_writers_is_lost --nocapture

soak-crash: ## 50 times kill -9 during 100,000 writes, on each store (MONGODB_URI): none lost, none doubled
	CRASH_KILLS=50 CRASH_WRITES=100000 $(CARGO) test -p bookstore-api --features integration --test it -- crash:: --nocapture --test-threads 1

fit-ollama: ## Record calls of OLLAMA_BASE_URL (FIT="--calls 300"), fit a profile and say how well it fits
	$(CARGO) build -p llm-simulator --bin llm-simulator --example soak_fit --profile $(PROFILE)
	@$(PYTHON) .make/soak_fit.py $(FIT)

soak-fit: fit-ollama ## The same with 2,400 calls, and five known distributions over 40 seeds
	$(CARGO) run -p llm-simulator --example soak_fit --profile $(PROFILE)

reconcile: build ## Tokens of 100 calls with faults, retries, fallbacks and dropped streams, counted in five places (RECONCILE="--calls 300")
	@$(PYTHON) .make/reconcile.py $(RECONCILE)

soak-llm: build ## The same with 1,000 calls; 2,000 requests at once on a budget for 100, in one process and over two with Redis
	@$(PYTHON) .make/reconcile.py --calls 1000
	@$(PYTHON) .make/integration.py --only redis $(CARGO) test -p bookstore-api --features bookstore-api/soak --test it -- --nocapture a_crowd

rules: ## Write the rules of Prometheus and their tests anew, from the tables in monitoring/prometheus
	$(PYTHON) monitoring/prometheus/generate_rules.py
	$(PYTHON) monitoring/prometheus/tests/generate_tests.py

rules-check: ## Are they what is committed?
	@$(PYTHON) .make/check_alerts.py --rules-only

alerts-check: ## Rules, every alert below and above its threshold, routing, pipelines: by promtool and amtool
	@$(PYTHON) .make/check_alerts.py

observe: build ## All telemetry at work: scenarios, faults, every panel's data, counters, traces and log lines (OBSERVE="--keep")
	@$(PYTHON) .make/observe.py $(OBSERVE)

soak-alerts: build ## Six faults under real Prometheus and Alertmanager: who is told, in time, and who is not (ALERTS="--only store")
	@$(PYTHON) .make/prove_alerts.py $(ALERTS)

bench: ## The figures of this version: added time of a summary, memory at rest, time to ready
	$(CARGO) build --workspace --bins --profile release
	$(CARGO) run --profile release -p bookstore-api --example bench

bench-api: ## The figures of the API: a cached read layer by layer and through REDIS_URL, gzip, metric series, lists
	$(CARGO) build --workspace --bins --profile release
	$(CARGO) run --profile release -p bookstore-api --example bench_api -- $(SECTIONS)

bench-telemetry: ## What telemetry costs: layers of a read, on against off (REDIS_URL), a scrape, a dead or slow collector
	$(CARGO) build --workspace --bins --profile release
	$(CARGO) run --profile release -p bookstore-api --example bench_api -- $(if $(SECTIONS),$(SECTIONS),layers telemetry scrape collector)

bench-simulator: ## The figures of the simulator: answers a second beside bare axum, lateness of 2,000 streams, memory
	$(CARGO) build -p llm-simulator --profile release
	$(CARGO) run --profile release -p llm-simulator --example bench_simulator -- $(SECTIONS)

bench-llm: ## What adapters and wrappers add to a provider's time, beside a bare client and LiteLLM (LITELLM=no)
	$(CARGO) build --profile release -p llm --example bench_llm
	@$(PYTHON) .make/litellm.py $(CARGO) run --quiet --profile release -p llm --example bench_llm -- $(SECTIONS)

bench-perf-service: ## What perf-service costs beside plain k6; memory and report of 10 million samples (CHROMIUM_BIN: its opening)
	$(CARGO) build -p perf-service -p bookstore-api --bins --profile release
	@$(LOCAL_K6) && export K6_BIN && $(CARGO) run --profile release -p perf-service --example bench_perf_service -- $(SECTIONS)
verdict-campaign: build ## About 20 minutes: 180 interleaved real runs, then 10,000 comparisons of them and of simulated noise (CAMPAIGN="--blocks 5")
	$(CARGO) build -p perf-service --example verdict_campaign --profile $(PROFILE)
	@$(LOCAL_K6) && $(CARGO) run --quiet -p perf-service --example verdict_campaign --profile $(PROFILE) -- --k6 "$$K6_BIN" --summary crates/perf-service/docs/verdicts.md $(CAMPAIGN)

clean-data: ## Remove .run: logs, reports and data of local processes
	rm -rf .run
