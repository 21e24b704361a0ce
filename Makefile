# pgbaton's two commands are `make demo` and `make test`; `make help` lists the rest.

CARGO ?= cargo
# Seeds of a long run, `make sim SEEDS=200000`; without it the histories, 10,000 seeds and every planted fault.
SEEDS ?=
# Passed to the demo: `make demo DEMO="--nodes 5 --ttl 3"`.
DEMO ?=
# Words of the drills on the compose stack, `make stack STACK=fence`; without it all of them.
STACK ?=
# Passed to the benchmarks.
BENCH ?=
# Passed to the long run: `make soak SOAK="--only etcd --mode both --runs 3"`.
SOAK ?=

# Contract tests are the files in tests/; its folders are the simulation and the cluster tests.
CONTRACTS := $(patsubst tests/%.rs,--test %,$(wildcard tests/*.rs))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo build test unit sim cluster stack lint bench soak toolchain needed needed-for-tests

help:
	@echo "make demo     a whole cluster on this machine, until Ctrl-C (DEMO=\"--nodes 5\" passes options)"
	@echo "make test     every ring of tests: unit and contract, simulation, cluster, stack"
	@echo "make lint     formatting and lints, warnings are errors"
	@echo "make soak     every fault for a minute, with its figures (SOAK=\"--only etcd --mode both\" passes options)"
	@echo "make bench    measures gaps, start and cost (BENCH=\"--runs 9\" passes options)"
	@echo "make build    the release binary, target/release/pgbaton"

demo: build
	@exec target/release/pgbaton demo $(DEMO)

build: toolchain needed
	@$(CARGO) build --release --locked

test: unit sim cluster stack

# Unit tests beside the code, contracts and the house's rules.
unit: toolchain needed-for-tests
	$(CARGO) test --locked --lib --bins $(CONTRACTS) --test postgres_server

# All states of a small protocol, then the agents' real loop on virtual time; planted faults must be found.
sim: toolchain needed-for-tests
	$(CARGO) test --locked --release --features mutants --test model
	$(CARGO) test --locked --release --features mutants --test sim $(if $(SEEDS),-- --seeds $(SEEDS))

# Real etcd, PostgreSQL and agents on this machine.
cluster: toolchain needed-for-tests
	CARGO="$(CARGO)" scripts/run-cluster-tests

# The containers of compose.yaml, and a game day on them (STACK="fence" chooses drills by a word).
stack: toolchain needed-for-tests
	$(CARGO) test --locked --release --features cluster --test stack -- $(STACK)

lint: toolchain needed
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings

# Of everything, or of a part: `make bench BENCH="--only switchover --runs 9"`.
bench: build needed-for-tests
	$(CARGO) bench --locked --features cluster --bench cluster -- $(BENCH)

# Every fault held for 60 s at ttl 5, or as told: `make soak SOAK="--held 15 --mode quorum --only agent --runs 3"`.
soak: toolchain needed-for-tests
	$(CARGO) test --locked --release --features cluster --test soak -- $(SOAK)

toolchain:
	@command -v $(CARGO) >/dev/null 2>&1 || { \
	echo "No Rust toolchain: '$(CARGO)' is not in PATH. pgbaton needs Rust 1.90 or later; see https://rustup.rs" >&2; \
	exit 1; }

needed:
	@scripts/install-needed demo

needed-for-tests:
	@scripts/install-needed test
