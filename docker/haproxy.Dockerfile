# The clients' way in: port 5000 writes, 5001 reads, 7000 statistics.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -qq; \
    # The user has a number of its own, so that volumes fit whatever base image comes next.
    groupadd --system --gid 999 haproxy; \
    useradd --system --uid 999 --gid 999 --home-dir /var/lib/haproxy --no-create-home haproxy; \
    apt-get install -y -qq --no-install-recommends haproxy >/dev/null; \
    rm -rf /var/lib/apt/lists/*
COPY docker/haproxy.cfg /etc/haproxy/haproxy.cfg
USER haproxy
EXPOSE 5000 5001 7000
# Sessions last for hours: stop at once, they are made anew at the other one.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=3s --start-period=10s --retries=5 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7000 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [ \"$code\" = 200 ]"]
ENTRYPOINT ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]
