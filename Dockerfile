# The image of every Tollbook process: `docker compose build`, or `docker build -t tollbook .`
# First stage: an environment of hashed packages with Tollbook in it. Nothing is compiled, and nothing unpinned is fetched.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY deploy/requirements.lock ./
RUN python -m venv --without-pip /opt/tollbook
RUN pip --python /opt/tollbook/bin/python install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.lock
RUN find /opt/tollbook -depth -type d -name tests -exec rm -r {} +
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY kernels kernels
COPY lake lake
COPY ingest ingest
COPY aggregate aggregate
COPY billing billing
COPY tollbook tollbook
COPY examples examples
RUN pip --python /opt/tollbook/bin/python install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

# Second stage: that environment, a folder for the lake, and a user that owns nothing else.
FROM python:3.11-slim-bookworm
COPY --from=build /opt/tollbook /opt/tollbook
RUN mkdir /lake && chown 10001:10001 /lake
ENV PATH=/opt/tollbook/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/tmp/numba
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080 9464
# The check is for workers started with --metrics 0.0.0.0:9464. Commands that end by themselves end before the first check fails.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["tollbook"]
