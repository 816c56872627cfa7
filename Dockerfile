FROM python:3.13-slim AS build
WORKDIR /src
RUN python3 -m venv /opt/flashback-exporter
COPY requirements.txt ./
RUN /opt/flashback-exporter/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN /opt/flashback-exporter/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/flashback-exporter/bin/pip check

FROM python:3.13-slim
LABEL org.opencontainers.image.title="flashback-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the daily AI statistics of the Flashback platform" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/flashback-exporter /opt/flashback-exporter
ENV PATH="/opt/flashback-exporter/bin:$PATH" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN install --directory --owner=65534 --group=65534 --mode=0700 /var/lib/flashback-exporter
VOLUME /var/lib/flashback-exporter
USER 65534:65534
EXPOSE 9877
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9877/-/healthy', timeout=2)"]
ENTRYPOINT ["flashback-exporter"]
