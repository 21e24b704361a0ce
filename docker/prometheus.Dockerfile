# Scrapes the agents and HAProxy, and evaluates the alert rules.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -qq; \
    # The user has a number of its own, so that volumes fit whatever base image comes next.
    groupadd --system --gid 999 prometheus; \
    useradd --system --uid 999 --gid 999 --home-dir /var/lib/prometheus --no-create-home prometheus; \
    apt-get install -y -qq --no-install-recommends prometheus >/dev/null; \
    rm -rf /var/lib/apt/lists/*; \
    install -d -o prometheus -g prometheus -m 700 /var/lib/prometheus/data
COPY docker/prometheus/prometheus.yml docker/prometheus/rules.yml /etc/prometheus/
USER prometheus
WORKDIR /var/lib/prometheus
VOLUME /var/lib/prometheus
EXPOSE 9090
HEALTHCHECK --interval=2s --timeout=3s --start-period=30s --retries=5 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9090 && printf 'GET /-/ready HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [ \"$code\" = 200 ]"]
ENTRYPOINT ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/var/lib/prometheus/data"]
CMD ["--storage.tsdb.retention.time=15d"]
