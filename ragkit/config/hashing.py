"""Two fingerprints of a config: of all that changes results, and of what an existing index depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ragkit.config.keys import dotted, is_runtime, leaves
from ragkit.config.schema import Config

# What an index contains follows from these; another value makes the index on disk wrong. query_prefix is not
# among them: it changes questions, which are not stored.
_INDEX_PREFIXES = ("ingestion.chunking.", "retrieval.bm25.")
_INDEX_KEYS = frozenset(
    (
        "ingestion.parsing.pdf_layout",
        "ingestion.store.vectors",
        "retrieval.sparse",
        "retrieval.splade_model",
        *(f"ingestion.embedding.{name}" for name in ("backend", "model", "dimensions", "passage_prefix", "max_tokens")),
    )
)

_UNSET = object()
_SPLADE = "splade or both"
_WITH_SPLADE = ("retrieval.sparse", frozenset({"splade", "both", _SPLADE}))
_WITH_A_MODEL = ("generation.backend", frozenset({"openai", "vllm", "llama_cpp"}))
_RERANKED = ("retrieval.reranking.backend", frozenset({"cross_encoder", "http"}))
_BY_MEANING_AGAIN = ("retrieval.feedback.method", frozenset({"rocchio", "both"}))
_BY_WORDS_AGAIN = ("retrieval.feedback.method", frozenset({"rm3", "both"}))
_SMOOTHED = ("retrieval.neighbours.method", frozenset({"smooth"}))
_DIVERSE = ("retrieval.diversity.method", frozenset({"mmr"}))
_BY_TASK = ("routing.policy", frozenset({"tasks"}))
_IN_CASCADE = ("routing.policy", frozenset({"cascade"}))
# Switches that came later: off, they are left out, so that the configs of before keep their hashes.
_OFF: Mapping[str, Any] = {
    "ingestion.store.vectors": "memory",
    "retrieval.sparse": "bm25",
    "retrieval.transforms": [],
    "retrieval.feedback.method": "none",
    "retrieval.neighbours.method": "none",
    "retrieval.diversity.method": "none",
    "retrieval.reranking.weight": 1.0,
    "generation.expand": "none",
    "generation.packing": "chunks",
    "generation.order": "rank",
    "cache.mode": "off",
    "cache.max_false_hits": None,
    "routing.tasks": {},
    "routing.prefer": "best",
    "routing.cascade.scores": {},
    "routing.cascade.threshold": 0.5,
    "generation.reader": None,
    "generation.refusal.max_false_refusals": 0.05,
    "generation.refusal.slope": 1.0,
    "generation.refusal.intercept": 0.0,
}
# Keys that are read only where another one has one of these values.
_READ_IF: Mapping[str, tuple[str, frozenset[Any]]] = {
    "ingestion.chunking.breakpoint_percentile": ("ingestion.chunking.strategy", frozenset({"semantic"})),
    "ingestion.chunking.window": ("ingestion.chunking.strategy", frozenset({"semantic"})),
    "ingestion.chunking.header_tokens": ("ingestion.chunking.contextual_header", frozenset({True})),
    "retrieval.fusion.method": ("retrieval.strategy", frozenset({"hybrid"})),
    "retrieval.fusion.k": ("retrieval.fusion.method", frozenset({"rrf"})),
    "retrieval.fusion.alpha": ("retrieval.fusion.method", frozenset({"weighted"})),
    "retrieval.sparse": ("retrieval.strategy", frozenset({"sparse", "hybrid"})),
    "retrieval.splade_model": _WITH_SPLADE,
    "retrieval.feedback.documents": _BY_WORDS_AGAIN,
    "retrieval.feedback.terms": _BY_WORDS_AGAIN,
    "retrieval.feedback.weight": _BY_WORDS_AGAIN,
    "retrieval.feedback.rocchio_documents": _BY_MEANING_AGAIN,
    "retrieval.feedback.rocchio_weight": _BY_MEANING_AGAIN,
    "retrieval.neighbours.k": _SMOOTHED,
    "retrieval.neighbours.weight": _SMOOTHED,
    "retrieval.neighbours.among": _SMOOTHED,
    "retrieval.diversity.weight": _DIVERSE,
    "retrieval.diversity.candidates": _DIVERSE,
    "retrieval.reranking.model": _RERANKED,
    "retrieval.reranking.candidates": _RERANKED,
    "retrieval.reranking.weight": _RERANKED,
    "retrieval.reranking.top_n": _RERANKED,
    "generation.model": _WITH_A_MODEL,
    "generation.system_prompt": _WITH_A_MODEL,
    "generation.reminder": _WITH_A_MODEL,
    "generation.temperature": _WITH_A_MODEL,
    "generation.max_tokens": _WITH_A_MODEL,
    "generation.stop": _WITH_A_MODEL,
    "generation.citations": _WITH_A_MODEL,
    "generation.context_tokens": _WITH_A_MODEL,
    "generation.packing": _WITH_A_MODEL,
    "generation.order": _WITH_A_MODEL,
    "cache.min_similarity": ("cache.mode", frozenset({"semantic"})),
    "cache.max_false_hits": ("cache.mode", frozenset({"semantic"})),
    "generation.expand_by": ("generation.expand", frozenset({"window"})),
    "routing.rules": ("routing.policy", frozenset({"rules"})),
    "routing.tasks": _BY_TASK,
    "routing.prefer": _BY_TASK,
    "routing.cascade.min_confidence": _IN_CASCADE,
    "routing.cascade.min_groundedness": _IN_CASCADE,
    "routing.cascade.scores": _IN_CASCADE,
    "routing.cascade.threshold": _IN_CASCADE,
    "generation.refusal.ask_model": ("generation.backend", frozenset({"llama_cpp"})),
    "generation.max_sentences": ("generation.backend", frozenset({"extractive"})),
}


def config_hash(config: Config) -> str:
    """16 hexadecimal digits over every key that changes results; a default written out counts as left out, but for the
    sizes of chunks, which the model's window decides where they are left out, and the prefixes of a model that the
    catalogue knows, which it decides.

    A key that nothing reads under this config (`fusion.k` unless fusion is rrf) does not count.

    >>> from ragkit.config.schema import Ingestion, Parsing, Retrieval
    >>> config_hash(Config()) == config_hash(Config(ingestion=Ingestion(parsing=Parsing(workers=3))))
    True
    >>> config_hash(Config()) == config_hash(Config(retrieval=Retrieval(top_k=3)))
    False
    """
    return _digest({key: value for key, value in _read(_settings(config)).items() if _OFF.get(key, _UNSET) != value})


def index_settings(config: Config) -> dict[str, Any]:
    """The settings that an index may depend on, by dotted key, as plain JSON values.

    >>> index_settings(Config())["ingestion.chunking.strategy"]
    'semantic'
    """
    settings = {
        key: value for key, value in _settings(config).items() if key in _INDEX_KEYS or key.startswith(_INDEX_PREFIXES)
    }
    if settings["retrieval.sparse"] != "bm25":
        settings["retrieval.sparse"] = _SPLADE  # one index does for either
    return settings


def index_hash(config: Config) -> str:
    """16 hexadecimal digits over those of `index_settings` that are read.

    >>> len(index_hash(Config()))
    16
    """
    return _digest(
        {key: value for key, value in _read(index_settings(config)).items() if _OFF.get(key, _UNSET) != value}
    )


def explain_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One sentence for each setting in which an index (`old`) and a config (`new`) differ and which both read.

    >>> explain_difference({"ingestion.chunking.chunk_size": 200}, {"ingestion.chunking.chunk_size": 256})
    ['ingestion.chunking.chunk_size: 200 in the index, 256 in the config']
    """
    sentences: list[str] = []
    for key in [*old, *(key for key in new if key not in old)]:
        if not (_is_read(key, old) and _is_read(key, new)):
            continue
        if key not in new:
            sentences.append(f"{key}: {_shown(old[key])} in the index, no setting of this version")
        elif key not in old:
            sentences.append(f"{key}: not recorded in the index, {_shown(new[key])} in the config")
        elif old[key] != new[key]:
            sentences.append(f"{key}: {_shown(old[key])} in the index, {_shown(new[key])} in the config")
    return sentences


def _read(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if _is_read(key, settings)}


def _is_read(key: str, settings: Mapping[str, Any]) -> bool:
    """Whether anything reads this key under these settings; yes if they do not say."""
    while key in _READ_IF:
        key, values = _READ_IF[key]
        if key == "generation.backend" and settings.get("routing.endpoints"):
            continue  # each endpoint may have another backend
        if key in settings and settings[key] not in values:
            return False
    return True


def _settings(config: Config) -> dict[str, Any]:
    """Every key that is not runtime, by dotted name, as plain JSON values."""
    settings: dict[str, Any] = {}
    for path, field in leaves():
        if not is_runtime(field):
            value: Any = config
            for step in path:
                value = getattr(value, step)
            settings[dotted(path)] = _plain(value)
    if not config.routing.endpoints:
        settings = {key: value for key, value in settings.items() if not key.startswith("routing.")}
    # Left out, these follow from the model's window, which may make other values of them than their defaults.
    for name in {"chunk_size", "overlap"} - config.ingestion.chunking.model_fields_set:
        settings[f"ingestion.chunking.{name}"] = None
    return settings


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {name: _plain(item) for name, item in value if item is not None and not is_runtime(fields[name])}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Path):
        return value.as_posix()
    if value is None or isinstance(value, str | int | float):
        return value
    return {"date": value.isoformat()}  # a date filters otherwise than the same characters as text


def _digest(settings: Mapping[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
