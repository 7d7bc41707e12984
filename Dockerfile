# Two images: `worker` (also runs the API, the starter and the migrations) and `sandbox`, which adds the stand-ins. No image was
# built where this was written; tests/test_compose.py runs each command from the files that the COPY lines select.
ARG PYTHON=python:3.11.15-slim-bookworm

# The virtual environment is made where pip is and copied to where it is not needed.
FROM ${PYTHON} AS packages
WORKDIR /build
RUN python -m venv --without-pip /venv
COPY requirements.txt ./
RUN pip --python /venv/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r requirements.txt

FROM packages AS sandbox-packages
COPY requirements-sandbox.txt ./
RUN pip --python /venv/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r requirements-sandbox.txt

FROM ${PYTHON} AS base
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin app \
    && pip uninstall --yes --quiet pip setuptools wheel
WORKDIR /app
COPY LICENSE alembic.ini policy.toml *.py ./
COPY activities activities
COPY client client
COPY domain domain
COPY migrations migrations
COPY providers providers
COPY runtime runtime
COPY texts texts
COPY web web
COPY workflows workflows
# Nothing is written at run time, so the byte code is made here.
RUN python -m compileall -q --invalidation-mode unchecked-hash .
# Exec form: SIGTERM reaches Python, which drains the running steps.
ENTRYPOINT ["python"]

FROM base AS sandbox
COPY --from=sandbox-packages /venv /venv
COPY sandbox sandbox
RUN python -m compileall -q --invalidation-mode unchecked-hash sandbox
# A new named volume takes over this directory's owner.
RUN install -d -o 10001 -g 10001 /data
USER 10001:10001

# The last stage is what `docker build .` makes.
FROM base AS worker
COPY --from=packages /venv /venv
USER 10001:10001
CMD ["worker.py", "run"]
