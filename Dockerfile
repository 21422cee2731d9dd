# One image, two programs: `cnibot` (the default, not root) and `cnibot-agent`, which a node agent's pod runs as root.
# Every Python package is locked with hashes; the final stage has no compiler, no build backend and no pip.

# By its digest, for a tag can be moved. --build-arg BASE=…@sha256:… builds on another that somebody has looked at.
ARG BASE=python:3.13.15-slim-bookworm@sha256:2325bb286ec344af3e5898cc224b5844e2707ac6e26b1632516fd3edc84a5e26
# hadolint ignore=DL3006
FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
# helm renders Cilium for its first install; kubectl is what advice is typed with. Each only where an address is given, and
# only what has this checksum.
ARG HELM_URL="" HELM_SHA256="" KUBECTL_URL="" KUBECTL_SHA256=""
COPY deploy/image/tool.py /tmp/tool.py
RUN python /tmp/tool.py helm "$HELM_URL" "$HELM_SHA256" /opt/tools \
 && python /tmp/tool.py kubectl "$KUBECTL_URL" "$KUBECTL_SHA256" /opt/tools
# Dependencies first: this layer changes only when the locks do.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/cnibot \
 && python -m pip --python /opt/cnibot/bin/python install --no-deps --require-hashes --only-binary :all: -r requirements.lock \
 && python -m pip install --no-deps --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY bot ./bot
COPY playbooks ./playbooks
RUN python -m hatchling build --target wheel --directory /tmp/wheel \
 && python -m pip --python /opt/cnibot/bin/python install --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/cnibot/bin/python -m compileall -q /opt/cnibot/lib \
 && /opt/cnibot/bin/python -m bot.render.pictures fonts \
 && /opt/cnibot/bin/cnibot --help >/dev/null

# hadolint ignore=DL3006
FROM ${BASE}
LABEL org.opencontainers.image.title="cnibot" \
      org.opencontainers.image.description="Says why Kubernetes pods cannot talk, with evidence, and helps to fix it safely" \
      org.opencontainers.image.licenses="Apache-2.0"
# What the node agent asks the node's kernel with, and the bot's own store; versions follow the base image's Debian
# release.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends iproute2 iptables nftables redis-server \
 && rm -rf /var/lib/apt/lists/* \
 && python -m pip uninstall --yes --quiet pip \
 && groupadd --gid 65532 cnibot \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cnibot
COPY --from=build /opt/tools /usr/local/bin
COPY --from=build /opt/cnibot /opt/cnibot
COPY deploy/sbom.cdx.json /opt/cnibot/share/sbom.cdx.json
ENV PATH=/opt/cnibot/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
# Of `cnibot serve` under a plain container engine; Kubernetes has probes of its own and does not look at it.
HEALTHCHECK --start-period=60s --interval=15s --timeout=6s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9743/healthz', timeout=5)"]
ENTRYPOINT ["cnibot"]
CMD ["--help"]
