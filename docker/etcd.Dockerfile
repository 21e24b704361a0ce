# A member of the store. Everything it is told comes as ETCD_* variables; see compose.yaml.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -qq; \
    # The user has a number of its own, so that volumes fit whatever base image comes next.
    groupadd --system --gid 999 etcd; \
    useradd --system --uid 999 --gid 999 --home-dir /var/lib/etcd --no-create-home etcd; \
    apt-get install -y -qq --no-install-recommends etcd-server etcd-client >/dev/null; \
    rm -rf /var/lib/apt/lists/*; \
    install -d -o etcd -g etcd -m 700 /var/lib/etcd
USER etcd
WORKDIR /var/lib/etcd
VOLUME /var/lib/etcd
EXPOSE 2379 2380
ENV ETCDCTL_API=3
HEALTHCHECK --interval=2s --timeout=3s --start-period=30s --retries=5 \
    CMD ["etcdctl", "--endpoints=http://127.0.0.1:2379", "--command-timeout=2s", "endpoint", "health"]
ENTRYPOINT ["etcd"]
