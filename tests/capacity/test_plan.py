"""From trials to a plan: straight lines, powers, replicas and money."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.capacity.plan import Assumed, line_at, plan, power_at, prompt_tokens
from ragkit.capacity.rates import Rates
from ragkit.capacity.trial import Point
from ragkit.config.schema import Config

RATES = Rates(
    documents=100,
    chunks=400,
    chunk_tokens=100.0,
    manifest_bytes=500.0,
    embed_s=0.02,
    question_s={"embed": 0.01, "rerank": 0.0, "generate": 0.05},
    base_bytes=300_000_000,
    points=tuple(
        Point(n, 1_000_000 + 4_000 * n, 2_000_000 + 100 * n, 0.001 * (n / 1000) ** 0.5, 0.001) for n in (1000, 4000)
    ),
    cores=2,
)


@given(slope=st.floats(0, 1e5), start=st.floats(0, 1e9), size=st.floats(1, 1e8))
def test_a_straight_line_is_found(slope: float, start: float, size: float) -> None:
    measured = [(n, start + slope * n) for n in (1e4, 2e4, 4e4)]
    assert line_at(measured, size) == pytest.approx(start + slope * size, rel=1e-6, abs=1)


@given(exponent=st.floats(0, 1), factor=st.floats(1e-6, 1), size=st.floats(1e3, 1e8))
def test_a_power_is_found(exponent: float, factor: float, size: float) -> None:
    measured = [(n, factor * n**exponent) for n in (1e4, 2e4, 4e4)]
    assert power_at(measured, size) == pytest.approx(factor * size**exponent, rel=1e-3, abs=1e-6)


def test_searches_that_seem_to_become_quicker_are_taken_to_stay_as_they_are() -> None:
    assert power_at([(100, 4.0), (400, 1.0)], 10_000) == pytest.approx(2.0)


def test_a_corpus_of_documents_like_those_indexed() -> None:
    found = plan(Config(), RATES, documents=10_000, qps=10, assumed=Assumed(utilisation=0.5))
    assert found.chunks == 40_000
    assert found.disk_bytes == 161_000_000 + 10_000 * 500
    assert found.left_out == ()
    assert found.memory_bytes == 306_000_000
    assert found.memory_cached_bytes == found.memory_bytes + found.disk_bytes
    assert found.index_core_s == pytest.approx(40_000 * 0.021)
    assert found.question_core_s["search"] == pytest.approx(0.001 * 40**0.5)
    assert found.replicas == 1  # 10 questions of 66 ms are two thirds of a core, of one that may be used


def test_more_questions_than_a_machine_answers_need_more_machines() -> None:
    costs = {"costs": {"machine_usd_per_hour": 0.5}}
    found = plan(Config.model_validate(costs), RATES, 10_000, qps=40, assumed=Assumed(utilisation=0.5))
    assert found.replicas == 3
    assert found.machines_usd_month == pytest.approx(3 * 0.5 * 730)
    assert found.models_usd_month == ()
    assert found.gpus == 0


def test_a_model_behind_an_api_is_priced_by_its_tokens() -> None:
    config = Config.model_validate(
        {
            "generation": {"backend": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"},
            "costs": {"prices": {"m": {"input": 1.0, "output": 4.0}}},
        }
    )
    found = plan(config, RATES, 10_000, qps=1, assumed=Assumed(answer_tokens=100))
    [money] = found.models_usd_month
    each = prompt_tokens(config, RATES) / 1e6 + 100 * 4 / 1e6
    assert money.usd == pytest.approx(each * 3600 * 730, rel=1e-6)
    unknown = config.model_copy(update={"costs": Config().costs})
    assert plan(unknown, RATES, 10_000, 1, Assumed()).models_usd_month[0].usd is None


def test_what_is_not_reckoned_is_named() -> None:
    config = Config.model_validate({"retrieval": {"sparse": "both"}})
    assert plan(config, RATES, 10_000, 1, Assumed()).left_out == ("SPLADE vectors (retrieval.sparse)",)


def test_a_model_on_a_gpu_takes_its_seconds() -> None:
    config = Config.model_validate({"generation": {"backend": "vllm", "model": "m"}})
    found = plan(config, RATES, 10_000, qps=10, assumed=Assumed(0.5, answer_tokens=100, gpu_tokens_per_s=1000))
    assert found.gpu_s_per_question == pytest.approx((prompt_tokens(config, RATES) + 100) / 1000)
    assert found.gpus == -(-10 * found.gpu_s_per_question // 0.5)
