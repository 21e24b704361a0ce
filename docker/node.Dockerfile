# One node: the agent, its guardian as the first process, and PostgreSQL beside them.
#
#   node       builds pgbaton from source (the default)
#   prebuilt   takes a binary that was built outside: for machines that can pull no image but the base one
#
# The order matters: builders that know no better build every stage above the one that is asked for.

ARG BASE=debian:bookworm-slim
ARG RUST=rust:1.90-bookworm

FROM ${BASE} AS runtime
# Debian 12 has 15 itself; other versions come from the PostgreSQL project's own repository.
ARG PG_MAJOR=15
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -qq; \
    # The user has a number of its own, so that volumes fit whatever base image comes next.
    groupadd --system --gid 999 postgres; \
    useradd --system --uid 999 --gid 999 --home-dir /var/lib/postgresql --no-create-home postgres; \
    # No cluster of Debian's own: the agents make theirs.
    mkdir -p /etc/postgresql-common/createcluster.d; \
    echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/pgbaton.conf; \
    if ! apt-cache show "postgresql-$PG_MAJOR" >/dev/null 2>&1; then \
        apt-get install -y -qq --no-install-recommends postgresql-common ca-certificates; \
        /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y; \
    fi; \
    apt-get install -y -qq --no-install-recommends "postgresql-$PG_MAJOR" >/dev/null; \
    rm -rf /var/lib/apt/lists/*; \
    install -d -o postgres -g postgres -m 700 /var/lib/pgbaton
COPY docker/node.yml /etc/pgbaton/node.yml
ENV PATRONI_POSTGRESQL_BIN_DIR=/usr/lib/postgresql/${PG_MAJOR}/bin \
    PATRONICTL_CONFIG_FILE=/etc/pgbaton/node.yml \
    PATH=/usr/local/bin:/usr/lib/postgresql/${PG_MAJOR}/bin:/usr/bin:/bin
USER postgres
WORKDIR /var/lib/pgbaton
VOLUME /var/lib/pgbaton
EXPOSE 5432 8008
# The agent stops PostgreSQL cleanly, hands over, and then the container ends.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=3s --start-period=120s --retries=5 CMD ["pgbaton", "health", "/etc/pgbaton/node.yml"]
# As the first process it is the guardian of all others; see docs/FENCE.md. So no `init: true`, and no shell before it.
ENTRYPOINT ["pgbaton"]
CMD ["run", "/etc/pgbaton/node.yml"]

FROM runtime AS prebuilt
ARG BINARY=target/release/pgbaton
COPY ${BINARY} /usr/local/bin/pgbaton

FROM ${RUST} AS build
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends protobuf-compiler libprotobuf-dev
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
RUN cargo build --locked --release --bin pgbaton

FROM runtime AS node
COPY --from=build /build/target/release/pgbaton /usr/local/bin/pgbaton
