"""What an index is built with: chunk sizes that fit the model, or an error that says which do."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from ragkit.config.schema import Chunking, Config, Embedding, Ingestion, Parsing, Retrieval
from ragkit.embed import make_token_counter
from ragkit.errors import ConfigError
from ragkit.ingest.settings import differences, fitted_chunking, index_settings_of, parsers_after


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
    settings = index_settings_of(given)
    assert settings["ingestion.chunking.chunk_size"] == 221
    assert isinstance(settings["parser_version"], int)


def test_only_what_changes_the_index_changes_its_settings() -> None:
    def settings(given: Config) -> dict[str, object]:
        return index_settings_of(given)

    before = settings(config())
    assert settings(Config(ingestion=Ingestion(parsing=Parsing(workers=3)), retrieval=Retrieval(top_k=3))) == before
    assert settings(config(Chunking(chunk_size=221, overlap=22))) == before, "written out or fitted is the same"
    assert settings(config(Chunking(strategy="recursive"))) != before
    assert settings(config(embedding=Embedding(passage_prefix="p: "))) != before


def test_the_layout_of_pdfs_is_a_setting_that_older_indexes_had_on() -> None:
    def settings(layout: bool) -> dict[str, object]:
        given = Config(ingestion=Ingestion(parsing=Parsing(pdf_layout=layout)))
        return index_settings_of(given)

    said = ["ingestion.parsing.pdf_layout: true in the index, false in the config"]
    assert differences(settings(True), settings(False)) == said
    older = {key: value for key, value in settings(True).items() if key != "ingestion.parsing.pdf_layout"}
    assert differences(older, settings(True)) == []
    assert differences(older, settings(False)) == said
    assert "ingestion.parsing.pdf_layout: not recorded in the index, true in the config" in differences(
        {}, settings(True)
    )


def test_each_version_of_the_parser_is_kept_and_a_second_one_told_once() -> None:
    this = version("kreuzberg")
    assert parsers_after([], used=False) == ([], None)
    assert parsers_after([], used=True) == ([this], None)
    assert parsers_after([this], used=True) == ([this], None)
    assert parsers_after(["0.1"], used=False) == (["0.1"], None)
    versions, warning = parsers_after(["0.1"], used=True)
    assert versions == ["0.1", this]
    assert warning is not None
    assert f"read by kreuzberg 0.1, now by {this} too" in warning
    assert parsers_after(versions, used=True) == (versions, None)
