# ragkit as a server. Build: docker build -t ragkit .
# Start beside its services: see docker-compose.yml.

FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/ragkit
COPY pyproject.toml constraints.txt README.md LICENSE CHANGELOG.md ./
COPY ragkit ragkit
COPY configs configs
# torch for the CPU: the index of PyPI has it with two gigabytes of CUDA.
RUN /opt/ragkit/bin/pip install --no-cache-dir --constraint constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu \
    ".[local,serve,observe,mcp,qdrant,redis,postgres,openai]"

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/ragkit ragkit \
    && install -d -o ragkit -g ragkit -m 0700 /var/lib/ragkit
COPY --from=build /opt/ragkit /opt/ragkit
COPY configs /etc/ragkit
ENV PATH=/opt/ragkit/bin:$PATH \
    HF_HUB_OFFLINE=1 \
    PYTHONUNBUFFERED=1 \
    RAGKIT_MODELS=/var/lib/ragkit/models
USER 10001
# Index, keys and uploads lie in .ragkit here; the rest of the file system may be read-only, but for /tmp.
WORKDIR /var/lib/ragkit
VOLUME /var/lib/ragkit
EXPOSE 8080
# /ready says 503 until the models are loaded. The image has no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/ready', timeout=4)"]
ENTRYPOINT ["ragkit"]
# It starts once a key was made: docker run --rm -v ragkit:/var/lib/ragkit ragkit keys create NAME --role admin
CMD ["serve", "-c", "/etc/ragkit/quickstart.yaml", "--host", "0.0.0.0", "--port", "8080"]
