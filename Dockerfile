# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY service service
RUN python -m venv /opt/webhook-watch \
 && /opt/webhook-watch/bin/pip install --no-cache-dir ".[postgres]"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home watch
COPY --from=build /opt/webhook-watch /opt/webhook-watch
ENV PATH=/opt/webhook-watch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    WATCH_HOST=0.0.0.0 \
    WATCH_DATABASE_URL=sqlite:////data/webhook-watch.db
USER watch
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD \
    ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"WATCH_PORT\", \"8080\")}/readyz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["webhook-watch"]
CMD ["serve"]
