"""What a known embedding model was trained to see before a question or a passage, where the config leaves it out."""

from __future__ import annotations

from ragkit.config.schema import Config, Embedding
from ragkit.models.catalogue import listed

PREFIXES = ("query_prefix", "passage_prefix")


def with_known_prefixes(config: Config) -> Config:
    """The config with the prefixes in force; see `prefixed`."""
    embedding = prefixed(config.ingestion.embedding)
    if embedding is config.ingestion.embedding:
        return config
    return config.model_copy(update={"ingestion": config.ingestion.model_copy(update={"embedding": embedding})})


def prefixed(embedding: Embedding) -> Embedding:
    """The settings with the prefixes of the catalogue in the place of those that nobody wrote; "" written means none.

    For models on this machine only: a server may put them there itself.

    >>> prefixed(Embedding(model="e5-base-v2")).query_prefix
    'query: '
    >>> prefixed(Embedding(model="e5-base-v2", query_prefix="")).query_prefix
    ''
    """
    if embedding.backend != "sentence_transformers" or embedding.model_fields_set.issuperset(PREFIXES):
        return embedding
    model = listed(embedding.model)
    known = {
        name: getattr(model, name)
        for name in PREFIXES
        if model and name not in embedding.model_fields_set and getattr(model, name)
    }
    return embedding.model_copy(update=known) if known else embedding
