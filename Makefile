# The one door to the project: `make help` lists the targets, CI calls the same ones. Each exits by its outcome.
.DEFAULT_GOAL := help

# Load is measured on a release build. `PROFILE=dev` builds faster and measures slower.
PROFILE ?= release
CARGO ?= cargo
PYTHON ?= python3
export PROFILE
# Where Docker answers, has the image or can get it, k6 runs in a container; else a local one is found or fetched.
LOCAL_K6 = K6_BIN="$$($(PYTHON) .make/k6.py)"
comma := ,
STACK = $(PYTHON) .make/stack.py
PAGE = $(PYTHON) .make/open_page.py
# A load test starts services of its own; with TARGET=compose it is put on those that `make up` started, with TARGET=local
# on those of `make run-services`.
ifneq ($(TARGET),)
SCENARIO = $(PYTHON) .make/stack_run.py
else
SERVED = build
SCENARIO = $(PYTHON) .make/engine.py $(PYTHON) .make/services.py run
endif
# Every target is one: none makes a file of its name.
.PHONY: $(shell sed -n 's/^\([a-z0-9][a-z0-9-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

##@ Start and stop
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-21s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

doctor: ## What is missing on this machine, and how to get it
	@$(PYTHON) .make/doctor.py

build: ## Build the three binaries
	$(CARGO) build --workspace --bins --profile $(PROFILE)

run-services: build ## Start both services (and the simulator unless an Ollama answers) as local processes
	@$(PYTHON) .make/engine.py --if-there $(PYTHON) .make/services.py start

run-aspire: build ## The same, with the Aspire dashboard's container as their trace view
	@$(PYTHON) .make/engine.py --if-there $(PYTHON) .make/services.py start --aspire

stop-services: ## Stop what run-services or run-aspire started
	@$(PYTHON) .make/services.py stop

env: ## Write random secrets, Docker's socket and its group to .env, which compose reads, as far as they are not there
	@$(PYTHON) .make/dotenv.py

token: ## Show the API token of compose's services
	@$(PYTHON) .make/dotenv.py API_TOKEN

up: ## Start all of it in containers: services, stores, Ollama with its model, monitoring
	@$(STACK) up

up-lite: ## The same without Ollama, Tempo and Loki: answers are simulated, and say so
	@$(STACK) up --lite

down: ## Stop the containers; their data stay (clean-volumes)
	@$(STACK) down

images: ## Build the images of the three services and print their sizes
	@$(STACK) images

##@ Look
status: ## What is running, as processes and in containers
	@$(PYTHON) .make/status.py

health-check: ## The same; exits non-zero when a service is down or something that was started is ill
	@$(PYTHON) .make/status.py --check

ps: ## The containers as compose lists them
	@$(STACK) ps

logs: ## Last lines of all logs (TAIL=500 for more, FOLLOW=1 goes on, as with those below)
	@$(STACK) logs

logs-bookstore: ## Log of bookstore-api, container or process
	@$(STACK) logs bookstore-api

logs-perf: ## Log of perf-service, container or process
	@$(STACK) logs perf-service

logs-simulator: ## Log of llm-simulator, container or process
	@$(STACK) logs llm-simulator

logs-gate: ## Log of docker-gate
	@$(STACK) logs docker-gate

logs-mongo: ## Log of MongoDB
	@$(STACK) logs mongo

logs-redis: ## Log of Redis
	@$(STACK) logs redis

logs-ollama: ## Log of Ollama
	@$(STACK) logs ollama

logs-prometheus: ## Log of Prometheus
	@$(STACK) logs prometheus

logs-alertmanager: ## Log of Alertmanager
	@$(STACK) logs alertmanager

logs-grafana: ## Log of Grafana
	@$(STACK) logs grafana

logs-collector: ## Log of the OpenTelemetry collector
	@$(STACK) logs otel-collector

logs-aspire: ## Log of the Aspire dashboard
	@$(STACK) logs aspire-dashboard

logs-tempo: ## Log of Tempo
	@$(STACK) logs tempo

logs-loki: ## Log of Loki
	@$(STACK) logs loki

swagger: ## Open bookstore-api's Swagger page
	@$(PAGE) swagger

swagger-perf: ## Open perf-service's Swagger page
	@$(PAGE) swagger-perf

trends: ## Open stored runs over time
	@$(PAGE) trends

grafana-mega: ## Open the dashboard that has everything
	@$(PAGE) grafana-mega

grafana-dashboards: ## Open the list of all ten
	@$(PAGE) grafana-dashboards

grafana-performance: ## Open the dashboard of load tests
	@$(PAGE) grafana-performance

aspire-dashboard: ## Open the Aspire dashboard, with its token: traces and logs
	@$(PAGE) aspire-dashboard

prometheus: ## Open Prometheus' alerts
	@$(PAGE) prometheus

alertmanager: ## Open Alertmanager
	@$(PAGE) alertmanager

##@ Load tests (DURATION, USERS, RATE, PROVIDER, SEED; TARGET=compose for what `make up` started, TARGET=local for run-services)
perf-smoke: $(SERVED) ## 1 user, 2 minutes (DURATION=15s shortens it): figures, report, exit code by thresholds
	@$(SCENARIO) smoke

perf-load: $(SERVED) ## 10 users, 10 minutes: an ordinary day
	@$(SCENARIO) load

perf-load-arrivals: $(SERVED) ## 20 visits a second in their place
	@$(SCENARIO) load-arrivals

perf-stress: $(SERVED) ## 30 users, 15 minutes: more than an ordinary day brings
	@$(SCENARIO) stress

perf-stress-arrivals: $(SERVED) ## 60 visits a second in their place
	@$(SCENARIO) stress-arrivals

perf-spike: $(SERVED) ## A burst to 50 users and back, 5 minutes
	@$(SCENARIO) spike

perf-spike-arrivals: $(SERVED) ## A burst to 60 visits a second and back
	@$(SCENARIO) spike-arrivals

perf-errors: $(SERVED) ## Every mistake a visitor can make, 2 minutes
	@$(SCENARIO) errors

perf-ai: $(SERVED) ## LLM summaries: cold, cached, stored, streamed, per provider, without money; 5 minutes
	@$(SCENARIO) ai

perf-comprehensive: $(SERVED) ## All of them, one after another, 39 minutes
	@$(SCENARIO) comprehensive

perf-compare: build ## Two builds by path, image:NAME or target: BASELINE=… CANDIDATE=… (COMPARE="--metric p50 --pairs 20")
	@$(LOCAL_K6) && export K6_BIN K6_ENGINE="$${K6_ENGINE:-local}" LLM_PROVIDER="$${LLM_PROVIDER:-simulated}" DATA_DIR=.run/perf-service && "$${CARGO_TARGET_DIR:-target}"/$(subst dev,debug,$(PROFILE))/perf-service compare "$(BASELINE)" "$(CANDIDATE)" $(COMPARE)

k6: ## Find or fetch a local k6 and print its path
	@$(PYTHON) .make/k6.py

##@ Dashboards and alerts
dashboards: ## Generate the ten Grafana dashboards anew (monitoring/grafana/panels/)
	@$(PYTHON) .make/dashboards.py

dashboards-check: ## They are what is generated, and each query can be read (PROMETHEUS_BIN or PROMETHEUS_URL)
	@$(PYTHON) .make/dashboards.py --check
	@$(PYTHON) .make/panel_queries.py --parse

grafana-check: ## Ask a running Grafana (GRAFANA_URL) for each dashboard and each panel's query
	@$(PYTHON) .make/grafana_check.py

rules: ## Write the rules of Prometheus and their tests anew, from the tables in monitoring/prometheus
	$(PYTHON) monitoring/prometheus/generate_rules.py
	$(PYTHON) monitoring/prometheus/tests/generate_tests.py

rules-check: ## Are they what is committed?
	@$(PYTHON) .make/check_alerts.py --rules-only

alerts-check: ## Rules, every alert below and above its threshold, routing, pipelines: by promtool and amtool
	@$(PYTHON) .make/check_alerts.py

metrics-listing: ## Write monitoring/metrics.md from the metric table
	@listing=$$($(CARGO) run --quiet -p telemetry --example metrics_listing) && printf '%s\n' "$$listing" >monitoring/metrics.md

check-metrics: build ## promtool check metrics on what the three services really show (PROMTOOL_BIN, else promtool)
	@$(PYTHON) .make/check_metrics.py

observe: build ## All telemetry at work: scenarios, faults, every panel's data, counters, traces and log lines (OBSERVE="--keep")
	@$(PYTHON) .make/observe.py $(OBSERVE)

##@ Quality
# Most of them wait, for k6 or for a deadline: twice as many at a time as there are processors. Not so those against real
# servers, where a busy machine is a slow Redis, which services turn their back on.
test: export RUST_TEST_THREADS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
test: ## All tests that need nothing from outside: embedded stores, the simulator, a local k6
	$(LOCAL_K6) && export K6_BIN && $(CARGO) test --workspace

test-integration: ## The same and more against real servers: those that the environment names, else by compose (ADDED=1: without those of make test)
	@$(PYTHON) .make/integration.py $(if $(ADDED),$(PYTHON) .make/added_tests.py) $(CARGO) test --workspace --features bookstore-api/integration,perf-service/integration,llm-simulator/integration,llm/integration

test-mongod: ## How MongoDB finds things: every list and search by an index. Needs MongoDB's own server
	@$(PYTHON) .make/integration.py --only mongo $(CARGO) test -p bookstore-api --features bookstore-api/mongod --test it mongo_plans

lint: ## rustfmt, clippy without warnings, the k6 scripts and their types, the Python scripts
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	$(PYTHON) -m compileall -q .make monitoring
	@$(PYTHON) .make/k6_types.py
	@$(LOCAL_K6) && for script in k6/scenarios/*.js; do "$$K6_BIN" inspect "$$script" >/dev/null || exit 1; done

lint-dockerfile: ## hadolint on the Dockerfile (HADOLINT_BIN)
	$${HADOLINT_BIN:-hadolint} crates/Dockerfile

compose-config: ## Does docker-compose.yml hold together in each profile, and keep what it promises? Starts nothing
	@$(PYTHON) .make/compose_check.py --static

compose-check: ## Bring it up as a project of its own, run smoke through it, take it down (CHECK="--stand-ins", after make build)
	@$(PYTHON) .make/compose_check.py $(CHECK)

fmt: ## Format the Rust code
	$(CARGO) fmt --all

deny: ## Licences, bans, sources and advisories of all dependencies
	@$(PYTHON) .make/deny.py

fuzz: build ## schemathesis against the API: every check, stateful too, 300 examples an operation, a fixed seed
	@$(PYTHON) .make/fuzz.py --examples 300 $(FUZZ)

test-clients: build ## The official Python clients (openai, anthropic, ollama, boto3) against the simulator; fetches them
	@$(PYTHON) .make/clients.py
	@$(PYTHON) .make/clients.py --faults 8

reconcile: build ## Tokens of 100 calls with faults, retries, fallbacks and dropped streams, counted in five places (RECONCILE="--calls 300")
	@$(PYTHON) .make/reconcile.py $(RECONCILE)

##@ Soak: longer proofs of what the tests prove small
soak-runs: ## On each engine 20 times kill -9 of perf-service over a run's life: every run ends as it should, nothing is left
	@SOAK_KILLS=20 $(PYTHON) .make/integration.py --only docker,k6 $(CARGO) test -p perf-service --features perf-service/integration --test it -- --nocapture --test-threads 1 service_that_is_killed

soak-history: ## 100,000 reads and writes over two instances that share Redis: none may be stale
	@$(PYTHON) .make/integration.py --only redis $(CARGO) test -p bookstore-api --features bookstore-api/soak --test it -- --nocapture --exact history::instances::a_hundred_thousand_operations

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

soak-llm: build ## The same with 1,000 calls; 2,000 requests at once on a budget for 100, in one process and over two with Redis
	@$(PYTHON) .make/reconcile.py --calls 1000
	@$(PYTHON) .make/integration.py --only redis $(CARGO) test -p bookstore-api --features bookstore-api/soak --test it -- --nocapture a_crowd

soak-alerts: build ## Six faults under real Prometheus and Alertmanager: who is told, in time, and who is not (ALERTS="--only store")
	@$(PYTHON) .make/prove_alerts.py $(ALERTS)

verdict-campaign: build ## About 20 minutes: 180 interleaved real runs, then 10,000 comparisons of them and of simulated noise (CAMPAIGN="--blocks 5")
	$(CARGO) build -p perf-service --example verdict_campaign --profile $(PROFILE)
	@$(LOCAL_K6) && $(CARGO) run --quiet -p perf-service --example verdict_campaign --profile $(PROFILE) -- --k6 "$$K6_BIN" --summary crates/perf-service/docs/verdicts.md $(CAMPAIGN)

##@ Measure
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

##@ Delivery
postman: build ## The Postman collections by Newman, against services of their own; no operation of the APIs is left out
	@$(LOCAL_K6) && export K6_BIN && $(PYTHON) .make/postman.py

postman-running: ## The same against those that BOOKSTORE_URL and PERF_URL name (TARGET=compose, PROVIDER, SIMULATED)
	@$(PYTHON) .make/postman.py --running

docs-check: ## Links, commands, settings and targets in the documents are those there are
	@$(PYTHON) .make/docs_check.py

settings: build ## Write README's tables of settings anew, from what the binaries say
	@$(PYTHON) .make/settings.py

settings-check: build ## Are they what is there?
	@$(PYTHON) .make/settings.py --check

workflows-check: ## actionlint (ACTIONLINT_BIN); actions by commit, permissions, deadlines, steps that are targets
	@$(PYTHON) .make/workflows_check.py

monitoring-tools: ## Prometheus, promtool, amtool, the collector and Loki out of compose's images, into .tools/bin
	@$(PYTHON) .make/monitoring_tools.py

image-scan: ## Known holes in the images that compose runs, as far as they can be closed
	@$(PYTHON) .make/images.py scan

images-push: ## Build the images of this architecture and push them by digest, with SBOM and provenance (REGISTRY)
	@$(PYTHON) .make/images.py push

images-join: ## Join what was pushed for each architecture, and write down the digests: a release
	@$(PYTHON) .make/images.py join

images-release: ## Write down the release that a tag stands for (TAG=dev)
	@$(PYTHON) .make/images.py release "$$TAG"

images-tag: ## Have a tag stand for the release written down (TAG=last-good)
	@$(PYTHON) .make/images.py tag "$$TAG"

images-use: ## Have compose run the release written down, in place of images that are built here (.env)
	@$(PYTHON) .make/images.py use

deploy: ## Bring the release written down into ENVIRONMENT on DOCKER_HOST=ssh://… (without one: a rehearsal here)
	@$(PYTHON) .make/deploy.py up "$$ENVIRONMENT"

roll-back: ## Bring back the release that ENVIRONMENT had before
	@$(PYTHON) .make/deploy.py back "$$ENVIRONMENT"

environments-check: ## Whether GitHub asks somebody before a job enters ENVIRONMENTS=staging,prod (GH_TOKEN, GITHUB_REPOSITORY)
	@$(PYTHON) .make/deploy.py guarded $(subst $(comma), ,$(ENVIRONMENTS))

release-run: ## A load run of what `make up-lite` started (RUN=smoke), for nothing: report and figures in .run/daily
	@$(PYTHON) .make/daily.py run "$$RUN"

release-verdict: build ## The release against the one that BASELINE stands for (last-good, prod), interleaved here
	@$(LOCAL_K6) && export K6_BIN && $(PYTHON) .make/daily.py verdict "$$BASELINE"

release-judge: ## Whether all runs and verdicts in .run/daily are well; where not, an issue (GH_TOKEN)
	@$(PYTHON) .make/daily.py judge

##@ Clean
clean: ## Remove build results
	$(CARGO) clean

clean-data: ## Remove .run: logs, reports and data of local processes
	rm -rf .run

clean-tools: ## Remove .tools: what was fetched, such as k6
	rm -rf .tools

clean-images: ## Remove the images of the three services that were built here
	@docker image rm --force localhost/bookstore/bookstore-api:local localhost/bookstore/perf-service:local localhost/bookstore/llm-simulator:local

clean-volumes: ## Stop the containers and remove all their data
	@$(STACK) down --volumes
