"""The index, and what is asked over a network: in reach, with a key where one is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from ragkit.doctor.finding import Finding, answering
from ragkit.errors import ConfigError, IndexMismatch, RagkitError

if TYPE_CHECKING:
    from ragkit.config.schema import Config


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
