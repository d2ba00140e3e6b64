from __future__ import annotations

from typing import Any

from ragkit.config.schema import Config
from ragkit.gateway.cost import cost_lines
from ragkit.types import CostLine, Usage

RAN = {"embed": 20.0, "search": 2.0, "rerank": 100.0, "generate": 5_000.0, "verify": 1.0, "total": 5_123.0}


def config(**parts: Any) -> Config:
    return Config.model_validate(parts)


def by_stage(lines: tuple[CostLine, ...]) -> dict[str, int | None]:
    return {line.stage: line.nano_usd for line in lines}


def test_every_stage_that_ran_a_model_has_a_line() -> None:
    assert by_stage(cost_lines(config(), ["How hot?"], RAN)) == {"embed": 0, "rerank": 0, "generate": 0}
    assert by_stage(cost_lines(config(), ["How hot?"], {"search": 2.0})) == {}


def test_models_on_this_machine_cost_its_seconds() -> None:
    rented = config(costs={"machine_usd_per_hour": 3.6})
    # A thousandth of a dollar a second.
    assert by_stage(cost_lines(rented, ["How hot?"], RAN)) == {
        "embed": 20_000,
        "rerank": 100_000,
        "generate": 5_000_000,
    }


def test_a_model_behind_an_api_costs_its_tokens() -> None:
    api = config(generation={"backend": "openai", "model": "gpt-4o-mini"}, costs={"machine_usd_per_hour": 3.6})
    lines = cost_lines(api, ["How hot?"], RAN, "gpt-4o-mini-2024-07-18", Usage(1000, 100, 200))
    assert by_stage(lines)["generate"] == 195_000


def test_the_name_in_the_config_finds_its_price_too() -> None:
    generation = {"backend": "openai", "model": "mine", "base_url": "http://localhost:8000/v1"}
    api = config(generation=generation, costs={"prices": {"mine": {"input": 1.0}}})
    assert by_stage(cost_lines(api, ["How hot?"], RAN, "/models/mine.gguf", Usage(1000)))["generate"] == 1_000_000


def test_what_has_no_known_price_has_a_line_without_an_amount() -> None:
    api = config(generation={"backend": "openai", "model": "mine", "base_url": "http://localhost:8000/v1"})
    (line,) = cost_lines(api, ["How hot?"], {"generate": 10.0}, "mine", Usage(1000, 100))
    assert (line.nano_usd, line.detail) == (None, "no price known for mine; set costs.prices")
    (line,) = cost_lines(api, ["How hot?"], {"generate": 10.0})
    assert line.nano_usd is None


def test_a_reranking_service_is_priced_by_the_call() -> None:
    reranking = {"backend": "http", "base_url": "https://api.cohere.com/v2", "model": "rerank-v3.5"}
    unpriced = config(retrieval={"reranking": reranking})
    assert by_stage(cost_lines(unpriced, ["How hot?"], {"rerank": 80.0})) == {"rerank": None}
    by_tokens = config(retrieval={"reranking": reranking}, costs={"prices": {"rerank-v3.5": {"input": 0.02}}})
    assert by_stage(cost_lines(by_tokens, ["How hot?"], {"rerank": 80.0})) == {"rerank": None}
    priced = config(retrieval={"reranking": reranking}, costs={"prices": {"rerank-v3.5": {"call": 0.002}}})
    assert by_stage(cost_lines(priced, ["How hot?"], {"rerank": 80.0})) == {"rerank": 2_000_000}


def test_an_embedding_service_costs_the_tokens_of_the_question() -> None:
    embedding = {"backend": "openai", "model": "text-embedding-3-small", "api_key": "sk-test"}
    api = config(ingestion={"embedding": embedding})
    # "How hot?" is three tokens, at $0.02 for a million.
    assert by_stage(cost_lines(api, ["How hot?"], {"embed": 80.0})) == {"embed": 60}


def test_every_text_that_a_search_embeds_is_charged() -> None:
    settings = {"backend": "openai", "model": "e", "base_url": "http://localhost:8000/v1"}
    api = Config.model_validate(
        {"ingestion": {"embedding": settings}, "costs": {"prices": {"e": {"input": 1.0, "call": 0.001}}}}, strict=False
    )
    (one,) = cost_lines(api, ["hot"], {"embed": 80.0})
    (three,) = cost_lines(api, ["hot", "hot", "hot"], {"embed": 80.0})
    assert one.nano_usd is not None
    assert (three.nano_usd, three.usage.input_tokens) == (3 * one.nano_usd, 3 * one.usage.input_tokens)
