"""`ragkit doctor`: is everything there that this config needs, and what mends what is not."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from ragkit.cli.options import ConfigOption, JsonOption, SetOption, print_json
from ragkit.errors import ConfigError, IndexMismatch, RagkitError

if TYPE_CHECKING:
    from ragkit.config.schema import Config, Generation

Status = Literal["ok", "warn", "fail"]

_LEAST_DISK = 1e9
_BY_TORCH = "run by torch, which takes seconds to import; no export: "
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?([^;]*)(?:;.*extra\s*==\s*['\"]([\w-]+)['\"])?")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what mends it."""

    check: str
    status: Status
    detail: str
    mend: str | None = None


def doctor(config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Check the installation, models and services."""
    findings = list(examine(config, overrides or ()))
    worst = next((status for status in ("fail", "warn") if any(f.status == status for f in findings)), "ok")
    if as_json:
        print_json({"status": worst, "findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings)
    if worst == "fail":
        raise typer.Exit(1)


def examine(config_path: Path | None, overrides: list[str] | tuple[str, ...]) -> Iterator[Finding]:
    """All findings, one after the other; a config that cannot be read ends those that need it."""
    from ragkit.config import load_config

    yield python_version()
    try:
        loaded = load_config(config_path, overrides)
    except ConfigError as error:
        yield Finding("config", "fail", error.message, error.mend)
        yield from packages(set())
        return
    config = loaded.config
    yield Finding("config", "ok", ", ".join(str(file) for file in loaded.files) or "built-in defaults")
    yield from packages(needed_extras(config))
    checks: tuple[Callable[[Config], Iterator[Finding]], ...] = (
        model,
        sparse_model,
        reranker,
        reranking,
        reader,
        generator,
        prices,
        database,
        kept_answers,
        store,
        keys,
        services,
        ledger,
        cluster,
        machine,
    )
    for check in checks:
        yield from check(config)


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


def answering(config: Config) -> list[tuple[str, Generation]]:
    """What may write an answer, with the name of its place in the config: each endpoint, or `generation`."""
    endpoints = config.routing.endpoints
    several = [(f"routing.endpoints.{each.name}", each.over(config.generation)) for each in endpoints]
    return several or [("generation", config.generation)]


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


def model(config: Config) -> Iterator[Finding]:
    """The embedding model: there, unaltered, with a tokenizer, and reading whole chunks."""
    from ragkit.embed.models import found_model, model_folder, verify_weights
    from ragkit.ingest.settings import fitted_chunking, token_counter_of
    from ragkit.models.catalogue import known
    from ragkit.models.onnx_export import why_not

    embedding = config.ingestion.embedding
    try:
        if embedding.backend == "sentence_transformers":
            folder = model_folder(embedding.model)
            pinned = verify_weights(embedding.model)
            listed = known(embedding.model)
            whose = "the publisher's" if listed and listed.hashes == "publisher" else "that of its package"
            sha = f"sha256 is {whose}" if pinned else "no sha256 known to compare with"
            yield Finding("model", "ok", f"{embedding.model} in {folder}; {sha}")
            if reason := why_not(found_model(embedding.model)):
                yield Finding("model", "ok", _BY_TORCH + reason)
        yield from prefixes(config)
        tokens = token_counter_of(config)
        yield Finding("tokenizer", "ok", f"counts {tokens.count('How many tokens?')} in 'How many tokens?'")
        chunking = fitted_chunking(config, tokens)
        header = f" and a header of {chunking.header_tokens}" if chunking.contextual_header else ""
        detail = f"chunks of {chunking.chunk_size} tokens{header} fit the {tokens.window} that the model reads"
        yield Finding("chunk size", "ok", detail)
    except RagkitError as error:
        yield Finding("model", "fail", error.message, error.mend)


def sparse_model(config: Config) -> Iterator[Finding]:
    """The model of SPLADE, where words are searched by one: there, unaltered, and made for that."""
    if config.retrieval.sparse == "bm25":
        return
    from ragkit.embed.splade import splade_folder

    name = config.retrieval.splade_model
    try:
        yield Finding("retrieval.splade_model", "ok", f"{name} in {splade_folder(name)}")
    except RagkitError as error:
        yield Finding("retrieval.splade_model", "fail", error.message, error.mend)


def reranker(config: Config) -> Iterator[Finding]:
    """The cross-encoder, where one runs on this machine: there, unaltered, and made for reranking."""
    reranking = config.retrieval.reranking
    if reranking.backend != "cross_encoder":
        return
    from ragkit.rerank.cross_encoder import found_cross_encoder, why_torch

    try:
        found = found_cross_encoder(reranking.model or "")
        yield Finding("reranking.model", "ok", f"{reranking.model} in {found.folder}")
        if reason := why_torch(found):
            yield Finding("reranking.model", "ok", _BY_TORCH + reason)
    except RagkitError as error:
        yield Finding("reranking.model", "fail", error.message, error.mend)


def reranking(config: Config) -> Iterator[Finding]:
    """Whether the reranker helps on the user's documents, by the last evaluation of this very config, if there is one.

    Runs are looked for where `ragkit eval run` and `checklist` keep them unless told otherwise.
    """
    if config.retrieval.reranking.backend == "none":
        return
    from ragkit.config.hashing import config_hash
    from ragkit.evaluate.remarks import TURN_OFF
    from ragkit.evaluate.runs import DEFAULT_FILE, Runs
    from ragkit.evaluate.summary import reranking_gain

    check, gain, run = "reranking", None, None
    if DEFAULT_FILE.is_file():
        try:
            with Runs(DEFAULT_FILE) as runs:
                ended = (each for each in runs.all() if each.ended and each.config_hash == config_hash(config))
                run = next(ended, None)
                gain = reranking_gain(list(runs.records(run.id)), run.seed) if run else None
        except RagkitError as error:
            yield Finding(check, "warn", error.message, error.mend)
            return
    if run is None or gain is None:
        unknown = "not measured with this config whether it helps: ragkit eval checklist --suite FILE says so (row 4)"
        yield Finding(check, "ok", unknown)
        return
    detail = f"adds {gain.mean:+.3f} to precision@3 ({gain.interval}) over {gain.questions} questions of run {run.id}"
    if gain.is_known and gain.high < 0:
        yield Finding(check, "warn", f"the reranker ranks worse than none: it {detail}", TURN_OFF)
    else:
        yield Finding(check, "ok", detail)


def reader(config: Config) -> Iterator[Finding]:
    """The reader, where the config has one: there, and one that marks answers."""
    if config.generation.reader is None:
        return
    from ragkit.generate import make_reader

    try:
        make_reader(config.generation)
        yield Finding("generation.reader", "ok", config.generation.reader)
    except RagkitError as error:
        yield Finding("generation.reader", "fail", error.message, error.mend)


def generator(config: Config) -> Iterator[Finding]:
    """The language models that run on this machine: there, unaltered, and in the format that runs them."""
    for name, generation in answering(config):
        try:
            if generation.backend == "llama_cpp":
                from ragkit.generate.llama_model import gguf_file

                yield Finding(f"{name}.model", "ok", f"{generation.model} in {gguf_file(generation.model or '')}")
            elif generation.backend == "vllm":
                from ragkit.generate.vllm import model_folder

                yield Finding(f"{name}.model", "ok", f"{generation.model} in {model_folder(generation.model or '')}")
        except RagkitError as error:
            yield Finding(f"{name}.model", "fail", error.message, error.mend)


def prices(config: Config) -> Iterator[Finding]:
    """Whether the price of each model behind an API is known: without one its costs are not, and no budget takes it."""
    from ragkit.gateway.prices import price_of
    from ragkit.types import Usage

    for name, generation in answering(config):
        if generation.backend != "openai":
            continue
        model = generation.model or ""
        if price_of(model, Usage(1_000_000, 1_000_000), config.costs.prices, generation.base_url) is not None:
            yield Finding(f"{name} price", "ok", model)
            continue
        refused = bool(config.costs.budgets) and not config.costs.allow_unpriced
        detail = f"the price of {model} is not known" + (", and a budget refuses what has none" if refused else "")
        yield Finding(f"{name} price", "fail" if refused else "warn", detail, f"write costs.prices.{model}")


def prefixes(config: Config) -> Iterator[Finding]:
    """Whether the config puts before questions and passages what the model was trained with."""
    from ragkit.config.schema import PREFIXES
    from ragkit.models.catalogue import listed

    embedding = config.ingestion.embedding
    model = listed(embedding.model)
    if model is None:
        return
    for key in PREFIXES:
        set_, wanted = getattr(embedding, key), getattr(model, key)
        if set_ == wanted:
            continue
        if embedding.backend == "sentence_transformers":
            said, mend = f"the config says {set_!r}", f"leave ingestion.embedding.{key} out to have that"
        elif key not in embedding.model_fields_set:
            said = "the config leaves it out and ragkit cannot know whether the server adds it"
            mend = f"set ingestion.embedding.{key} to {wanted!r}, or to '' if the server adds it"
        else:
            continue  # the user has said which it is
        yield Finding(key, "warn", f"{model.name} is made for {wanted!r}, {said}", mend)


def database(config: Config) -> Iterator[Finding]:
    """The database of a pgvector store: in reach, and with the extension."""
    if config.ingestion.store.backend != "pgvector":
        return
    from ragkit.service import shown_url

    try:
        from ragkit.store.pgvector import PgvectorStore

        with closing(PgvectorStore(config.ingestion.store, config.retrieval.bm25)) as opened:
            version = opened.version()
        yield Finding("ingestion.store.url", "ok", f"{shown_url(config.ingestion.store.url or '')}: {version}")
    except RagkitError as error:
        yield Finding("ingestion.store.url", "fail", error.message, error.mend)


def kept_answers(config: Config) -> Iterator[Finding]:
    """The Redis that the cache keeps its answers in: in reach."""
    if config.cache.mode == "off" or config.cache.store != "redis":
        return
    from ragkit.service import shown_url

    try:
        from ragkit.gateway.cache_store import open_store

        with closing(open_store(config.cache)) as opened:
            kept = opened.stats().entries
        yield Finding("cache.url", "ok", f"{shown_url(config.cache.url or '')}: {kept:,} answers kept")
    except RagkitError as error:
        # Questions are answered all the same, only not from the cache.
        yield Finding("cache.url", "warn", error.message, error.mend)


def store(config: Config) -> Iterator[Finding]:
    """The index: there, whole, and built with the settings of the config."""
    from ragkit.ingest.settings import check_built_with, index_settings_of
    from ragkit.store.open import NoIndex, open_snapshot

    path = config.ingestion.store.path
    try:
        snapshot = open_snapshot(config)
    except NoIndex as error:
        yield Finding("index", "warn", error.message, error.mend)
        return
    except RagkitError as error:
        yield Finding("index", "fail", error.message, error.mend)
        return
    rebuild = "run: ragkit index --rebuild"
    try:
        documents, chunks, _, _ = snapshot.manifest.totals()
        held = snapshot.store.count()
        counts = f"{path}: {documents:,} documents, {chunks:,} chunks"
        if held == chunks:
            yield Finding("index", "ok", counts)
            if without := snapshot.manifest.without_vectors():
                yield Finding("vectors", "warn", f"{without:,} chunks have none yet", "run: ragkit index")
        else:
            yield Finding("index", "fail", f"{counts} in its manifest, {held:,} in its store", rebuild)
        try:
            check_built_with(snapshot.manifest, index_settings_of(config))
            yield Finding("index settings", "ok", "those of the config")
        except IndexMismatch as error:
            yield Finding("index settings", "fail", error.message, error.mend)
    except RagkitError as error:
        yield Finding("index", "fail", error.message, error.mend)
    finally:
        snapshot.close()


def keys(config: Config) -> Iterator[Finding]:
    """Keys of the services in use: whether they are set; their value is never shown."""
    from ragkit.service import needs_key

    embedding, served = config.ingestion.embedding, config.ingestion.store
    reranking = config.retrieval.reranking
    used = (
        (
            "ingestion.embedding.api_key",
            embedding.backend == "openai",
            embedding.api_key,
            needs_key(embedding.base_url),
        ),
        *(
            (f"{name}.api_key", each.backend == "openai", each.api_key, needs_key(each.base_url, each.api_version))
            for name, each in answering(config)
        ),
        ("retrieval.reranking.api_key", reranking.backend == "http", reranking.api_key, False),
        ("ingestion.store.api_key", served.backend == "qdrant", served.api_key, False),
        ("ingestion.store.password", served.backend == "pgvector", served.password, False),
    )
    for name, in_use, key, required in used:
        if in_use and key is not None and key.get_secret_value():
            yield Finding(name, "ok", "set")
        elif in_use and required:
            yield Finding(name, "fail", "not set, and the service needs it", "set it to ${OPENAI_API_KEY}")
        elif in_use:
            yield Finding(name, "ok", "not set; fine where the service takes requests without one")


def services(config: Config) -> Iterator[Finding]:
    """Whether each service in use answers at all; a question is not put to it."""
    import httpx

    from ragkit.service import OPENAI_URL, http_client, shown_url

    embedding, reranking = config.ingestion.embedding, config.retrieval.reranking
    used = (
        ("ingestion.embedding.base_url", embedding.backend == "openai", embedding.base_url or OPENAI_URL),
        *(
            (f"{name}.base_url", each.backend == "openai", each.base_url or OPENAI_URL)
            for name, each in answering(config)
        ),
        ("retrieval.reranking.base_url", reranking.backend == "http", reranking.base_url or ""),
    )
    for name, in_use, url in used:
        if not in_use:
            continue
        shown = shown_url(url)
        try:
            with http_client(timeout=5.0) as client:
                client.get(url)
            yield Finding(name, "ok", f"{shown} answers")
        except ConfigError as error:
            yield Finding(name, "fail", error.message, error.mend)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            reason = type(error).__name__  # its text may hold the address with what is secret in it
            yield Finding(
                name,
                "fail",
                f"{shown} does not answer: {reason}",
                "check the address and the network, or start the service",
            )


def ledger(config: Config) -> Iterator[Finding]:
    """Whether a ledger on a server can be read; a file is made with the first answer."""
    if not isinstance(config.costs.ledger, str):
        return
    from ragkit.gateway.ledger import Ledger
    from ragkit.service import shown_url

    try:
        with closing(Ledger(config.costs.ledger, config.costs.ledger_password)) as opened:
            list(opened.rows("SELECT 1 FROM calls LIMIT 1"))
        yield Finding("costs.ledger", "ok", shown_url(config.costs.ledger))
    except RagkitError as error:
        yield Finding("costs.ledger", "fail", error.message, error.mend)


def cluster(config: Config) -> Iterator[Finding]:
    """The Ray cluster, where one indexes: in reach, of this version, and how large."""
    settings = config.ingestion.ray
    if config.ingestion.engine != "ray":
        return
    if settings.address is None:
        yield Finding("ingestion.ray", "ok", "Ray is started on this machine for each run of ragkit index")
        return
    from ragkit.cli.printing import counted
    from ragkit.ingest.over_ray.cluster import connect

    try:
        with closing(connect(settings)) as opened:
            has = ((opened.nodes, "node"), (opened.cpus, "CPU"), (opened.gpus, "GPU"))
            size = ", ".join(counted(number, thing) for number, thing in has)
        yield Finding("ingestion.ray.address", "ok", f"{settings.address}: {size}")
    except RagkitError as error:
        yield Finding("ingestion.ray.address", "fail", error.message, error.mend)


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


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ragkit.cli.printing import clean, console, counted

    styles = {"ok": "green", "warn": "bold yellow", "fail": "bold red"}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=20)
    table.add_column(overflow="fold")
    for finding in findings:
        detail = Text(clean(finding.detail))
        if finding.mend:
            detail.append(f"\n{clean(finding.mend)}", style="bold")
        table.add_row(Text(finding.status, style=styles[finding.status]), finding.check, detail)
    screen = console()
    screen.print(table)
    fails, warns = (sum(1 for finding in findings if finding.status == status) for status in ("fail", "warn"))
    counts = [counted(number, thing) for number, thing in ((fails, "failure"), (warns, "warning")) if number]
    screen.print("\n" + (", ".join(counts) or "everything is fine"))
