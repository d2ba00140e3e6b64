from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ragkit.config.costs import Price
from ragkit.gateway.prices import price_of
from ragkit.types import Usage

LOCAL = "http://localhost:8000/v1"
COUNTS = st.integers(0, 10_000_000)


def test_a_known_model_has_the_price_of_its_provider() -> None:
    # $0.15 and $0.60 for a million tokens, half of the input price for cached ones.
    assert price_of("gpt-4o-mini", Usage(1_000_000), {}) == 150_000_000
    assert price_of("gpt-4o-mini", Usage(0, 1_000_000), {}) == 600_000_000
    assert price_of("gpt-4o-mini", Usage(1_000_000, 0, 1_000_000), {}) == 75_000_000
    assert price_of("gpt-4o-mini", Usage(1_000_000), {}, "https://team.openai.azure.com") == 150_000_000


def test_an_unknown_price_is_none_and_never_zero() -> None:
    assert price_of("llama-of-mine", Usage(1000, 10), {}) is None
    # The name says nothing about who serves it.
    assert price_of("gpt-4o-mini", Usage(1000, 10), {}, LOCAL) is None


def test_the_config_goes_before_the_table() -> None:
    prices = {"gpt-4o-mini": Price(input=1.0, output=2.0)}
    assert price_of("gpt-4o-mini", Usage(1000, 100), prices) == 1_200_000
    assert price_of("free", Usage(1000, 100), {"free": Price()}, LOCAL) == 0
    assert price_of("reranker", Usage(), {"reranker": Price(call=0.002)}) == 2_000_000


@given(COUNTS, COUNTS, COUNTS)
def test_cached_tokens_are_part_of_the_input_and_charged_once(fresh: int, cached: int, output: int) -> None:
    price = Price(input=0.3, cached_input=0.03, output=1.1)
    exact = fresh * Fraction(300) + cached * Fraction(30) + output * Fraction(1100)
    spent = price_of("m", Usage(fresh + cached, output, cached), {"m": price})
    assert spent is not None
    assert abs(spent - exact) <= Fraction(1, 2)


def test_counts_that_cannot_be_do_not_end_an_answer() -> None:
    assert price_of("gpt-4o-mini", Usage(10, 5, 20), {}) == price_of("gpt-4o-mini", Usage(10, 5, 10), {})
    assert price_of("gpt-4o-mini", Usage(-10, -5, -20), {}) == 0
