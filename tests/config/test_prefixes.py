"""The prefixes of known models are in force unless the config says others, and whoever asks is told so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ragkit.config import Config, config_hash, explain_difference, index_hash, index_settings, load_config, resolved
from ragkit.config.schema import Embedding, Ingestion
from ragkit.embed import make_embedder
from ragkit.embed.models import model_folder
from ragkit.system import Ragkit

BGE = "Represent this sentence for searching relevant passages: "


def system(**settings: str) -> Config:
    return Config(ingestion=Ingestion(embedding=Embedding.model_validate(settings)))


def loaded(*settings: str) -> Config:
    return load_config(None, [f"ingestion.embedding.{setting}" for setting in settings]).config


def prefixes(config: Config) -> tuple[str, str]:
    return config.ingestion.embedding.query_prefix, config.ingestion.embedding.passage_prefix


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("e5-small-v2", ("query: ", "passage: ")),
        ("intfloat/E5-small-v2", ("query: ", "passage: ")),
        ("hf:intfloat/e5-small-v2@v1", ("query: ", "passage: ")),
        ("bge-small-en-v1.5", (BGE, "")),
        ("all-MiniLM-L6-v2", ("", "")),
        ("./e5-small-v2", ("", "")),
        ("somebody/e5-small-v2", ("", "")),
    ],
)
def test_what_is_left_out_is_what_the_catalogue_knows(model: str, expected: tuple[str, str]) -> None:
    assert prefixes(loaded(f"model={model}")) == expected
    assert prefixes(Ragkit(system(model=model)).config) == expected


def test_what_is_written_is_kept_and_empty_means_none() -> None:
    assert prefixes(loaded("model=e5-small-v2", "query_prefix=")) == ("", "passage: ")
    assert prefixes(loaded("model=e5-small-v2", "query_prefix=q", "passage_prefix=p")) == ("q", "p")
    assert prefixes(Ragkit(system(model="e5-small-v2", passage_prefix="")).config) == ("query: ", "")


def test_a_server_may_add_them_itself() -> None:
    assert prefixes(loaded("model=e5-small-v2", "backend=openai", "base_url=http://localhost/v1")) == ("", "")


def test_show_tells_what_is_in_force_and_where_it_was_not_written() -> None:
    config = loaded("model=e5-small-v2")
    assert resolved(config)["ingestion"]["embedding"]["query_prefix"] == "query: "
    assert "ingestion.embedding.query_prefix" not in config.origins


def test_the_hashes_tell_what_is_in_force_however_it_came_about() -> None:
    left_out = system(model="e5-small-v2")
    written = system(model="e5-small-v2", query_prefix="query: ", passage_prefix="passage: ")
    none = system(model="e5-small-v2", query_prefix="", passage_prefix="")
    assert config_hash(left_out) == config_hash(written) == config_hash(loaded("model=e5-small-v2"))
    assert index_hash(left_out) == index_hash(written)
    assert config_hash(left_out) != config_hash(none)
    assert index_hash(left_out) != index_hash(none)
    assert explain_difference(index_settings(none), index_settings(left_out)) == [
        'ingestion.embedding.passage_prefix: "" in the index, "passage: " in the config'
    ]


@pytest.mark.integration
def test_the_prefix_is_really_put_before_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that lies in the Hub's cache under the name of e5, whatever its weights are."""
    snapshot = tmp_path / "models--intfloat--e5-small-v2" / "snapshots" / "main"
    shutil.copytree(model_folder("all-MiniLM-L6-v2"), snapshot)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    known = make_embedder(Embedding(model="e5-small-v2", device="cpu"))
    bare = make_embedder(Embedding(model="all-MiniLM-L6-v2", device="cpu"))
    np.testing.assert_allclose(known.embed_question("hub"), bare.embed_question("query: hub"), atol=1e-5)
    np.testing.assert_allclose(known.embed_passages(["hub"]), bare.embed_passages(["passage: hub"]), atol=1e-5)
