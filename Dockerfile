# One image for every process of the shop; which one it is, the command says.
FROM python:3.11.14-slim-bookworm AS packages
COPY requirements.lock /build/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /build/requirements.lock

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin millrace \
    && install -d -o millrace -g millrace -m 0700 /data /keys
COPY --from=packages /opt/venv /opt/venv
COPY . /srv/millrace
RUN /opt/venv/bin/python -m compileall -q /srv/millrace
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/millrace
USER 10001:10001
