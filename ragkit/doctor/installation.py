"""Python, packages and the machine."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from ragkit.doctor.finding import Finding, answering

if TYPE_CHECKING:
    from ragkit.config.schema import Config

_LEAST_DISK = 1e9
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?([^;]*)(?:;.*extra\s*==\s*['\"]([\w-]+)['\"])?")


def python_version() -> Finding:
    """Whether the interpreter is one that ragkit is tested with."""
    running = ".".join(str(part) for part in sys.version_info[:3])
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("python", "ok", running)
    return Finding("python", "fail", f"{running} is not supported", "use Python 3.11, 3.12 or 3.13")


def needed_extras(config: Config) -> set[str]:
    """The extras without which this config does not work."""
    needed: set[str] = set()
    if config.ingestion.embedding.backend == "sentence_transformers":
        needed.add("local")
    if config.retrieval.reranking.backend == "cross_encoder" and not _version("onnxruntime"):
        needed.add("local")
    if config.retrieval.sparse != "bm25":
        needed.add("local")
    if config.ingestion.store.backend == "qdrant":
        needed.add("qdrant")
    if config.cache.mode != "off" and config.cache.store == "redis":
        needed.add("redis")
    if isinstance(config.costs.ledger, str) or config.ingestion.store.backend == "pgvector":
        needed.add("postgres")
    if config.generation.reader is not None:
        needed.add("onnx")
    if config.ingestion.engine == "ray":
        needed.add("ray")
    extras = {"llama_cpp": "llama-cpp", "vllm": "vllm"}
    return needed | {extras[each.backend] for _, each in answering(config) if each.backend in extras}


def packages(needed: set[str]) -> Iterator[Finding]:
    """The packages that ragkit requires, and those of each extra: a failure only where the config needs them."""
    try:
        requirements = metadata.requires("ragkit") or []
    except metadata.PackageNotFoundError:
        yield Finding("packages", "warn", "ragkit is not installed", "pip install -e . in its folder")
        return
    by_extra: dict[str, list[str]] = {}
    for requirement in requirements:
        found = _REQUIREMENT.match(requirement)
        # The extra of ragkit's own developers tells its users nothing.
        if found and found.group(1) != "ragkit" and found.group(3) != "dev":
            by_extra.setdefault(found.group(3) or "", []).append(found.group(1))
    for extra, names in by_extra.items():
        versions = {name: _version(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        present = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        title = f"extra {extra}" if extra else "packages"
        install = f"pip install 'ragkit[{extra}]'" if extra else "pip install --force-reinstall ragkit"
        if not missing:
            # What every install has is no news; its versions are in `pip list`.
            yield Finding(title, "ok", present if extra else f"all {len(names)} that ragkit requires")
        elif extra in needed or not extra:
            yield Finding(title, "fail", f"missing: {', '.join(missing)}", install)
        else:
            yield Finding(title, "ok", f"missing, not needed by this config: {', '.join(missing)}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def machine(config: Config) -> Iterator[Finding]:
    """Write access, disk space, processors."""
    path = config.ingestion.store.path.absolute()
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            yield Finding("write access", "ok", str(place))
    except OSError as error:
        mend = "choose another ingestion.store.path, or change the rights"
        yield Finding("write access", "fail", f"cannot write in {place}: {error.strerror}", mend)
    free = shutil.disk_usage(place).free
    if free < _LEAST_DISK:
        mend = "make room: while it is written, an index is on disk twice"
        yield Finding("disk", "warn", f"{free / 1e9:.1f} GB free at {place}", mend)
    else:
        yield Finding("disk", "ok", f"{free / 1e9:,.0f} GB free at {place}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) < cores:
        detail = f"{cores} cores, but OMP_NUM_THREADS={limit} holds the model to {limit}"
        yield Finding("processors", "warn", detail, "unset OMP_NUM_THREADS")
    else:
        yield Finding("processors", "ok", f"{cores} cores")
