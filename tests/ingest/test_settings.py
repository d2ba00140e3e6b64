"""What an index is built with: chunk sizes that fit the model, or an error that says which do."""

from __future__ import annotations

import pytest

from ragkit.config.schema import Chunking, Config, Embedding, Ingestion, Parsing, Retrieval
from ragkit.embed import make_token_counter
from ragkit.errors import ConfigError
from ragkit.ingest.settings import fitted_chunking, index_settings_of


def config(chunking: Chunking | None = None, embedding: Embedding | None = None) -> Config:
    return Config(ingestion=Ingestion(chunking=chunking or Chunking(), embedding=embedding or Embedding()))


def fitted(given: Config) -> Chunking:
    return fitted_chunking(given, make_token_counter(given.ingestion.embedding))


def test_the_default_size_shrinks_to_what_the_model_reads() -> None:
    """MiniLM reads 256 tokens: 2 are special, 32 the header's, 1 lies between header and text."""
    chunking = fitted(config())
    assert (chunking.chunk_size, chunking.overlap) == (256 - 2 - 32 - 1, 22)


def test_a_wider_model_keeps_the_default() -> None:
    chunking = fitted(config(embedding=Embedding(backend="openai", model="text-embedding-3-small")))
    assert (chunking.chunk_size, chunking.overlap) == (512, 50)


def test_without_header_there_is_more_room_and_a_prefix_takes_some() -> None:
    assert fitted(config(Chunking(contextual_header=False))).chunk_size == 254
    prefixed = config(Chunking(contextual_header=False), Embedding(passage_prefix="passage: "))
    assert fitted(prefixed).chunk_size == 252


@pytest.mark.parametrize("size", [16, 200, 221])
def test_a_size_that_fits_is_kept(size: int) -> None:
    assert fitted(config(Chunking(chunk_size=size, overlap=3))) == Chunking(chunk_size=size, overlap=3)


@pytest.mark.parametrize("size", [222, 512])
def test_a_size_that_was_set_and_does_not_fit_is_an_error_with_the_largest_that_does(size: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"chunk_size is {size}, but all-MiniLM-L6-v2 reads 256 tokens.*set chunk_size to 221"
    ):
        fitted(config(Chunking(chunk_size=size)))


def test_an_overlap_that_was_set_must_fit_beside() -> None:
    assert fitted(config(Chunking(overlap=100))).overlap == 100
    with pytest.raises(ConfigError, match=r"overlap \(300\) must be smaller than chunk_size \(221\)"):
        fitted(config(Chunking(overlap=300)))


def test_a_window_that_the_header_fills_is_an_error() -> None:
    with pytest.raises(ConfigError, match="reads 32 tokens, which leaves no room for text; lower header_tokens"):
        fitted(config(embedding=Embedding(max_tokens=32)))


def test_settings_hold_the_sizes_that_are_used_and_the_parsers_version() -> None:
    given = config()
    settings = index_settings_of(given, make_token_counter(given.ingestion.embedding))
    assert settings["ingestion.chunking.chunk_size"] == 221
    assert isinstance(settings["parser_version"], int)


def test_only_what_changes_the_index_changes_its_settings() -> None:
    def settings(given: Config) -> dict[str, object]:
        return index_settings_of(given, make_token_counter(given.ingestion.embedding))

    before = settings(config())
    assert settings(Config(ingestion=Ingestion(parsing=Parsing(workers=3)), retrieval=Retrieval(top_k=3))) == before
    assert settings(config(Chunking(chunk_size=221, overlap=22))) == before, "written out or fitted is the same"
    assert settings(config(Chunking(strategy="recursive"))) != before
    assert settings(config(embedding=Embedding(passage_prefix="p: "))) != before
