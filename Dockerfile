# Afterwatch in a container: built from the pinned, hashed requirements, run by a user of its own on a read-only root.
#   docker build -t afterwatch .
# PYTHON names the base image; pin it by digest for a release (docs/operating.md).
ARG PYTHON=python:3.11-slim-bookworm

# --- build: npm, compilers and the source stay here ---------------------------------------------------------
FROM ${PYTHON} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
COPY requirements.txt requirements-build.txt requirements-node.txt ./
RUN python -m venv /opt/afterwatch \
 && /opt/afterwatch/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-deps --require-hashes --only-binary :all: \
        -r requirements-build.txt -r requirements-node.txt
COPY . .
RUN AFTERWATCH_NODE=wheel /opt/build/bin/python -m hatchling build -t wheel -d /dist \
 && /opt/afterwatch/bin/pip install --no-deps --no-index /dist/*.whl \
 && /opt/afterwatch/bin/afterwatch --version

# --- run ------------------------------------------------------------------------------------------------------
FROM ${PYTHON}
LABEL org.opencontainers.image.title="Afterwatch" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="Secondary notification for ketamine sessions; not a primary alarm; \
designed after IEC 60601-1-8, claims no conformity"
RUN groupadd --gid 10001 afterwatch \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin afterwatch \
 && install -d -o 10001 -g 10001 -m 0750 /var/lib/afterwatch
COPY --from=build /opt/afterwatch /opt/afterwatch
ENV PATH=/opt/afterwatch/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    AFTERWATCH_STORE=/var/lib/afterwatch
USER 10001:10001
VOLUME /var/lib/afterwatch
EXPOSE 8080
STOPSIGNAL SIGTERM
# Broker linked, journal durable, loop running: anything else answers 503.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["afterwatch"]
CMD ["run", "--config", "/etc/afterwatch"]
