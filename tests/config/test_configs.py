"""The configs and the JSON Schema that come with the repository."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ragkit.config import Config, config_schema, load_config
from ragkit.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.glob("*.yaml"))


def load(name: str, **environ: str) -> Config:
    return load_config(CONFIGS / name, environ=environ).config


def test_the_systems_are_there() -> None:
    assert [file.stem for file in FILES] == ["local-llm", "openai", "production", "quickstart", "routing", "vllm"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_config_loads_and_names_the_schema(file: Path) -> None:
    load_config(file, environ={"OPENAI_API_KEY": "sk-1"})
    first = file.read_text(encoding="utf-8").splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named is not None
    assert (file.parent / named[1]).is_file()


def test_quickstart_is_offline_embedded_and_fits_the_window_of_its_model() -> None:
    config = load("quickstart.yaml")
    chunking = config.ingestion.chunking
    assert config.ingestion.sources == ["eval/samples"]
    assert (config.ingestion.embedding.backend, config.generation.backend) == (
        "sentence_transformers",
        "extractive",
    )
    assert config.ingestion.store.backend == "qdrant_edge"
    assert (chunking.chunk_size, chunking.overlap, chunking.header_tokens) == (200, 30, 32)


def test_openai_takes_its_key_from_the_environment_and_needs_it() -> None:
    config = load("openai.yaml", OPENAI_API_KEY="1234")
    assert config.generation.api_key is not None
    assert config.generation.api_key.get_secret_value() == "1234"
    assert (config.ingestion.embedding.model, config.generation.model) == (
        "text-embedding-3-small",
        "gpt-4o-mini",
    )
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        load("openai.yaml")


def test_routing_sends_no_key_to_the_own_server() -> None:
    config = load("routing.yaml", OPENAI_API_KEY="1234")
    own, openai = (each.over(config.generation) for each in config.routing.endpoints)
    assert (own.api_key, own.base_url) == (None, "http://localhost:8000/v1")
    assert openai.api_key is not None
    assert openai.base_url is None


def test_vllm_speaks_to_a_local_server_and_embeds_here() -> None:
    config = load("vllm.yaml")
    assert (config.generation.backend, config.generation.base_url) == ("openai", "http://localhost:8000/v1")
    assert config.generation.api_key is None
    assert config.ingestion.embedding.backend == "sentence_transformers"


def test_production_changes_openai_and_takes_addresses_from_the_environment() -> None:
    base, config = load("openai.yaml", OPENAI_API_KEY="k"), load("production.yaml", OPENAI_API_KEY="k")
    assert config.ingestion.embedding.model == base.ingestion.embedding.model
    assert config.ingestion.store.url == "http://localhost:6333"
    assert config.retrieval.reranking.backend == "http"
    assert config.ingestion.parsing.max_file_mb < base.ingestion.parsing.max_file_mb
    elsewhere = load("production.yaml", OPENAI_API_KEY="k", QDRANT_URL="https://q:6333")
    assert elsewhere.ingestion.store.url == "https://q:6333"


def test_the_committed_schema_is_the_schema_of_the_code() -> None:
    # To renew it: ragkit config schema > configs/ragkit.schema.json
    assert json.loads((CONFIGS / "ragkit.schema.json").read_text(encoding="utf-8")) == config_schema()


def test_the_schema_describes_what_a_file_may_hold() -> None:
    schema = config_schema()
    parts = {"ingestion", "retrieval", "generation", "routing", "cache", "costs", "serve"}
    assert set(schema["properties"]) == {"extends", *parts}
    assert {"and", "or", "not"} < set(schema["$defs"]["Filter"]["properties"])
    assert schema["$defs"]["Retrieval"]["properties"]["strategy"]["enum"] == ["dense", "sparse", "hybrid"]
    assert schema["$defs"]["Retrieval"]["properties"]["top_k"]["description"]
    assert schema["$defs"]["Retrieval"]["additionalProperties"] is False
