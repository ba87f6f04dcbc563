# unseen serve, as a user of its own, with nothing to write but /var/lib/unseen and /tmp.
#
#   docker build -t unseen .
#   docker run --rm --init --read-only --tmpfs /tmp -v unseen:/var/lib/unseen -p 8000:8000 unseen
#
# What follows the image's name goes to `unseen serve`: --model fast --keys /run/secrets/keys …

ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY licenses licenses
COPY src src
COPY docs docs
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m venv /opt/unseen \
    && /opt/unseen/bin/pip install --no-cache-dir "$(echo /wheels/unseen-*.whl)[serve]"

FROM ${PYTHON}
COPY --from=build /opt/unseen /opt/unseen
# The number is known, so that volumes can be given to it and clusters can see that it is not root.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/unseen \
        --shell /usr/sbin/nologin unseen \
    && install -d -o unseen -g unseen /var/lib/unseen
ENV PATH=/opt/unseen/bin:$PATH \
    HOME=/var/lib/unseen \
    UNSEEN_HOME=/var/lib/unseen \
    HF_HOME=/var/lib/unseen/huggingface \
    ORT_DISABLE_TELEMETRY=1
USER 10001:10001
# Models whose networks are compiled already when a container starts: a volume that is new and has
# no other contents begins with them. --build-arg COMPILED= leaves that to the first start.
ARG COMPILED=builtin
RUN for model in ${COMPILED}; do \
        python -c "import sys, numpy, unseen; \
            unseen.load(sys.argv[1]).classify(numpy.zeros((8, 8, 3), 'uint8'), ['a', 'b'])" "$model" \
        || exit 1; \
    done
VOLUME /var/lib/unseen
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import http.client as h, os; c = h.HTTPConnection('127.0.0.1', int(os.environ.get('UNSEEN_PORT', 8000)), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["unseen", "serve", "--host", "0.0.0.0"]
