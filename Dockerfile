# Speech2Lip in a container: studio, service, commands and tests, without a network at run time.
#
#   docker build -t speech2lip .
#   docker build -t speech2lip:cpu --build-arg TORCH_INDEX=URL .     # URL: PyTorch's index of builds for processors, a tenth of the size
#   docker run --rm -p 127.0.0.1:7860:7860 -v speech2lip:/data speech2lip
#   docker run --rm -v speech2lip:/data speech2lip speech2lip demo --out /data/demo
#   docker run --rm --network none speech2lip bash /app/scripts/test.sh
FROM python:3.11-slim

# Where else PyTorch may come from; the usual one runs on NVIDIA's GPUs and on processors.
ARG TORCH_INDEX=""

ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 GRADIO_ANALYTICS_ENABLED=False
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libegl1 libgles2 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 speech2lip \
    && mkdir /data /app && chown speech2lip /data

# What changes seldom first, so that it is kept between builds.
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY speech2lip/__init__.py speech2lip/__init__.py
COPY speech2lip/weights/data/NOTICE.txt speech2lip/weights/data/NOTICE.txt
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt ".[dev,studio]" && pip uninstall -y speech2lip

COPY . .
RUN pip install --no-deps --no-build-isolation -e .

USER speech2lip
WORKDIR /data
VOLUME /data
EXPOSE 7860
# Tests find everything here, and write nothing beside the source, which is not theirs.
ENV SPEECH2LIP_INSTALL=no VIRTUAL_ENV=/usr/local RUFF_CACHE_DIR=/tmp/ruff MYPY_CACHE_DIR=/tmp/mypy
CMD ["speech2lip", "studio", "--no-browser", "--trusted-host=0.0.0.0"]
