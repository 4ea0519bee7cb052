# syntax=docker/dockerfile:1
# Prospero in a container, as a user without rights. docs/SHELL.md shows how it is used; compose.yaml starts it.
#
#   docker build -t prospero .                                  for processors
#   docker build -t prospero:cuda --build-arg VARIANT=cuda .    for NVIDIA's GPUs
#   docker build -t prospero:hub --build-arg EXTRAS="hub wandb" .
#
# The layers go from what changes least to what changes most: torch, the other packages, the program.

ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
# cpu, or cuda: the wheels of PyPI, which bring NVIDIA's libraries.
ARG VARIANT=cpu
# Names of optional groups of packages in pyproject.toml, with spaces between.
ARG EXTRAS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/prospero
ENV PATH=/opt/prospero/bin:$PATH
WORKDIR /build
COPY constraints.txt ./
RUN case "$VARIANT" in \
        cpu) index=https://download.pytorch.org/whl/cpu ;; \
        cuda) index=https://pypi.org/simple ;; \
        *) echo "VARIANT=$VARIANT is neither cpu nor cuda" >&2; exit 1 ;; \
    esac \
    && pip install --index-url "$index" "$(grep '^torch==' constraints.txt)"
COPY pyproject.toml ./
RUN python -c "import sys, tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *(r for e in sys.argv[1:] for r in p['optional-dependencies'][e]), sep='\n')" \
        $EXTRAS > requirements.txt \
    && pip install -c constraints.txt -r requirements.txt
COPY README.md LICENSE ./
COPY conf conf
COPY src src
RUN pip install --no-deps .

FROM python:${PYTHON}-slim-bookworm AS runtime
# A user that owns its runs and nothing else; the number is one that no system user has.
RUN groupadd --gid 10001 prospero \
    && useradd --uid 10001 --gid prospero --no-create-home --home-dir /tmp --shell /usr/sbin/nologin prospero \
    && install -d -o prospero -g prospero /lab /lab/outputs
COPY --from=build /opt/prospero /opt/prospero
ENV PATH=/opt/prospero/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /lab
VOLUME /lab/outputs
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["prospero"]

# Every command: docker run --rm -v outputs:/lab/outputs prospero train model=tiny
FROM runtime AS program
CMD ["--help"]

# The server: docker build --target serve. Clients must send the key in PROSPERO_API_KEY, which is given at its start.
FROM runtime AS serve
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["serve", "run=last", "host=0.0.0.0", "port=8000"]

# What is built where nothing is said.
FROM program
