# On the CPU:           docker build --tag iqa-bench .
# On an NVIDIA GPU:     docker build --tag iqa-bench --build-arg BASE=nvidia/cuda:12.6.3-base-ubuntu24.04 .
#                       docker run --gpus all ...
# Run it:               docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" -v /data/iqa:/data:ro \
#                         iqa-bench run few_shot --datasets livec --methods ridge --set backbone=lite0
#
# TORCH_INDEX is an index of builds of torch, as torch's installation page names them: those for the
# CPU alone make the image some gigabytes smaller. The default brings the libraries of CUDA along.
ARG BASE=python:3.12-slim

# The wheel is made where git is at hand, which says the version.
FROM python:3.12 AS wheel
COPY . /src
RUN pip wheel --no-deps --wheel-dir /dist /src

FROM ${BASE}
ARG TORCH_INDEX=""
ARG DEBIAN_FRONTEND=noninteractive
# Python where the base has none, and the libraries that OpenCV loads.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && (command -v python3 || apt-get install --yes --no-install-recommends python3-venv) \
    && rm -rf /var/lib/apt/lists/*
COPY --from=wheel /dist /dist
# An environment of its own: a distribution's Python refuses packages beside its own.
RUN python3 -m venv /opt/bench \
    && /opt/bench/bin/pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
         torch torchvision \
    && /opt/bench/bin/pip install --no-cache-dir /dist/*.whl

# Anybody may run it: what is written goes to the mounted folder, caches included.
ENV PATH=/opt/bench/bin:$PATH \
    HOME=/work \
    IQA_DATA=/data \
    IQA_BENCH_CACHE=/work/.cache/iqa-bench \
    HF_HOME=/work/.cache/huggingface
RUN mkdir -p /data
WORKDIR /work
ENTRYPOINT ["bench"]
CMD ["--help"]
