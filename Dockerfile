FROM python:3.13-slim AS build
WORKDIR /src
RUN python3 -m venv --without-pip /opt/flashback-exporter
COPY requirements.txt ./
RUN python3 -m pip --python=/opt/flashback-exporter install --no-cache-dir --no-compile --no-deps --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
COPY data data
COPY config config
COPY grafana/dashboards grafana/dashboards
# Then what only building needs goes, and Python compiles what a start loads, and nothing else.
RUN python3 -m pip --python=/opt/flashback-exporter install --no-cache-dir --no-compile --no-deps --no-build-isolation . \
    && python3 -m pip --python=/opt/flashback-exporter check \
    && python3 -m pip --python=/opt/flashback-exporter uninstall --yes flit-core \
    && /opt/flashback-exporter/bin/flashback-exporter --version

FROM python:3.13-slim
LABEL org.opencontainers.image.title="flashback-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the daily AI statistics of the Flashback platform" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.source="https://github.com/flashback-tech/flashback-exporter" \
      org.opencontainers.image.documentation="https://github.com/flashback-tech/flashback-exporter/blob/main/README.md" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing is installed here any more, so pip goes. The folder is for the state's volume: a new volume takes over its
# mode, so that any user the container runs as can write there.
RUN python3 -c 'import ensurepip, pip, shutil; [shutil.rmtree(module.__path__[0]) for module in (ensurepip, pip)]' \
    && rm -rf /usr/local/bin/pip* /usr/local/lib/python3.13/site-packages/pip-* \
    && install --directory --mode=1777 /var/lib/flashback-exporter
COPY --from=build /opt/flashback-exporter /opt/flashback-exporter
ENV PATH="/opt/flashback-exporter/bin:$PATH" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65534:65534
VOLUME /var/lib/flashback-exporter
EXPOSE 9877
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["python3", "-m", "exporter.health"]
ENTRYPOINT ["flashback-exporter"]
