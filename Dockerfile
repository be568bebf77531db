# The pipeline in a container: on a CPU by default; for a GPU
#   docker build --build-arg BASE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 -t dmtl .
# Run it with a folder for data and results:
#   docker run --rm -it -v "$PWD":/work dmtl make repro
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-venv git make gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/dmtl
COPY requirements.lock pyproject.toml Makefile README.md LICENSE THIRD_PARTY_NOTICES.md ./
COPY dmtl dmtl
COPY stages stages
ARG CPU=
RUN make venv CPU=${CPU} && rm -rf /root/.cache
ENV PATH=/opt/dmtl/.venv/bin:$PATH VIRTUAL_ENV=/opt/dmtl/.venv
WORKDIR /work
CMD ["dmtl", "--help"]
